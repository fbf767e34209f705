package survey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/inventory"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// shell runs the survey's command on this machine, with the shell and the
// environment given.
type shell struct {
	argv []string // of the shell, "sh" when empty
	env  []string
	last []byte
	// edit changes the script before it is sent.
	edit func(script string) string
}

func (s *shell) Run(ctx context.Context, c driver.Command) (driver.Result, error) {
	argv := c.Argv
	if len(s.argv) > 0 {
		argv = append(append([]string{}, s.argv...), c.Argv[1:]...)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = bytes.NewReader(c.Stdin)
	if s.edit != nil {
		cmd.Stdin = strings.NewReader(s.edit(string(c.Stdin)))
	}
	cmd.Env = append(os.Environ(), s.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	s.last = out.Bytes()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return driver.Result{}, err
	}
	return driver.Result{Exit: cmd.ProcessState.ExitCode(), Stdout: out.Bytes(), Stderr: errs.Bytes()}, nil
}

func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func show(t *testing.T, f plan.Facts) string {
	t.Helper()
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRealTree surveys a real installation, as root, when there is one.
func TestRealTree(t *testing.T) {
	tree := os.Getenv("NCFLEET_TEST_TREE")
	if tree == "" {
		t.Skip("NCFLEET_TEST_TREE does not name the code tree of a real Nextcloud")
	}
	host := inventory.Host{Name: "real", StateDir: t.TempDir()}
	for i, p := range filepath.SplitList(tree) {
		host.Instances = append(host.Instances, inventory.Instance{Name: fmt.Sprintf("nc%d", i+1), Path: p})
	}
	sh := &shell{}
	if os.Getenv("NCFLEET_TEST_SH") != "" {
		sh.argv = strings.Fields(os.Getenv("NCFLEET_TEST_SH"))
	}
	f := Take(context.Background(), Request{Host: host, Remote: sh, Now: noon, SetupChecks: true})
	if out := os.Getenv("NCFLEET_TEST_OUT"); out != "" {
		if err := os.WriteFile(out, sh.last, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(show(t, f))
	if f.Unreachable != "" || f.BootID == "" || len(f.Mounts) == 0 {
		t.Fatalf("the host was not surveyed: %q %v", f.Unreachable, f.Problems)
	}
	for _, in := range f.Instances {
		if in.Missing != "" || in.Code.Zero() || in.Config.Zero() || in.StatusProblem != "" {
			t.Errorf("%s: not read: missing %q, code %s, status %q", in.Name, in.Missing, in.Code, in.StatusProblem)
		}
		if in.Database.Version == "" || in.Database.Bytes <= 0 || len(in.Apps) < 30 || len(in.PHP.Modules) < 10 {
			t.Errorf("%s: PHP told too little: %+v, %d apps", in.Name, in.Database, len(in.Apps))
		}
		if in.TreeFiles < 10000 || in.TreeBytes < 100<<20 {
			t.Errorf("%s: tree of %d files, %d bytes", in.Name, in.TreeFiles, in.TreeBytes)
		}
		if len(in.SetupChecks) < 20 {
			t.Errorf("%s: %d setup checks", in.Name, len(in.SetupChecks))
		}
	}
}

func TestUnreachable(t *testing.T) {
	for name, c := range map[string]struct {
		remote Remote
		path   string
		want   string
	}{
		"no connection": {answers{err: errors.New("cannot dial cloud-07: connection refused")}, "/srv", "connection refused"},
		"no sudo": {answers{res: driver.Result{Exit: 1, Stderr: []byte("sudo: a password is required\n")}}, "/srv",
			"the survey's script did not run on the host (exit status 1: sudo: a password is required)"},
		"cut off": {answers{res: driver.Result{Stdout: []byte("ncfleet-survey 1\n 5 host.out\n 5 total\n\nabc")}}, "/srv",
			"the survey's answer breaks off in host.out"},
		"newline": {answers{}, "/srv/a\nb", `"/srv/a\nb" holds a control character`},
	} {
		t.Run(name, func(t *testing.T) {
			host := inventory.Host{Name: "cloud-07", Instances: []inventory.Instance{{Name: "files", Path: c.path}}}
			f := Take(context.Background(), Request{Host: host, Remote: c.remote, Now: noon})
			if !strings.Contains(f.Unreachable, c.want) {
				t.Errorf("Unreachable = %q, want %q in it", f.Unreachable, c.want)
			}
			if f.Host != "cloud-07" || !f.SeenAt.Equal(noon()) {
				t.Errorf("host %q seen at %v", f.Host, f.SeenAt)
			}
		})
	}
}

type answers struct {
	res driver.Result
	err error
}

func (a answers) Run(context.Context, driver.Command) (driver.Result, error) { return a.res, a.err }

func TestManyKeepsOrderAndLimit(t *testing.T) {
	var requests []Request
	for i := range 50 {
		requests = append(requests, Request{Host: inventory.Host{Name: fmt.Sprint(i)}})
	}
	var now, most atomic.Int32
	got := Many(context.Background(), requests, 7, func(_ context.Context, r Request) plan.Facts {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
		return plan.Facts{Host: r.Host.Name}
	})
	for i, f := range got {
		if f.Host != fmt.Sprint(i) {
			t.Fatalf("place %d holds host %s", i, f.Host)
		}
	}
	if most.Load() > 7 || most.Load() < 2 {
		t.Errorf("%d surveys at once, want at most 7 and more than one", most.Load())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, f := range Many(ctx, requests, 0, func(context.Context, Request) plan.Facts { return plan.Facts{} }) {
		if f.Unreachable == "" {
			t.Fatal("a survey was begun after the context ended")
		}
	}
}

// TestManyBySite keeps a site's hosts waiting until all others were surveyed.
func TestManyBySite(t *testing.T) {
	var requests []Request
	for i := range 40 {
		h := inventory.Host{Name: fmt.Sprint(i)}
		if i < 20 {
			h.Sites = []inventory.Site{{Group: "all", Parallel: 100}, {Group: "berlin", Parallel: 3}}
		}
		requests = append(requests, Request{Host: h})
	}
	var now, most, others atomic.Int32
	elsewhere := make(chan struct{})
	for i, f := range Many(t.Context(), requests, 8, func(_ context.Context, r Request) plan.Facts {
		if len(r.Host.Sites) == 0 {
			if others.Add(1) == 20 {
				close(elsewhere)
			}
			return plan.Facts{Host: r.Host.Name}
		}
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-elsewhere
		now.Add(-1)
		return plan.Facts{Host: r.Host.Name}
	}) {
		if f.Host != fmt.Sprint(i) {
			t.Fatalf("place %d holds host %s", i, f.Host)
		}
	}
	if most.Load() > 3 {
		t.Errorf("%d hosts of the site at once, want at most 3", most.Load())
	}
}
