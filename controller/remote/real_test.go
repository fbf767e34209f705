package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

func TestRunOnRealHost(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	h := s.connect(t)
	dir := filepath.Join(s.dir, "it's a $HOME `dir` \\ \"x\"")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	nasty := "a'b\"c\\d\n$(id) `id` \t!* ü\x01"
	for _, c := range []struct {
		name string
		cmd  driver.Command
		want driver.Result
	}{
		{"plain", driver.Command{Argv: []string{"printf", "%s", nasty}}, driver.Result{Stdout: []byte(nasty)}},
		{"status", driver.Command{Argv: []string{"sh", "-c", "echo o; echo e >&2; exit 7"}}, driver.Result{Exit: 7, Stdout: []byte("o\n"), Stderr: []byte("e\n")}},
		{"signal", driver.Command{Argv: []string{"sh", "-c", "kill -9 $$"}}, driver.Result{Exit: 137}},
		{"stdin", driver.Command{Argv: []string{"cat"}, Stdin: []byte(nasty)}, driver.Result{Stdout: []byte(nasty)}},
		{"env", driver.Command{Argv: []string{"sh", "-c", `printf %s "$A"; cat`}, Env: map[string]string{"A": nasty, "e": "1"}, Stdin: []byte("\nin")}, driver.Result{Stdout: []byte(nasty + "\nin")}},
		{"dir", driver.Command{Argv: []string{"pwd"}, Dir: dir}, driver.Result{Stdout: []byte(dir + "\n")}},
		{"locale", driver.Command{Argv: []string{"sh", "-c", "printf %s $LC_ALL"}}, driver.Result{Stdout: []byte("C.UTF-8")}},
		{"odd name", driver.Command{Argv: []string{"A=b"}}, driver.Result{Exit: 127}},
		{"long", driver.Command{Argv: []string{"printf", "%.3s", strings.Repeat("x", 120<<10)}}, driver.Result{Stdout: []byte("xxx")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustRun(t, h, c.cmd)
			if c.want.Exit == 127 {
				got.Stderr = nil
			}
			// A login shell's start-up files may complain before the command does.
			if got.Exit != c.want.Exit || !bytes.Equal(got.Stdout, c.want.Stdout) || !bytes.HasSuffix(got.Stderr, c.want.Stderr) {
				t.Errorf("got %d %q %q, want %d %q %q", got.Exit, got.Stdout, got.Stderr, c.want.Exit, c.want.Stdout, c.want.Stderr)
			}
		})
	}
	t.Run("no folder", func(t *testing.T) {
		_, err := h.Run(testContext(t), driver.Command{Argv: []string{"pwd"}, Dir: "/nonexistent/x"})
		var e *NotStarted
		if !errors.As(err, &e) || !strings.Contains(e.Reason, "/nonexistent/x") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTimeoutLeavesOutcomeUnknown(t *testing.T) {
	h := startSSHD(t).connect(t)
	mustRun(t, h, driver.Command{Argv: []string{"true"}}) // connecting must not use up the time
	_, err := h.Run(testContext(t), driver.Command{Argv: []string{"sleep", "60"}, Timeout: 500 * time.Millisecond})
	var unknown *OutcomeUnknown
	if !errors.As(err, &unknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want OutcomeUnknown by the deadline", err)
	}
	if r := mustRun(t, h, driver.Command{Argv: []string{"true"}}); r.Exit != 0 {
		t.Errorf("the connection is unusable afterwards: %v", r)
	}
}

func TestManySessions(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, "MaxSessions 10")
	s.config.MaxSessions = 12
	h := s.connect(t)
	var wg sync.WaitGroup
	errs := make(chan error, 24)
	for i := range 24 {
		wg.Go(func() {
			r, err := h.Run(testContext(t), driver.Command{Argv: []string{"sh", "-c", fmt.Sprintf("sleep 0.3; echo %d", i)}})
			if err == nil && string(r.Stdout) != fmt.Sprintf("%d\n", i) {
				err = fmt.Errorf("got %q", r.Stdout)
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestUploadToRealHost(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	h := s.connect(t)
	content := bytes.Repeat([]byte("0123456789abcde\n"), 5<<16)
	sum := sha256.Sum256(content)
	opened := 0
	r := UploadRequest{
		Path: filepath.Join(s.dir, "new folder", "fi'le"), Mode: 0o640, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]),
		Open: func() (io.ReadCloser, error) { opened++; return io.NopCloser(bytes.NewReader(content)), nil },
	}
	for range 2 {
		if err := h.Upload(testContext(t), r); err != nil {
			t.Fatal(err)
		}
	}
	if opened != 1 {
		t.Errorf("content was sent %d times, want once", opened)
	}
	got, err := os.ReadFile(r.Path)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	if info, _ := os.Stat(r.Path); info.Mode().Perm() != 0o640 {
		t.Errorf("mode is %v", info.Mode())
	}
	wrong := r
	wrong.SHA256 = strings.Repeat("0", 64)
	if err := h.Upload(testContext(t), wrong); err == nil || !strings.Contains(err.Error(), "sha256") {
		t.Errorf("wrong checksum: got %v", err)
	}
	short := r
	short.Size++
	if err := h.Upload(testContext(t), short); err == nil || !strings.Contains(err.Error(), "bytes arrived") {
		t.Errorf("wrong size: got %v", err)
	}
	left, _ := os.ReadDir(filepath.Dir(r.Path))
	if len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDialThroughHost(t *testing.T) {
	h := startSSHD(t).connect(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			io.WriteString(c, "hello")
			c.Close()
		}
	}()
	c, err := h.Dial(testContext(t), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, _ := io.ReadAll(c); string(got) != "hello" {
		t.Errorf("got %q", got)
	}
}
