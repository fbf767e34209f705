package nextcloud

import (
	"fmt"
	"strings"
)

// ExitClass is what the exit status of occ upgrade means. None of them alone
// proves success.
type ExitClass string

// The classes of exit status.
const (
	ExitDone    ExitClass = "done"    // 0: success, nothing to do, or a complaint
	ExitNothing ExitClass = "nothing" // 2: nothing to upgrade, but maintenance mode is on
	ExitFailed  ExitClass = "failed"  // 5: the upgrade failed
	ExitCrashed ExitClass = "crashed" // 1 and others: an uncaught error
	ExitKilled  ExitClass = "killed"  // 128+n: by a signal
	ExitUnknown ExitClass = "unknown" // -1: nobody saw the end
)

// ClassifyExit says what an exit status of occ upgrade means.
func ClassifyExit(exit int) ExitClass {
	switch {
	case exit < 0:
		return ExitUnknown
	case exit == 0:
		return ExitDone
	case exit == 2:
		return ExitNothing
	case exit == 5:
		return ExitFailed
	case exit > 128:
		return ExitKilled
	}
	return ExitCrashed
}

// Upgrade is what occ upgrade said and how it ended.
type Upgrade struct {
	Exit ExitClass
	// Success is the marker "Update successful".
	Success bool
	// Latest is the answer that there was nothing to do.
	Latest bool
	// Disabled are apps that were found incompatible. The line is printed once
	// and not repeated by a second run; the app store may have brought the app
	// back in the same run.
	Disabled []string
	// Updated maps app → version as migrated.
	Updated map[string]string
	// Store lists apps for which an update from the store was begun.
	Store []string
	// RepairErrors do not make the upgrade fail, and there is no second try.
	RepairErrors   []string
	RepairWarnings []string
	// Kept is true when maintenance mode was left on.
	Kept bool
	// Failure is occ's own account of what went wrong, "" when it gave none.
	Failure string
}

// Err is nil when the exit status and the output both say that nothing is left
// to upgrade; the versions must then still be looked at.
func (u Upgrade) Err() error {
	if u.Exit == ExitDone && (u.Success || u.Latest) {
		return nil
	}
	why := u.Failure
	if why == "" {
		why = "it gave no reason"
	}
	switch u.Exit {
	case ExitDone:
		return fmt.Errorf("cannot confirm the upgrade: occ ended well without its success line: %s", why)
	case ExitNothing:
		return fmt.Errorf("cannot upgrade: nothing to do, but maintenance mode is on: %s", why)
	case ExitFailed, ExitCrashed:
		return fmt.Errorf("cannot upgrade: occ upgrade %s: %s", u.Exit, why)
	case ExitKilled, ExitUnknown:
		return fmt.Errorf("cannot upgrade: occ upgrade ended early (%s): %s", u.Exit, why)
	}
	return fmt.Errorf("cannot upgrade: unknown exit class %q", u.Exit)
}

// ParseUpgradeOutput reads the standard output of occ upgrade, with or
// without -v's time stamps.
func ParseUpgradeOutput(stdout []byte, exit int) Upgrade {
	u := Upgrade{Exit: ClassifyExit(exit), Updated: map[string]string{}}
	for _, line := range strings.Split(string(stdout), "\n") {
		u.line(strings.TrimSpace(withoutStamp(line)))
	}
	return u
}

func (u *Upgrade) line(l string) {
	switch {
	case l == "":
	case l == "Update successful":
		u.Success = true
	case strings.HasPrefix(l, "Nextcloud is already latest version"):
		u.Latest = true
	case l == "Update failed":
		u.fail(l)
	case strings.HasPrefix(l, "Disabled incompatible app: "):
		u.Disabled = append(u.Disabled, strings.TrimPrefix(l, "Disabled incompatible app: "))
	case strings.HasPrefix(l, "Updated <"):
		id, version, ok := strings.Cut(strings.TrimPrefix(l, "Updated <"), "> to ")
		if ok {
			u.Updated[id] = version
		}
	case strings.HasPrefix(l, "Update app ") && strings.HasSuffix(l, " from App Store"):
		u.Store = append(u.Store, strings.TrimSuffix(strings.TrimPrefix(l, "Update app "), " from App Store"))
	case strings.HasPrefix(l, "Repair error: "):
		u.RepairErrors = append(u.RepairErrors, strings.TrimPrefix(l, "Repair error: "))
	case strings.HasPrefix(l, "Repair warning: "):
		u.RepairWarnings = append(u.RepairWarnings, strings.TrimPrefix(l, "Repair warning: "))
	case strings.HasPrefix(l, "Maintenance mode is kept active"):
		u.Kept = true
	case tellsFailure(l):
		u.fail(l)
	}
}

// fail keeps the first real account; "Update failed" alone is better than none.
func (u *Upgrade) fail(l string) {
	if u.Failure == "" || u.Failure == "Update failed" {
		u.Failure = l
	}
}

func tellsFailure(l string) bool {
	for _, p := range []string{
		"Cannot write into", "An unhandled exception has been thrown",
		"Console has to be executed with the user", "Config is set to be read-only",
		"This version of Nextcloud ", "Nextcloud is in maintenance mode",
		"Nextcloud is not installed", "Your data directory", "The files of the app",
		"PHP Fatal error:", "Fatal error:",
	} {
		if strings.HasPrefix(l, p) {
			return true
		}
	}
	// "Exception: …", "OCP\HintException: …", "Doctrine\DBAL\Exception: …"
	class, _, ok := strings.Cut(l, ": ")
	return ok && !strings.Contains(class, " ") && strings.HasSuffix(class, "Exception")
}

// withoutStamp removes the time stamp that -v puts before each line.
func withoutStamp(l string) string {
	if len(l) > 20 && l[4] == '-' && l[7] == '-' && l[10] == 'T' {
		if _, rest, ok := strings.Cut(l, " "); ok {
			return rest
		}
	}
	return l
}
