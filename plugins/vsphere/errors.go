package vsphere

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// retryAfter is when a busy virtual machine is worth another look.
const retryAfter = 10 * time.Second

// faults says what a fault of the API means for the caller and what to do
// about it. The first that fits decides, so that the narrower ones stand first.
var faults = []struct {
	fault  types.BaseMethodFault
	class  driver.Class
	remedy string
}{
	{&types.InvalidLogin{}, driver.Auth, ": check username and password"},
	{&types.NoPermission{}, driver.Auth, ": give the user the privileges that the documentation of the driver lists"},
	{&types.NotAuthenticated{}, driver.Retryable, ": the session has ended; the next call begins a new one"},
	{&types.ManagedObjectNotFound{}, driver.NotFound, ""},
	{&types.ApplicationQuiesceFault{}, driver.Permanent, ": repair VMware Tools in the guest or set quiesce = false"},
	{&types.FilesystemQuiesceFault{}, driver.Permanent, ": repair VMware Tools in the guest or set quiesce = false"},
	{&types.TooManySnapshotLevels{}, driver.Quota, ": delete old snapshots of the virtual machine"},
	{&types.NoDiskSpace{}, driver.Quota, ": free space on the datastore"},
	{&types.InsufficientStorageSpace{}, driver.Quota, ": free space on the datastore"},
	{&types.FileLocked{}, driver.Retryable, ": another process, such as a backup, holds a disk"},
	{&types.TaskInProgress{}, driver.Retryable, ": another operation is at work on the virtual machine"},
	{&types.ConcurrentAccess{}, driver.Retryable, ""},
	{&types.ResourceInUse{}, driver.Retryable, ""},
	{&types.HostNotConnected{}, driver.Retryable, ": the ESXi host is not connected"},
	{&types.HostCommunication{}, driver.Retryable, ": the ESXi host does not answer"},
	{&types.Timedout{}, driver.Retryable, ""},
	{&types.RestrictedVersion{}, driver.Auth, ": the licence of this ESXi host does not allow changes through the API"},
}

// refuse gives a failed call its class; format and a say what was asked for
// ("power off the virtual machine %s").
func refuse(err error, format string, a ...any) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf(format, a...)
	var typed *driver.Error
	if errors.As(err, &typed) {
		return fmt.Errorf("cannot %s: %w", what, err)
	}
	refused := func(class driver.Class, remedy string) error {
		e := driver.Errorf(class, "cannot %s: %v%s", what, err, remedy)
		if class == driver.Retryable {
			e.After = retryAfter
		}
		return e
	}
	for _, f := range faults {
		if fault.Is(err, f.fault) {
			return refused(f.class, f.remedy)
		}
	}
	var insufficient types.BaseInsufficientResourcesFault
	var transport *url.Error
	var network net.Error
	var cut *xml.SyntaxError // half an answer
	_, full := fault.As(err, &insufficient)
	switch {
	case full:
		return refused(driver.Quota, ": the cluster has no room to power the virtual machine on")
	case soap.IsCertificateUntrusted(err):
		return refused(driver.Permanent, ": set ca_file to the authority's certificate or thumbprint to that of the server")
	case strings.Contains(err.Error(), "thumbprint does not match"):
		return refused(driver.Permanent, ": somebody replaced the certificate: check it and set the new thumbprint")
	case errors.As(err, &transport), errors.As(err, &network), errors.As(err, &cut), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return cloud.Refusal(what, 0, 0, err)
	}
	return refused(driver.Permanent, "")
}

// missing reports whether err says that the object is not there.
func missing(err error) bool {
	return err != nil && fault.Is(err, &types.ManagedObjectNotFound{})
}
