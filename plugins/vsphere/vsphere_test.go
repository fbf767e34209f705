package vsphere

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vapi/vm/dataset"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // the simulator's own words
	drivertest.Main(m, func() driver.Driver { return New() })
}

const (
	machineName = "DC0_H0_VM0"
	user        = "ncfleet@vsphere.local"
	password    = "hunter2"
)

// center is govmomi's simulator of a vCenter with a proxy before it. The
// simulator's disks have no contents; its data sets, which it saves and reverts
// with a snapshot, stand for them.
type center struct {
	model   *simulator.Model
	context *simulator.Context
	proxy   *cloudtest.Proxy
	front   *httptest.Server // speaks TLS for the proxy
	host    *cloudtest.Host
	changes int
}

func newCenter(t *testing.T) *center {
	t.Helper()
	c := &center{model: simulator.VPX()}
	if err := c.model.Create(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.model.Remove)
	c.model.Service.Listen = &url.URL{User: url.UserPassword(user, password)}
	s := c.model.Service.NewServer()
	t.Cleanup(s.Close)
	c.context = c.model.Service.Context
	c.proxy = cloudtest.NewProxy(t, s.URL.Scheme+"://"+s.URL.Host+"/sdk")
	c.proxy.Action = func(_ *http.Request, body string) string { return " " + route(method(body)) }
	to, err := url.Parse(c.proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: to.Scheme, Host: to.Host})
	forward.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	c.front = httptest.NewUnstartedServer(forward)
	c.front.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.front.StartTLS()
	t.Cleanup(c.front.Close)

	world := cloudtest.NewWorld()
	world.AddMachine(cloudtest.Machine{ID: machineName, Name: machineName, GiB: 10})
	c.host = &cloudtest.Host{World: world, Machine: machineName, Points: map[string]string{"sda": "/"}, Server: "sda"}
	c.write("as installed")
	return c
}

// method is the name of a SOAP call.
func method(body string) string {
	d := xml.NewDecoder(bytes.NewReader([]byte(body)))
	for in := false; ; {
		tok, err := d.Token()
		if err != nil {
			return "?"
		}
		if e, ok := tok.(xml.StartElement); ok {
			if in {
				return e.Name.Local
			}
			in = e.Name.Local == "Body"
		}
	}
}

// route joins the calls that only read: a fault of one is that of another.
func route(method string) string {
	for _, verb := range []string{"Login", "CreateSnapshot", "RemoveSnapshot", "RevertToSnapshot", "Power", "Shutdown", "WaitForUpdates"} {
		if strings.HasPrefix(method, verb) {
			return method
		}
	}
	return "read"
}

func (c *center) vm(name string) *simulator.VirtualMachine {
	for _, e := range c.model.Map().All("VirtualMachine") {
		if vm := e.(*simulator.VirtualMachine); vm.Name == name {
			return vm
		}
	}
	panic("no virtual machine " + name)
}

// write replaces the contents of the machine's disks.
func (c *center) write(contents string) {
	vm := c.vm(machineName)
	c.context.WithLock(vm, func() {
		vm.DataSets = map[string]*simulator.DataSet{"disk": {Info: &dataset.Info{Name: "disk"}, ID: "disk", Entries: map[string]string{"contents": contents}}}
	})
}

func (c *center) change(*testing.T) {
	c.changes++
	c.write(fmt.Sprintf("upgraded %d times", c.changes))
}

func (c *center) state(*testing.T) (s string) {
	vm := c.vm(machineName)
	c.context.WithLock(vm, func() {
		s = fmt.Sprintf("%s, %q", vm.Runtime.PowerState, vm.DataSets["disk"].Entries["contents"])
	})
	return s
}

// thumbprint is that of the front's certificate.
func (c *center) thumbprint() string { return soap.ThumbprintSHA256(c.front.Certificate()) }

func (c *center) config() driver.Config {
	return driver.Config{"server": c.front.Listener.Addr().String(), "username": user, "password": password,
		"thumbprint": c.thumbprint(), "poll": "2ms", "wait": "20s"}
}

func (c *center) subject() driver.Subject { return c.host.Subject("nc-1", "vsphere_vm") }

// walk calls f for each snapshot in the machine's tree.
func (c *center) walk(f func(types.VirtualMachineSnapshotTree)) {
	vm := c.vm(machineName)
	c.context.WithLock(vm, func() {
		if vm.Snapshot == nil {
			return
		}
		var each func([]types.VirtualMachineSnapshotTree)
		each = func(tree []types.VirtualMachineSnapshotTree) {
			for _, s := range tree {
				f(s)
				each(s.ChildSnapshotList)
			}
		}
		each(vm.Snapshot.RootSnapshotList)
	})
}

func (c *center) kept(_ *testing.T, key string) (snapshots, volumes int) {
	c.walk(func(s types.VirtualMachineSnapshotTree) {
		if strings.Contains(s.Description, "ncfleet-key: "+key+"\n") {
			snapshots++
		}
	})
	return snapshots, 0
}

func (c *center) conformance(t *testing.T, newOne func(*testing.T) driver.Snapshotter) {
	drivertest.Snapshotter(t, drivertest.Snapshots{
		New: newOne, Config: c.config(), Subject: c.subject(), Runner: c.host, Change: c.change, State: c.state,
		Damage: func(*testing.T, driver.Handle) { c.removeAll() }, // somebody deletes it by hand
	})
}

func TestConformance(t *testing.T) {
	newCenter(t).conformance(t, func(*testing.T) driver.Snapshotter { return New() })
}

// TestConformanceOfTheBinary runs the suite over the program as users get it.
func TestConformanceOfTheBinary(t *testing.T) {
	newCenter(t).conformance(t, cloudtest.Binary(t, "../../cmd/ncfleet-driver-vsphere"))
}

func (c *center) removeAll() {
	vm := c.vm(machineName)
	c.context.WithLock(vm, func() { vm.Snapshot = nil })
}

// boots tells one boot from another by its time.
func (c *center) boots(*testing.T) (n int) {
	vm := c.vm(machineName)
	c.context.WithLock(vm, func() {
		if vm.Summary.Runtime.BootTime != nil {
			n = int(vm.Summary.Runtime.BootTime.UnixNano())
		}
	})
	return n
}

// TestFaults spoils the calls of a snapshot's life. Every fault of every call
// takes minutes, so that the everyday run has the telling ones.
func TestFaults(t *testing.T) {
	c := newCenter(t)
	kinds := []cloudtest.Fault{cloudtest.Lost, cloudtest.Cut, cloudtest.Down}
	if os.Getenv("NCFLEET_TEST_ALL") != "" {
		kinds = cloudtest.Faults()
	}
	cloudtest.Run(t, cloudtest.Target{
		New:    func(*testing.T) driver.Snapshotter { return New() },
		Config: c.config(), Subject: c.subject(), Runner: c.host, Proxy: c.proxy,
		Change: c.change, State: c.state, Kept: c.kept, Boots: c.boots, Want: 1, Kinds: kinds,
	})
}
