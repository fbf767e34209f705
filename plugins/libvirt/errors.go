package libvirt

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// retryAfter is when a busy domain is worth another look.
const retryAfter = 10 * time.Second

// codes says what an error code of libvirt means for the caller.
var codes = map[libvirt.ErrorNumber]struct {
	class  driver.Class
	remedy string
}{
	libvirt.ErrNoDomain:            {driver.NotFound, ""},
	libvirt.ErrNoDomainSnapshot:    {driver.NotFound, ""},
	libvirt.ErrAuthFailed:          {driver.Auth, ""},
	libvirt.ErrAuthCancelled:       {driver.Auth, ""},
	libvirt.ErrAuthUnavailable:     {driver.Auth, ": the daemon asks for a login that this driver does not offer (SASL, polkit)"},
	libvirt.ErrAccessDenied:        {driver.Auth, ": the daemon's access rules do not let this client do so"},
	libvirt.ErrOperationDenied:     {driver.Auth, ": the connection is read-only"},
	libvirt.ErrOperationTimeout:    {driver.Retryable, ": another operation is at work on the domain"},
	libvirt.ErrResourceBusy:        {driver.Retryable, ""},
	libvirt.ErrOperationAborted:    {driver.Retryable, ""},
	libvirt.ErrSnapshotRevertRisky: {driver.Permanent, ": the domain's hardware was changed since; revert it by hand"},
}

// refuse gives a failed call its class; format and a say what was asked for.
func refuse(err error, format string, a ...any) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf(format, a...)
	var typed *driver.Error
	if errors.As(err, &typed) {
		return fmt.Errorf("cannot %s: %w", what, err)
	}
	var refusal libvirt.Error
	if !errors.As(err, &refusal) {
		return cloud.Refusal(what, 0, 0, err) // the connection, or the end of ctx
	}
	class, remedy := driver.Permanent, ""
	if known, ok := codes[libvirt.ErrorNumber(refusal.Code)]; ok {
		class, remedy = known.class, known.remedy
	} else if strings.Contains(refusal.Message, "No space left on device") {
		class, remedy = driver.Quota, ": free space where the disks lie"
	}
	e := driver.Errorf(class, "cannot %s: %s%s", what, refusal.Message, remedy)
	if class == driver.Retryable {
		e.After = retryAfter
	}
	return e
}

// broken reports whether the connection can no longer be trusted.
func broken(err error) bool {
	var refusal libvirt.Error
	return err != nil && !errors.As(err, &refusal)
}

func missing(err error) bool { return driver.ClassOf(err) == driver.NotFound }
