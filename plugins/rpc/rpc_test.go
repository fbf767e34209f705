package rpc_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

// The binary serves a driver when a controller started it, and shows what
// Serve does otherwise when asked to.
func TestMain(m *testing.M) {
	if known := os.Getenv("SPEAKS"); known != "" {
		rpc.ServeVersions(&mirror{FakeSnapshotter: drivertest.NewFakeSnapshotter(os.TempDir())}, known)
		return
	}
	if rpc.Started() || os.Getenv("SERVE") != "" {
		rpc.Serve(&mirror{FakeSnapshotter: drivertest.NewFakeSnapshotter(os.TempDir())})
		return
	}
	os.Exit(m.Run())
}

// mirror says back what it was told, so that a test sees it after two trips.
type mirror struct {
	*drivertest.FakeSnapshotter
	drivertest.FakePackages
	config driver.Config
}

func (m *mirror) Info(context.Context) (driver.Info, error) { return info, nil }

func (m *mirror) Configure(_ context.Context, c driver.Config) error {
	m.config = c
	return nil
}

func (m *mirror) Cover(_ context.Context, s driver.Subject, _ driver.Runner) (driver.Coverage, error) {
	note := fmt.Sprintf("%#v", s)
	if s.Instance == "config" {
		note = fmt.Sprintf("%#v", m.config)
	}
	return driver.Coverage{
		Captured: s.Places, Missing: []driver.Hole{{Place: s.Places[0], Reason: "why"}},
		Consistent: true, BytesFree: -1, BytesNeed: 1 << 40, Note: note,
	}, nil
}

func (m *mirror) List(_ context.Context, s driver.Subject, _ driver.Runner) ([]driver.Snapshot, error) {
	return []driver.Snapshot{{Handle: handle, Created: 1, Bytes: 2, Orphan: true}}, nil
}

func (m *mirror) Verify(_ context.Context, h driver.Handle, _ driver.Runner) (driver.Verification, error) {
	return driver.Verification{Verified: reflect.DeepEqual(h, handle), Digest: "d", Bytes: 3, Detail: "x\xffy"}, nil
}

func (m *mirror) Facts(_ context.Context, r driver.ProbeRequest, results []driver.Result) (driver.PackageFacts, error) {
	f := facts
	f.Lock = fmt.Sprintf("%+v %d %d", r, len(results[0].Stdout), results[0].Exit)
	return f, nil
}

func (m *mirror) Compile(_ context.Context, s driver.Selection) (driver.Commands, error) {
	return driver.Commands{Stage: []driver.Command{command}, Apply: []driver.Command{command, {Argv: []string{"b"}}},
		Repair: []driver.Command{{Argv: []string{fmt.Sprintf("%+v", s)}}}}, nil
}

var (
	info = driver.Info{Name: "mirror", Version: "1", Kind: driver.KindSnapshot, Capabilities: []string{"online"}, Schema: driver.Schema{
		Attributes: []driver.Attribute{{Name: "a", Type: "string", Required: true, Secret: true, Default: "d", Help: "h"}},
	}}
	handle  = driver.Handle{Driver: "mirror", Version: 7, Key: "k/é", Data: []byte{0, 0xff}}
	command = driver.Command{Argv: []string{"a", "", "\xff"}, Env: map[string]string{"K": "\xfe"}, Stdin: []byte{0},
		User: "root", Dir: "/d\xff", Timeout: time.Minute}
	change = driver.PackageChange{Name: "n", From: "1", To: "2", Change: driver.ChangeUpgrade, Product: "php", Security: true, Held: true, Reason: "r"}
	facts  = driver.PackageFacts{Pending: []driver.PackageChange{change}, Broken: []string{"b"}, RebootRequired: true, Problems: []string{"p"},
		Stale: []string{"php8.2-fpm.service"}, ReleaseSteps: []string{"read", "do"}}
)

