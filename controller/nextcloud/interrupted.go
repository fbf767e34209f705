package nextcloud

import (
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Interruption is where a hop stands of which nobody saw the end.
type Interruption string

// The interruptions: each hop is in exactly one.
const (
	NotBegun            Interruption = "not begun"
	StillRunning        Interruption = "still running"
	Finished            Interruption = "finished"
	SafeToRunAgain      Interruption = "safe to run again"
	AppFailedAfterCore  Interruption = "app failed after core"
	CodeNewDatabaseOld  Interruption = "code new and database old"
	HalfCopiedTree      Interruption = "half-copied tree"
	DatabaseUnreachable Interruption = "database unreachable"
	ChangedBySomeone    Interruption = "changed by someone else"
)

// Interruptions lists all of them.
func Interruptions() []Interruption {
	return []Interruption{NotBegun, StillRunning, Finished, SafeToRunAgain, AppFailedAfterCore,
		CodeNewDatabaseOld, HalfCopiedTree, DatabaseUnreachable, ChangedBySomeone}
}

// Action is what may be done about an interrupted hop.
type Action string

// The actions. ActionRunAgain runs the whole hop script, which does what is
// left; ActionAsk leaves everything as it is, because going back would destroy
// what somebody else did.
const (
	ActionStart        Action = "start"
	ActionWait         Action = "wait until it ended"
	ActionAccept       Action = "go on"
	ActionRunAgain     Action = "run again"
	ActionRollBack     Action = "roll back"
	ActionWaitDatabase Action = "wait for the database, then look again"
	ActionAsk          Action = "ask"
)

// Action is the one action that is allowed.
func (i Interruption) Action() Action {
	switch i {
	case NotBegun:
		return ActionStart
	case StillRunning:
		return ActionWait
	case Finished:
		return ActionAccept
	case SafeToRunAgain, CodeNewDatabaseOld:
		return ActionRunAgain
	case AppFailedAfterCore, HalfCopiedTree:
		return ActionRollBack
	case DatabaseUnreachable:
		return ActionWaitDatabase
	case ChangedBySomeone:
		return ActionAsk
	}
	return ActionAsk
}

// Answer is yes, no or, when nobody could tell, unknown.
type Answer string

// The answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = ""
)

// Swap is how far the swap of the trees came.
type Swap string

// The swaps. SwapNone: no tree of the target version waits.
const (
	SwapNone   Swap = "none"
	SwapStaged Swap = "staged"
	SwapPart   Swap = "part"
	SwapDone   Swap = "done"
)

// Traces are what a hop left on its host, and what the journal and the run
// folder know of it.
type Traces struct {
	From, To     Version // as planned
	Code, Config Version // as found; zero when unreadable
	// Closed is true while users are kept out.
	Closed bool
	// NeedsUpgrade is occ status' needsDbUpgrade.
	NeedsUpgrade Answer
	Database     Answer // reachable
	Swap         Swap
	Processes    int // PHP that runs an occ of this tree
	Run          driver.RunPhase
	// Upgrading is true when the run's output says that occ upgrade began.
	Upgrading bool
	// AppFailed names the app whose migration failed, "" for none.
	AppFailed string
}

// Classify says where an interrupted hop stands. It knows nothing but the
// traces; the order of its questions is the order of what matters most: never
// disturb what runs, never undo what somebody else did.
func Classify(t Traces) Interruption {
	switch {
	case t.Run == driver.RunRunning || t.Processes > 0:
		return StillRunning
	case !t.Closed || !t.ours(t.Code) || !t.ours(t.Config) || t.downgraded():
		return ChangedBySomeone
	case t.Swap == SwapPart || t.Code.Zero() || t.Config.Zero() || t.mixed():
		return HalfCopiedTree
	case t.Database == No:
		return DatabaseUnreachable
	case t.Code.SameRelease(t.From):
		return NotBegun
	case t.Config.SameRelease(t.To):
		if t.NeedsUpgrade == No {
			return Finished
		}
		return SafeToRunAgain
	case t.AppFailed != "":
		return AppFailedAfterCore
	case t.Upgrading:
		return SafeToRunAgain
	}
	return CodeNewDatabaseOld
}

// ours reports whether a version is one that this hop may leave behind; one
// that cannot be read is nobody's.
func (t Traces) ours(v Version) bool {
	return v.Zero() || v.SameRelease(t.From) || v.SameRelease(t.To)
}

// downgraded: nothing of ours puts old code before a new database.
func (t Traces) downgraded() bool {
	return t.Code.SameRelease(t.From) && t.Config.SameRelease(t.To) && t.Swap != SwapPart
}

// mixed: the code is of a version that the swap contradicts.
func (t Traces) mixed() bool {
	return t.Swap == SwapDone && t.Code.SameRelease(t.From) || t.Swap == SwapStaged && t.Code.SameRelease(t.To)
}

// ReadTraces reads the report of look.sh.
func ReadTraces(r Report) Traces {
	t := Traces{Closed: r.Values["closed"] == "yes", NeedsUpgrade: Answer(r.Values["needs-upgrade"]), Swap: SwapNone}
	// What cannot be read stays zero, which means just that.
	t.Code, _ = ParseVersion(r.Values["code-version"])
	t.Config, _ = ParseVersion(r.Values["config-version"])
	t.Processes = len(strings.Fields(r.Values["processes"]))
	switch r.Values["database"] {
	case "reachable":
		t.Database = Yes
	case "unreachable":
		t.Database = No
	}
	how := strings.Fields(r.Values["swap"])
	switch {
	case len(how) == 1 && (how[0] == "done" || how[0] == "staged"):
		t.Swap = Swap(how[0])
	case len(how) == 2:
		t.Swap = swapOf(how[0], how[1])
	}
	return t
}

// swapOf reads "DONE ALL" of a swap's entries.
func swapOf(done, all string) Swap {
	d, err := strconv.Atoi(done)
	if err != nil {
		return SwapPart
	}
	a, err := strconv.Atoi(all)
	switch {
	case err != nil:
		return SwapPart
	case d == 0:
		return SwapStaged
	case d == a:
		return SwapDone
	}
	return SwapPart
}

// Interrupted reports whether a hop's run was cut short, rather than refused or
// failed for a reason of its own: exit is the script's, -1 when nobody saw it.
func Interrupted(r Report, stdout string, exit int) bool {
	code, _ := strconv.Atoi(strings.TrimPrefix(r.Values["upgrade"], "exit "))
	return exit < 0 || exit > 128 || code > 128 || broken(stdout)
}

// broken reports whether the database or the disk gave way under occ upgrade.
func broken(text string) bool {
	text = strings.ToLower(text)
	for _, sign := range []string{"server has gone away", "connectionlost", "failed to connect to the database",
		"lost connection", "connection refused", "server closed the connection", "terminating connection",
		"no connection to the server", "disk is full", "no space left on device", "enough space for writing the config"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// FailedApp is the app whose migration the output of occ upgrade blames, or "".
// A database or a disk that gave way is no app's fault.
func FailedApp(stdout string) string {
	if broken(stdout) {
		return ""
	}
	for line := range strings.Lines(stdout) {
		_, rest, ok := strings.Cut(line, "Database error when running migration ")
		if !ok {
			continue
		}
		_, rest, ok = strings.Cut(rest, " for app ")
		if fields := strings.Fields(rest); ok && len(fields) > 0 && strings.Trim(fields[0], ",.:") != "core" {
			return strings.Trim(fields[0], ",.:")
		}
	}
	return ""
}
