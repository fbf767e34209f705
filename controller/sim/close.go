package sim

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Close ends all servers and what still runs on the hosts. The folder stays,
// and can be removed.
func (f *Fleet) Close() error {
	var err error
	f.once.Do(func() {
		f.cancel()
		for _, s := range f.ssh {
			s.close()
		}
		for _, s := range f.web {
			s.Close()
		}
		f.done.Wait()
		for _, h := range f.Hosts {
			endRuns(h.State)
			if slices.Contains(h.Faults, DirNotWritable) {
				err = errors.Join(err, os.Chmod(h.Tree+"/apps", 0o755))
			}
		}
	})
	return err
}

// endRuns ends detached runs that have not ended: their sessions and what
// these started in sessions of their own.
func endRuns(state string) {
	pids, _ := filepath.Glob(filepath.Join(state, "runs", "*", "pid"))
	for _, file := range pids {
		if _, err := os.Stat(filepath.Join(filepath.Dir(file), "rc")); err == nil {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		word, start, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
		if pid, err := strconv.Atoi(word); err == nil && pid > 1 && startOf(pid) == start {
			syscall.Kill(-pid, syscall.SIGKILL)
		}
	}
}

// startOf is the start time of a process, by which it is told from a later one
// of its number; "" where there is no /proc.
func startOf(pid int) string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	if fields := strings.Fields(rest); len(fields) > 19 {
		return fields[19]
	}
	return ""
}