func start(t *testing.T) *rpc.Process {
	t.Helper()
	p := drivertest.Subprocess(t, nil)
	return p
}

func TestEverythingCrossesTheWire(t *testing.T) {
	p, ctx := start(t), t.Context()
	s, m := p.Snapshotter(), p.PackageManager()
	check := func(what string, got, want any, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, error %v, want %+v", what, got, err, want)
		}
	}
	i, err := s.Info(ctx)
	check("Info", i, info, err)

	config := driver.Config{"text": "x", "number": 2.5, "flag": true, "list": []string{"a", "b"}, "none": []string{}}
	if err := s.Configure(ctx, config); err != nil {
		t.Fatal(err)
	}
	places := []driver.Place{{Part: driver.PartData, Path: "/srv/\xff", Detail: "d"}}
	c, err := s.Cover(ctx, driver.Subject{Instance: "config", Places: places}, nil)
	check("Configure", c.Note, fmt.Sprintf("%#v", config), err)
	if err := s.Configure(ctx, driver.Config{"odd": 1}); err == nil {
		t.Error("a configuration of a type that the contract lacks is sent")
	}

	subject := driver.Subject{Host: "h", Instance: "i", Labels: map[string]string{"l": "v"}, Places: places,
		WebUser: "www-data", PHP: "/usr/bin/php", DatabaseKind: "pgsql", StateDir: "/var/lib/x"}
	c, err = s.Cover(ctx, subject, nil)
	check("Cover", c, driver.Coverage{Captured: places, Missing: []driver.Hole{{Place: places[0], Reason: "why"}},
		Consistent: true, BytesFree: -1, BytesNeed: 1 << 40, Note: strings.ToValidUTF8(fmt.Sprintf("%#v", subject), "\uFFFD")}, err)
	l, err := s.List(ctx, subject, nil)
	check("List", l, []driver.Snapshot{{Handle: handle, Created: 1, Bytes: 2, Orphan: true}}, err)
	v, err := s.Verify(ctx, handle, nil)
	check("Verify", v, driver.Verification{Verified: true, Digest: "d", Bytes: 3, Detail: "x\uFFFDy"}, err)

	request := driver.ProbeRequest{Refresh: true, Upgrades: []string{"php"}}
	f, err := m.Facts(ctx, request, []driver.Result{{Exit: -1, Stdout: make([]byte, 6<<20)}})
	want := facts
	want.Lock = fmt.Sprintf("%+v %d -1", request, 6<<20)
	check("Facts with more than grpc's 4 MiB", f, want, err)
	selection := driver.Selection{Changes: []driver.PackageChange{change}, LockWait: time.Hour}
	cs, err := m.Compile(ctx, selection)
	check("Compile", cs, driver.Commands{Stage: []driver.Command{command}, Apply: []driver.Command{command, {Argv: []string{"b"}}},
		Repair: []driver.Command{{Argv: []string{fmt.Sprintf("%+v", selection)}}}}, err)
}

func TestOneMessageHasALimit(t *testing.T) {
	p := start(t)
	_, err := p.PackageManager().Facts(t.Context(), driver.ProbeRequest{}, []driver.Result{{Stdout: make([]byte, 65<<20)}})
	if driver.ClassOf(err) != driver.Permanent || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("error %v", err)
	}
}

func TestServeByHandExplainsItself(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = []string{"SERVE=1"}
	out, err := c.CombinedOutput()
	if err == nil || c.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), `"mirror" 1 of kind "snapshot"`) || !strings.Contains(string(out), "ncfleet driver lock") {
		t.Errorf("error %v, output %s", err, out)
	}
}

func TestRelativePathsAreRefused(t *testing.T) {
	if _, err := rpc.Start(t.Context(), rpc.Options{Name: "x", Path: "bin/x"}); err == nil || !strings.Contains(err.Error(), "not absolute") {
		t.Errorf("error %v", err)
	}
}
