package vsphere

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// TestDeleteKeepsChildren deletes the older of two snapshots, between which
// somebody has taken one by hand.
func TestDeleteKeepsChildren(t *testing.T) {
	c := newCenter(t)
	p := c.provider(t)
	m, err := p.Machine(t.Context(), machineName)
	if err != nil {
		t.Fatal(err)
	}
	take := func(key string) cloud.Snap {
		t.Helper()
		s, err := p.Begin(t.Context(), m, m.Units[0], cloud.Tags{Key: key, Host: "nc-1", Machine: m.ID, Unit: wholeUnit})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := take("r/1")
	client, err := p.login.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byHand, err := object.NewVirtualMachine(client, c.vm(machineName).Self).CreateSnapshot(t.Context(), "mine", "ncfleet is not mine", false, false)
	if err == nil {
		err = byHand.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	second := take("r/2")
	if again := take("r/1"); again.ID != first.ID {
		t.Errorf("Begin of a key that has a snapshot made another: %s, first %s", again.ID, first.ID)
	}
	if err := p.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	var names []string
	c.walk(func(s types.VirtualMachineSnapshotTree) { names = append(names, s.Name) })
	if len(names) != 2 || names[0] != "mine" || !strings.HasPrefix(names[1], "ncfleet-nc-1-") {
		t.Errorf("left are %q, want the one taken by hand and the second", names)
	}
	left, err := p.Snaps(t.Context(), cloud.Filter{})
	if err != nil || len(left) != 1 || left[0].ID != second.ID || left[0].Host != "nc-1" || left[0].State != cloud.Ready {
		t.Errorf("Snaps = %+v, %v; want the second alone", left, err)
	}
	var mine string
	c.walk(func(s types.VirtualMachineSnapshotTree) {
		if s.Name == "mine" {
			mine = s.Snapshot.Value
		}
	})
	if err := p.Delete(t.Context(), cloud.Snap{ID: mine, Machine: m.ID, Key: "r/1"}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(fmt.Sprint(c.names()), "mine"); n != 1 {
		t.Error("Delete removed a snapshot that does not bear the marks")
	}
}

func (c *center) names() (names []string) {
	c.walk(func(s types.VirtualMachineSnapshotTree) { names = append(names, s.Name) })
	return names
}

func TestQuiesce(t *testing.T) {
	for name, x := range map[string]struct{ tools, asked, want bool }{
		"tools":             {true, true, true},
		"tools, not wanted": {true, false, false},
		"no tools":          {false, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCenter(t)
			vm := c.vm(machineName)
			c.context.WithLock(vm, func() {
				if x.tools {
					vm.Guest.ToolsRunningStatus = string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
				}
			})
			p := c.provider(t, func(c driver.Config) { c["quiesce"] = x.asked })
			m, err := p.Machine(t.Context(), machineName)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Begin(t.Context(), m, m.Units[0], cloud.Tags{Key: "r/t"}); err != nil {
				t.Fatal(err)
			}
			c.walk(func(s types.VirtualMachineSnapshotTree) {
				if s.Quiesced != x.want {
					t.Errorf("quiesced: %v, want %v", s.Quiesced, x.want)
				}
			})
			// The guest is asked to shut down before it is powered off.
			snaps, err := p.Snaps(t.Context(), cloud.Filter{Machine: m.ID})
			if err != nil {
				t.Fatal(err)
			}
			c.proxy.Reset()
			if err := p.Restore(t.Context(), m, snaps, cloud.Stages{}); err != nil {
				t.Fatal(err)
			}
			asked := strings.Contains(fmt.Sprint(c.proxy.Calls()), "ShutdownGuest")
			if asked != x.tools {
				t.Errorf("ShutdownGuest was called: %v, want %v", asked, x.tools)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	c := newCenter(t)
	for name, x := range map[string]struct {
		change func(driver.Config)
		says   string // "" for no error
	}{
		"thumbprint":       {func(driver.Config) {}, ""},
		"insecure":         {func(c driver.Config) { delete(c, "thumbprint"); c["insecure"] = true }, ""},
		"unknown":          {func(c driver.Config) { delete(c, "thumbprint") }, "set ca_file"},
		"wrong thumbprint": {func(d driver.Config) { d["thumbprint"] = strings.Repeat("AB:", 31) + "AB" }, "thumbprint"},
		"no such ca_file":  {func(d driver.Config) { d["ca_file"] = "/no/such/file" }, "ca_file"},
	} {
		err := c.provider(t, x.change).Check(t.Context())
		if x.says == "" && err != nil || x.says != "" && (driver.ClassOf(err) != driver.Permanent || !strings.Contains(err.Error(), x.says)) {
			t.Errorf("%s: %v, want a permanent error with %q", name, err, x.says)
		}
		if err != nil && strings.Contains(err.Error(), password) {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
}

func TestLogin(t *testing.T) {
	c := newCenter(t)
	good := c.provider(t)
	if err := good.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := c.provider(t, func(d driver.Config) { d["password"] = "wrong-1" }).Check(t.Context())
	if driver.ClassOf(err) != driver.Auth || strings.Contains(err.Error(), "wrong-1") {
		t.Errorf("a wrong password: %v, want class auth and no password in it", err)
	}
	// The server ends sessions after half an hour.
	client, err := good.login.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := methods.Logout(t.Context(), client, &types.Logout{This: *client.ServiceContent.SessionManager}); err != nil {
		t.Fatal(err)
	}
	if _, err := good.Machine(t.Context(), machineName); err != nil {
		t.Errorf("after the end of the session: %v", err)
	}
	for _, server := range []string{"", "http://vc.example.org", "https://root:secret-1@vc.example.org/sdk"} {
		if _, err := serverURL(server); err == nil || strings.Contains(err.Error(), "secret-1") {
			t.Errorf("server = %q: error %v, want a refusal without the password", server, err)
		}
	}
}

func TestRefuse(t *testing.T) {
	taskOf := func(f types.BaseMethodFault) error {
		return task.Error{LocalizedMethodFault: &types.LocalizedMethodFault{Fault: f, LocalizedMessage: "words of the server"}}
	}
	for name, x := range map[string]struct {
		err    error
		class  driver.Class
		unsure bool
	}{
		"no permission":    {taskOf(&types.NoPermission{}), driver.Auth, false},
		"busy":             {taskOf(&types.TaskInProgress{}), driver.Retryable, false},
		"gone":             {taskOf(&types.ManagedObjectNotFound{}), driver.NotFound, false},
		"datastore full":   {taskOf(&types.NoDiskSpace{}), driver.Quota, false},
		"no memory":        {taskOf(&types.InsufficientMemoryResourcesFault{}), driver.Quota, false},
		"quiesce":          {taskOf(&types.ApplicationQuiesceFault{}), driver.Permanent, false},
		"free licence":     {taskOf(&types.RestrictedVersion{}), driver.Auth, false},
		"anything else":    {taskOf(&types.SnapshotFault{}), driver.Permanent, false},
		"half an answer":   {fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), driver.Retryable, true},
		"gateway":          {cloud.Refusal("x", 502, 0, errors.New("502 Bad Gateway")), driver.Retryable, true},
		"not known at all": {errors.New("odd"), driver.Permanent, false},
	} {
		err := refuse(x.err, "power off the virtual machine %s", "m")
		if driver.ClassOf(err) != x.class || cloud.Unsure(err) != x.unsure || !strings.HasPrefix(err.Error(), "cannot power off the virtual machine m: ") {
			t.Errorf("%s: class %s, unsure %v, %v; want %s, %v", name, driver.ClassOf(err), cloud.Unsure(err), err, x.class, x.unsure)
		}
	}
	if refuse(nil, "x") != nil {
		t.Error("no error became one")
	}
}
