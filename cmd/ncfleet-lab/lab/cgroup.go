package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const cgroups = "/sys/fs/cgroup"

// unified reports whether there is one hierarchy of control groups (v2).
func unified() bool {
	_, err := os.Stat(cgroups + "/cgroup.controllers")
	return err == nil
}

// cgroupRoots are the hierarchies that a host's processes are put into. Each
// host needs a group of its own: hosts that share one disturb each other.
func cgroupRoots() []string {
	candidates := []string{"systemd", "unified", "memory", "freezer", "pids"}
	if unified() {
		candidates = []string{"."}
	}
	var roots []string
	for _, c := range candidates {
		dir := filepath.Join(cgroups, c)
		if _, err := os.Stat(dir + "/cgroup.procs"); err == nil {
			roots = append(roots, dir)
		}
	}
	return roots
}

// groups are the control groups of one member of the lab, a host or the holder.
func (l *Lab) groups(member string) []string {
	var dirs []string
	for _, root := range cgroupRoots() {
		dirs = append(dirs, filepath.Join(root, l.Group(), member))
	}
	return dirs
}

// joinGroups puts this process into a member's groups.
func (l *Lab) joinGroups(member string) error {
	for _, dir := range l.groups(member) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("cannot make a control group: %w", err)
		}
		if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			return fmt.Errorf("cannot enter the control group %s: %w", dir, err)
		}
	}
	if unified() {
		// Accounting is wanted, not needed: without it status shows no memory.
		top := filepath.Join(cgroups, l.Group(), "cgroup.subtree_control")
		_ = os.WriteFile(top, []byte("+memory"), 0o644)
	}
	return nil
}

// freezerFile returns the file that freezes a host, and what to write there.
func (h *Host) freezerFile() (path, frozen, thawed string) {
	if unified() {
		return filepath.Join(cgroups, h.lab.Group(), h.Name, "cgroup.freeze"), "1", "0"
	}
	return filepath.Join(cgroups, "freezer", h.lab.Group(), h.Name, "freezer.state"), "FROZEN", "THAWED"
}

func (h *Host) frozen() bool {
	path, frozen, _ := h.freezerFile()
	data, err := os.ReadFile(path)
	text := strings.TrimSpace(string(data))
	return err == nil && (text == frozen || text == "FREEZING")
}

// memory is what the host's processes hold, without the page cache; -1 when the
// kernel does not say.
func (h *Host) memory() int64 {
	path, name := filepath.Join(cgroups, "memory", h.lab.Group(), h.Name, "memory.stat"), "total_rss"
	if unified() {
		path, name = filepath.Join(cgroups, h.lab.Group(), h.Name, "memory.stat"), "anon"
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return -1
	}
	for _, line := range strings.Split(string(data), "\n") {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
				return n
			}
		}
	}
	return -1
}

// members lists the processes in all groups of the lab.
func (l *Lab) members() []int {
	seen := map[int]bool{}
	var pids []int
	for _, root := range cgroupRoots() {
		// A group may vanish while it is read: its processes are gone then.
		_ = filepath.WalkDir(filepath.Join(root, l.Group()), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.Name() != "cgroup.procs" {
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			for _, word := range strings.Fields(string(data)) {
				if pid, err := strconv.Atoi(word); err == nil && !seen[pid] {
					seen[pid] = true
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// endMembers ends every process of the lab's groups, at once: these are
// machines whose power is cut.
func (l *Lab) endMembers(ctx context.Context) error {
	l.thawAll()
	err := poll(ctx, 20*time.Second, "the end of the lab's processes", func() bool {
		pids := l.members()
		for _, pid := range pids {
			if pid > 1 && pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
			}
		}
		return len(pids) == 0
	})
	if err != nil {
		return fmt.Errorf("%w; they are %v", err, l.members())
	}
	return nil
}

// thawAll lets frozen hosts go on: a frozen process does not die.
func (l *Lab) thawAll() {
	files, text := cgroups+"/freezer/"+l.Group()+"/*/freezer.state", "THAWED"
	if unified() {
		files, text = cgroups+"/"+l.Group()+"/*/cgroup.freeze", "0"
	}
	found, _ := filepath.Glob(files) // the pattern is sound
	for _, f := range found {
		_ = os.WriteFile(f, []byte(text), 0o644) // what is not thawed is reported by endMembers
	}
}

// removeGroups removes the lab's empty groups, from the leaves up.
func (l *Lab) removeGroups(ctx context.Context) error {
	var last error
	err := poll(ctx, 10*time.Second, "the end of the lab's control groups", func() bool {
		last = nil
		for _, root := range cgroupRoots() {
			var dirs []string
			_ = filepath.WalkDir(filepath.Join(root, l.Group()), func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for i := len(dirs) - 1; i >= 0; i-- {
				if err := syscall.Rmdir(dirs[i]); err != nil && !errors.Is(err, syscall.ENOENT) {
					last = fmt.Errorf("%s: %w", dirs[i], err)
				}
			}
		}
		return last == nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}
