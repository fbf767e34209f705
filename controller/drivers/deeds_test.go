package drivers_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// deeds are what the misfit does on request, besides what do knows.
var deeds = map[string]func(m *misfit, ctx context.Context, s driver.Subject, run driver.Runner) (string, error){
	"kill itself": func(*misfit, context.Context, driver.Subject, driver.Runner) (string, error) {
		return "", syscall.Kill(os.Getpid(), syscall.SIGKILL)
	},
	"flood 100 MB": func(*misfit, context.Context, driver.Subject, driver.Runner) (string, error) {
		line := strings.Repeat("y", 1023) + "\n"
		for range 100 << 10 {
			_, _ = os.NewFile(2, "stderr").WriteString(line)
		}
		return "", nil
	},
	"one endless line": func(*misfit, context.Context, driver.Subject, driver.Runner) (string, error) {
		piece := strings.Repeat("z", 1<<20)
		for range 50 {
			_, _ = os.NewFile(2, "stderr").WriteString(piece)
		}
		return "", nil
	},
	"answer of 100 MB": func(*misfit, context.Context, driver.Subject, driver.Runner) (string, error) {
		return strings.Repeat("x", 100<<20), nil
	},
	"odd text": func(*misfit, context.Context, driver.Subject, driver.Runner) (string, error) {
		return "\x1b[2J\x1b]0;owned\x07\xff\u202egnp.exe", nil
	},
	"odd error": func(*misfit, context.Context, driver.Subject, driver.Runner) (string, error) {
		return "", driver.Errorf(driver.Quota, "\x1b[31mred\x1b[0m \xff")
	},
	"odd commands": func(_ *misfit, ctx context.Context, _ driver.Subject, run driver.Runner) (string, error) {
		var refused []string
		for _, c := range []driver.Command{
			{}, {Argv: []string{"a\x00b"}}, {Argv: []string{"a", strings.Repeat("x", 1<<20)}}, {Argv: []string{"a"}, Dir: "relative"},
			{Argv: []string{"a"}, User: "-x y"}, {Argv: []string{"a"}, Env: map[string]string{"A B": "c"}},
		} {
			_, err := run.Run(ctx, c)
			refused = append(refused, fmt.Sprint(err))
		}
		return strings.Join(refused, "\n"), nil
	},
	"a thousand commands": func(_ *misfit, ctx context.Context, _ driver.Subject, run driver.Runner) (string, error) {
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { _, _ = run.Run(ctx, driver.Command{Argv: []string{"many"}, Stdin: make([]byte, 10000)}) })
		}
		wg.Wait()
		return "", nil
	},
	"eat memory": func(*misfit, context.Context, driver.Subject, driver.Runner) (string, error) {
		var all [][]byte
		for range 64 {
			b := make([]byte, 64<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
		}
		return strconv.Itoa(len(all)), nil
	},
	"open files": func(*misfit, context.Context, driver.Subject, driver.Runner) (string, error) {
		n := 0
		for ; n < 1<<20; n++ {
			if _, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0); err != nil {
				break
			}
		}
		return strconv.Itoa(n), nil
	},
	"ignore the end": func(_ *misfit, ctx context.Context, s driver.Subject, _ driver.Runner) (string, error) {
		touch(s.Labels["file"])
		<-ctx.Done()
		time.Sleep(300 * time.Millisecond)
		touch(s.Labels["file"] + ".late")
		return "too late", nil
	},
	"where is the secret": func(m *misfit, _ context.Context, _ driver.Subject, _ driver.Runner) (string, error) {
		found := []string{}
		token, _ := m.config["token"].(string)
		for _, file := range []string{"/proc/self/environ", "/proc/self/cmdline"} {
			b, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			if strings.Contains(string(b), token) || strings.Contains(string(b), "inherited") {
				found = append(found, file)
			}
		}
		_ = filepath.WalkDir(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), func(p string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				found = append(found, p)
			}
			return nil
		})
		return fmt.Sprintf("knows %d bytes, found in %q", len(token), found), nil
	},
	"leave a stray": func(*misfit, context.Context, driver.Subject, driver.Runner) (string, error) {
		c := exec.Command("/bin/sleep", "300")
		err := c.Start()
		return strconv.Itoa(c.Process.Pid), err
	},
}

// Create answers with a handle of its own choice when a label says so.
func (m *misfit) Create(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
	h := driver.Handle{Driver: "misfit", Version: 1, Key: r.Key, Data: []byte("x")}
	switch r.Subject.Labels["do"] {
	case "handle of another":
		h.Driver = "archive"
	case "handle of another key":
		h.Key = "r1/somebody-else"
	case "huge handle":
		h.Data = make([]byte, 1<<20)
	case "no handle":
		h = driver.Handle{}
	}
	return h, nil
}

func (m *misfit) Verify(_ context.Context, h driver.Handle, _ driver.Runner) (driver.Verification, error) {
	return driver.Verification{Verified: true, Detail: "trust me"}, nil // there never was a snapshot
}

// misfitPackages is a package driver that answers rubbish.
type misfitPackages struct{ infos atomic.Int32 }

func (m *misfitPackages) Info(context.Context) (driver.Info, error) {
	i := driver.Info{Name: "misfit", Version: "0.9", Kind: driver.KindPackages}
	if m.infos.Add(1) > 1 {
		i.Name, i.Kind = "archive", driver.KindSnapshot
	}
	return i, nil
}

func (*misfitPackages) Configure(context.Context, driver.Config) error { return nil }

func (*misfitPackages) Probes(_ context.Context, r driver.ProbeRequest) ([]driver.Command, error) {
	return []driver.Command{{Argv: []string{"sh", "-c", "a\x00b"}}}, nil
}

func (*misfitPackages) Facts(_ context.Context, r driver.ProbeRequest, _ []driver.Result) (driver.PackageFacts, error) {
	switch r.Upgrades[0] {
	case "many":
		return driver.PackageFacts{Pending: make([]driver.PackageChange, 100000)}, nil
	case "unknown change":
		return driver.PackageFacts{Pending: []driver.PackageChange{{Name: "a", Change: "explode"}}}, nil
	}
	return driver.PackageFacts{Pending: []driver.PackageChange{{Name: "a\x1b[31m", Change: driver.ChangeUpdate}}, Problems: []string{"\x1b[2J"}}, nil
}

func (*misfitPackages) Compile(_ context.Context, s driver.Selection) (driver.Commands, error) {
	return driver.Commands{Apply: []driver.Command{{Argv: []string{strings.Repeat("x", 200<<10)}}}}, nil
}
