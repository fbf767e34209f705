package nextcloud

import (
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

var (
	traceFrom  = Version{28, 0, 2, 5}
	traceTo    = Version{29, 0, 1, 0}
	traceNew   = Version{29, 0, 1, 1}
	traceOther = Version{30, 0, 4, 1}
)

// allTraces calls f with every combination of what can be found.
func allTraces(f func(Traces)) (n int) {
	versions := []Version{{}, traceFrom, traceNew, traceOther}
	for _, code := range versions {
		for _, config := range versions {
			for _, closed := range []bool{false, true} {
				for _, needs := range []Answer{Unknown, Yes, No} {
					for _, database := range []Answer{Unknown, Yes, No} {
						for _, swap := range []Swap{SwapNone, SwapStaged, SwapPart, SwapDone} {
							for _, processes := range []int{0, 1} {
								for _, run := range []driver.RunPhase{driver.RunNever, driver.RunRunning, driver.RunExited, driver.RunLost} {
									for _, upgrading := range []bool{false, true} {
										for _, app := range []string{"", "mine"} {
											n++
											f(Traces{From: traceFrom, To: traceTo, Code: code, Config: config, Closed: closed, NeedsUpgrade: needs, Database: database,
												Swap: swap, Processes: processes, Run: run, Upgrading: upgrading, AppFailed: app})
										}
									}
								}
							}
						}
					}
				}
			}
		}
	}
	return n
}

// TestClassifyAll: every combination is one of the known states, and what each
// state and its action promise holds, said anew here.
func TestClassifyAll(t *testing.T) {
	seen := map[Interruption]int{}
	known := map[Interruption]bool{}
	for _, i := range Interruptions() {
		known[i] = true
	}
	n := allTraces(func(x Traces) {
		got := Classify(x)
		if !known[got] {
			t.Fatalf("%+v is %q", x, got)
		}
		seen[got]++
		foreign := func(v Version) bool { return v == traceOther }
		idle := x.Processes == 0 && x.Run != driver.RunRunning
		rules := []struct {
			rule string
			ok   bool
		}{
			{"what runs is never disturbed", (got == StillRunning) == !idle},
			{"an open site is never changed", x.Closed || !idle || got == ChangedBySomeone},
			{"another's version is never changed", !idle || !foreign(x.Code) && !foreign(x.Config) || got == ChangedBySomeone},
			{"nothing runs again while the database is away", x.Database != No || got.Action() != ActionRunAgain && got.Action() != ActionAccept},
			{"nothing runs again on a half tree", x.Swap != SwapPart || got.Action() != ActionRunAgain && got.Action() != ActionAccept && got.Action() != ActionStart},
			{"finished means new code and new database", got != Finished || x.Code == traceNew && x.Config == traceNew && x.NeedsUpgrade == No},
			{"a start means old code and old database", got != NotBegun || x.Code == traceFrom && x.Config == traceFrom},
			{"a second run means new code", got.Action() != ActionRunAgain || x.Code == traceNew},
			{"an app is blamed only when one failed", got != AppFailedAfterCore || x.AppFailed != "" && x.Config == traceFrom},
			{"old code before a new database is nobody's of ours", !idle || x.Code != traceFrom || x.Config != traceNew || x.Swap == SwapPart || got == ChangedBySomeone},
		}
		for _, r := range rules {
			if !r.ok {
				t.Fatalf("%s: %+v is %q", r.rule, x, got)
			}
		}
	})
	if n != 4*4*2*3*3*4*2*4*2*2 {
		t.Errorf("%d combinations", n)
	}
	for _, i := range Interruptions() {
		if seen[i] == 0 {
			t.Errorf("no combination is %q", i)
		}
	}
}

func TestClassify(t *testing.T) {
	base := Traces{From: traceFrom, To: traceTo, Code: traceNew, Config: traceFrom, Closed: true, NeedsUpgrade: Yes, Database: Yes, Swap: SwapDone, Run: driver.RunLost, Upgrading: true}
	for _, tt := range []struct {
		name   string
		change func(*Traces)
		want   Interruption
		action Action
	}{
		{"killed in a migration", func(*Traces) {}, SafeToRunAgain, ActionRunAgain},
		{"an occ outlived its keeper", func(x *Traces) { x.Processes = 2 }, StillRunning, ActionWait},
		{"lost before occ upgrade began", func(x *Traces) { x.Upgrading = false }, CodeNewDatabaseOld, ActionRunAgain},
		{"lost after the last act", func(x *Traces) { x.Config, x.NeedsUpgrade = traceNew, No }, Finished, ActionAccept},
		{"lost after the last act, an app wants more", func(x *Traces) { x.Config = traceNew }, SafeToRunAgain, ActionRunAgain},
		{"lost before the swap", func(x *Traces) { x.Code, x.Swap, x.NeedsUpgrade, x.Upgrading = traceFrom, SwapStaged, No, false }, NotBegun, ActionStart},
		{"lost in the swap", func(x *Traces) { x.Swap = SwapPart }, HalfCopiedTree, ActionRollBack},
		{"version.php is missing", func(x *Traces) { x.Code = Version{} }, HalfCopiedTree, ActionRollBack},
		{"a migration of an app threw", func(x *Traces) { x.Run, x.AppFailed = driver.RunExited, "mine" }, AppFailedAfterCore, ActionRollBack},
		{"the database is down", func(x *Traces) { x.Database, x.NeedsUpgrade = No, Unknown }, DatabaseUnreachable, ActionWaitDatabase},
		{"somebody opened it", func(x *Traces) { x.Closed = false }, ChangedBySomeone, ActionAsk},
		{"somebody upgraded further", func(x *Traces) { x.Code, x.Config = traceOther, traceOther }, ChangedBySomeone, ActionAsk},
		{"somebody put old code back", func(x *Traces) { x.Code, x.Config, x.Swap = traceFrom, traceNew, SwapNone }, ChangedBySomeone, ActionAsk},
	} {
		x := base
		tt.change(&x)
		if got := Classify(x); got != tt.want || got.Action() != tt.action {
			t.Errorf("%s: %q, %q", tt.name, got, got.Action())
		}
	}
	if a := Interruption("else").Action(); a != ActionAsk {
		t.Errorf("an unknown state allows %q", a)
	}
}

func TestReadTraces(t *testing.T) {
	r := ParseReport([]byte("ncfleet: code-version 29.0.1.1\nncfleet: config-version 28.0.2.5\nncfleet: closed yes\nncfleet: swap 20 20\n" +
		"ncfleet: processes 12 13 \nncfleet: database unreachable\n"))
	want := Traces{Code: traceNew, Config: traceFrom, Closed: true, Swap: SwapDone, Processes: 2, Database: No}
	if got := ReadTraces(r); got != want {
		t.Errorf("got %+v", got)
	}
	for text, want := range map[string]Swap{"": SwapNone, "done": SwapDone, "staged": SwapStaged, "0 9": SwapStaged, "3 9": SwapPart, "x 9": SwapPart, "9 y": SwapPart, "none": SwapNone} {
		if got := ReadTraces(ParseReport([]byte("ncfleet: swap " + text + "\n"))).Swap; got != want {
			t.Errorf("swap %q is %q", text, got)
		}
	}
}

func TestInterrupted(t *testing.T) {
	for _, tt := range []struct {
		upgrade, text string
		exit          int
		want          bool
		app           string
	}{
		{"", "", -1, true, ""},
		{"exit 137", "", 1, true, ""},
		{"", "", 137, true, ""},
		{"exit 5", "Exception: Database error when running migration 2000Date1 for app mine", 1, false, "mine"},
		{"exit 5", "Exception: Database error when running migration 29000Date1 for app core", 1, false, ""},
		{"exit 5", "Database error when running migration 1 for app mine: MySQL server has gone away", 1, true, ""},
		{"exit 1", "SQLSTATE[HY000]: General error: 13 database or disk is full", 1, true, ""},
		{"", "cannot keep the old tree", 1, false, ""},
	} {
		r := Report{Values: map[string]string{}}
		if tt.upgrade != "" {
			r.Values["upgrade"] = tt.upgrade
		}
		if got := Interrupted(r, tt.text, tt.exit); got != tt.want {
			t.Errorf("%q %q %d: %v", tt.upgrade, tt.text, tt.exit, got)
		}
		if got := FailedApp(tt.text); got != tt.app {
			t.Errorf("%q blames %q", tt.text, got)
		}
	}
}
