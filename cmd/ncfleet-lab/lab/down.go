package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Down removes the lab: processes, mounts, namespaces, loop devices, control
// groups and files. It may be called at any time, also after a crash, and twice.
// With purge, the build cache goes too.
func (l *Lab) Down(ctx context.Context, purge bool) error {
	if err := Ready(); err != nil {
		return err
	}
	if p, err := l.holderProcess(); err == nil {
		_ = syscall.Kill(p.PID, syscall.SIGTERM) // it may have ended by itself
		_ = poll(ctx, 2*time.Second, "the end of the holder", func() bool { return !p.alive() })
		if p.alive() {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
		}
		if err := poll(ctx, 10*time.Second, "the end of the lab's holder", func() bool { return !p.alive() }); err != nil {
			return err
		}
	}
	if err := l.endMembers(ctx); err != nil {
		return err
	}
	if err := l.removeGroups(ctx); err != nil {
		return err
	}
	// Mounts, namespaces and loop devices went with the last process.
	if err := poll(ctx, 20*time.Second, "the release of the lab's disks", func() bool { return len(l.loops()) == 0 }); err != nil {
		return fmt.Errorf("%w: %s", err, strings.Join(l.loops(), ", "))
	}
	if err := restoreInotify(); err != nil {
		return err
	}
	return l.removeFiles(purge)
}

// loops lists the loop devices whose file lies in the lab's folder.
func (l *Lab) loops() []string {
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file") // the pattern is sound
	var list []string
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err == nil && strings.HasPrefix(string(data), l.dir+"/hosts/") {
			list = append(list, "/dev/"+strings.Split(f, "/")[3])
		}
	}
	return list
}

// removeFiles removes what Up made, and refuses to while anything is mounted
// below: it would remove the content of that.
func (l *Lab) removeFiles(purge bool) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("cannot read the mounts: %w", err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], l.dir+"/") {
			return fmt.Errorf("cannot remove %s: %s is mounted there; unmount it and try again", l.dir, f[4])
		}
	}
	made := []string{"hosts", "releases", "id_ed25519", "id_ed25519.pub", "known_hosts", "fleet.hcl", "ncfleet.lock", "ada-password", ".ncfleet"}
	var errs []error
	for _, name := range made {
		errs = append(errs, os.RemoveAll(filepath.Join(l.dir, name)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot remove the lab's files: %w", err) // the state stays, for another try
	}
	if err := os.RemoveAll(filepath.Join(l.dir, "run")); err != nil {
		return fmt.Errorf("cannot remove the lab's state: %w", err)
	}
	if purge {
		if err := l.purge(); err != nil {
			return err
		}
	}
	_ = os.Remove(l.dir) // only when it is empty: the cache may be inside
	return nil
}

// purge removes what the lab made in its cache, and nothing else there.
func (l *Lab) purge() error {
	var errs []error
	for _, pattern := range []string{"root-*", "template-*", "build-*", "install-*", "lock"} {
		found, err := filepath.Glob(filepath.Join(l.cache, pattern))
		errs = append(errs, err)
		for _, f := range found {
			errs = append(errs, os.RemoveAll(f))
		}
	}
	_ = os.Remove(l.cache) // only when it is empty
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("cannot remove the build cache: %w", err)
	}
	return nil
}
