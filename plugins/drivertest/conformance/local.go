//go:build unix

package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// LocalRunner runs commands on this machine, as this user; Command.User is
// ignored. It is for tests only.
type LocalRunner struct{}

// Run runs the command.
func (LocalRunner) Run(ctx context.Context, c driver.Command) (driver.Result, error) {
	if len(c.Argv) == 0 {
		return driver.Result{Exit: -1}, errors.New("cannot run an empty command")
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	// What the command started ends with it, as on a host.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Dir, bytes.NewReader(c.Stdin), &stdout, &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	for k, v := range c.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	err := cmd.Run()
	r := driver.Result{Exit: -1, Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return r, fmt.Errorf("cannot run %s: %w", c.Argv[0], ctx.Err())
	case errors.As(err, &exit):
		r.Exit = exit.ExitCode()
		return r, nil
	case errors.Is(err, exec.ErrNotFound):
		r.Exit = 127
		return r, nil
	case err != nil:
		return r, fmt.Errorf("cannot run %s: %w", c.Argv[0], err)
	}
	r.Exit = 0
	return r, nil
}

// readTrees describes the files of all places: path, mode, owner-independent
// content.
func readTrees(t T, places []driver.Place) string {
	t.Helper()
	var b strings.Builder
	for _, p := range places {
		if p.Path == "" {
			continue
		}
		err := filepath.WalkDir(p.Path, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				fmt.Fprintf(&b, "%s absent\n", path)
				return nil
			}
			if err != nil {
				return err
			}
			return describe(&b, path, d)
		})
		if err != nil {
			t.Fatalf("cannot read the target: %v", err)
		}
	}
	return b.String()
}

func describe(b *strings.Builder, path string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "%s %s", path, info.Mode())
	switch {
	case info.Mode().IsRegular():
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, " %q", content)
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, " -> %q", to)
	}
	b.WriteByte('\n')
	return nil
}

// changeTrees alters every place as an upgrade gone wrong would: one file
// changed, one gone, one new.
func changeTrees(t T, places []driver.Place) {
	t.Helper()
	for _, p := range places {
		if p.Path == "" {
			continue
		}
		var files []string
		_ = filepath.WalkDir(p.Path, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files = append(files, path)
			}
			return nil
		})
		if len(files) > 0 {
			f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
			must(t, err)
			_, err = f.WriteString("\n# changed by drivertest\n") // a comment in many languages
			must(t, errors.Join(err, f.Close()))
		}
		if len(files) > 1 {
			must(t, os.Remove(files[1]))
		}
		if info, err := os.Stat(p.Path); err == nil && info.IsDir() {
			must(t, os.WriteFile(filepath.Join(p.Path, "drivertest-new"), []byte("new\n"), 0o644))
		}
	}
}

func must(t T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("cannot change the target: %v", err)
	}
}
