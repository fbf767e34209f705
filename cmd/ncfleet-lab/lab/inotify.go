package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// inotifyWanted is what a fleet needs of fs.inotify.max_user_instances: all
// hosts count as one user, and each systemd takes several.
const inotifyWanted = 8192

const inotifyFile = "/proc/sys/fs/inotify/max_user_instances"

// inotifyNote holds the machine's own value while any lab is up. Like the
// setting itself it does not outlive the machine's next boot.
const inotifyNote = "/run/ncfleet-lab.inotify"

// raiseInotify raises the one setting of this machine that a fleet needs.
func raiseInotify() error {
	data, err := os.ReadFile(inotifyFile)
	if err != nil {
		return fmt.Errorf("cannot read fs.inotify.max_user_instances: %w", err)
	}
	was := strings.TrimSpace(string(data))
	if n, err := strconv.Atoi(was); err == nil && n >= inotifyWanted {
		return nil
	}
	if err := writeFile(inotifyNote, []byte(was+"\n"), 0o600); err != nil {
		return fmt.Errorf("cannot write down fs.inotify.max_user_instances: %w", err)
	}
	if err := os.WriteFile(inotifyFile, []byte(strconv.Itoa(inotifyWanted)), 0o644); err != nil {
		return fmt.Errorf("cannot raise fs.inotify.max_user_instances: %w", err)
	}
	return nil
}

// restoreInotify puts the setting back when the last lab of this machine has
// gone, unless somebody else has changed it since.
func restoreInotify() error {
	for _, root := range cgroupRoots() {
		others, _ := filepath.Glob(filepath.Join(root, groupPrefix+"*")) // the pattern is sound
		if len(others) > 0 {
			return nil
		}
	}
	note, err := os.ReadFile(inotifyNote)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot put fs.inotify.max_user_instances back: %w", err)
	}
	now, err := os.ReadFile(inotifyFile)
	if err == nil && strings.TrimSpace(string(now)) == strconv.Itoa(inotifyWanted) {
		err = os.WriteFile(inotifyFile, []byte(strings.TrimSpace(string(note))), 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot put fs.inotify.max_user_instances back: %w", err)
	}
	return os.Remove(inotifyNote)
}
