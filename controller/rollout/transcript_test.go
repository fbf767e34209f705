package rollout

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite testdata with what the core decides now")

// TestTranscripts plays the histories in testdata. A line that begins with "> "
// is what is done, the lines below it are what the core decides then. A step is
// named target/kind; what Next starts is journaled at once.
//
//	> plan 1 3 bake=1h approve=w1   waves of these sizes, and the policy
//	> succeed h01/hop               or fail, hold, refuse, never; a reason may follow
//	> until h01/close               let all succeed until that step was started
//	> succeed all                   let all succeed until only time or people help
//	> tick 10m                      or: pause, resume, abort, approve w1, rollback h01
//	> state                         one line per target
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d transcripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s differs; run the test with -update and read the change:\n%s", file, got)
			}
		})
	}
}

// script is a transcript being played.
type script struct {
	*run
	out  bytes.Buffer
	said string // what was last waited for
	halt string // why it halted
}

func play(t *testing.T, text string) string {
	t.Helper()
	s := &script{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "> "):
			fmt.Fprintln(&s.out, line)
			s.command(t, strings.Fields(line[2:]))
		case strings.HasPrefix(line, "#"), line == "":
			fmt.Fprintln(&s.out, line)
		}
	}
	return s.out.String()
}

func (s *script) command(t *testing.T, args []string) {
	t.Helper()
	verb, args := args[0], args[1:]
	if verb == "plan" {
		s.plan(t, args)
		s.decide()
		return
	}
	kinds := map[string]EventKind{"succeed": EventStepDone, "fail": EventStepFail, "hold": EventStepHeld, "refuse": EventStepRefused, "never": EventStepNever,
		"pause": EventPaused, "resume": EventResumed, "abort": EventAborted, "approve": EventApproved, "rollback": EventRollback}
	switch verb {
	case "until":
		s.all(args[0])
	case "tick":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(d)
		s.decide()
	case "state":
		s.state()
	case "succeed", "fail", "hold", "refuse", "never":
		if args[0] == "all" {
			s.all("")
			return
		}
		id := s.id(args[0])
		if verb == "succeed" {
			s.done(id)
		} else {
			s.event(Event{Kind: kinds[verb], Step: id, Detail: strings.Join(args[1:], " ")})
		}
		s.decide()
	case "pause", "resume", "abort", "approve", "rollback":
		e := Event{Kind: kinds[verb], Who: "anna"}
		if len(args) > 0 && strings.HasPrefix(args[0], "w") {
			e.Wave = args[0]
		} else if len(args) > 0 {
			e.Target = args[0]
		}
		if err := s.s.Allows(e); err != nil {
			s.say("refused", err.Error())
			return
		}
		s.event(e)
		s.decide()
	default:
		t.Fatalf("unknown command %q", verb)
	}
}

func (s *script) plan(t *testing.T, args []string) {
	t.Helper()
	var sizes []int
	for _, a := range args {
		if n, err := strconv.Atoi(a); err == nil {
			sizes = append(sizes, n)
		}
	}
	p := testPlan(sizes...)
	for _, a := range args[len(sizes):] {
		key, value, _ := strings.Cut(a, "=")
		n, _ := strconv.Atoi(value)
		switch key {
		case "max":
			p.Policy.MaxUnavailable = n
		case "budget":
			p.Policy.FailureBudget = n
		case "ahead":
			p.Policy.Ahead = n
		case "bake":
			d, err := time.ParseDuration(value)
			if err != nil {
				t.Fatal(err)
			}
			p.Waves[0].Bake = d
		case "approve":
			for w := range p.Waves {
				p.Waves[w].Approve = p.Waves[w].Name == value
			}
		case "window":
			from, to, _ := strings.Cut(value, "-")
			p.Policy.Window = windowOf(from, to)
		default:
			t.Fatalf("unknown policy %q", a)
		}
	}
	s.run = newRun(t, p)
}

// id finds a step by target/kind.
func (s *script) id(short string) string {
	for id := range s.s.steps {
		if strings.HasSuffix(id, "/"+short) {
			return id
		}
	}
	s.t.Fatalf("no step %s", short)
	return ""
}

func short(id string) string { return id[strings.Index(id, "/")+1:] }

func (s *script) say(word, text string) {
	fmt.Fprintf(&s.out, "  %s  %-8s %s\n", s.now.Format("15:04:05"), word, text)
}

// decide records and starts what Next wants, and says it.
func (s *script) decide() {
	s.t.Helper()
	for range 20 {
		if s.halt != s.s.HaltReason {
			if s.halt = s.s.HaltReason; s.halt != "" {
				s.say("halted", s.halt)
			}
		}
		d := s.s.Next(s.now)
		for _, e := range d.Record {
			s.event(e)
			s.say("record", strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, e.Target, e.Detail)))
		}
		if len(d.Record) > 0 {
			continue
		}
		var names []string
		for _, id := range d.Start {
			s.event(Event{Kind: EventStepBegun, Step: id})
			names = append(names, short(id))
		}
		if len(names) > 0 {
			s.say("start", strings.Join(names, " "))
			continue
		}
		said := strings.Join(d.Waits, "\n")
		if said != s.said {
			for _, w := range d.Waits {
				s.say("waits", w)
			}
		}
		s.said = said
		if d.Verdict != "" {
			s.say("verdict", string(d.Verdict))
		}
		return
	}
	s.t.Fatal("Next goes on without end")
}

// all lets begun steps succeed, the oldest first, a minute each, until the
// named step was started, or nothing runs any more.
func (s *script) all(until string) {
	s.t.Helper()
	for range 1000 {
		flight := s.s.InFlight()
		if until != "" && slices.Contains(flight, s.id(until)) {
			return
		}
		if len(flight) == 0 {
			return
		}
		slices.SortStableFunc(flight, func(a, b string) int { return s.begunAt(a) - s.begunAt(b) })
		s.now = s.now.Add(time.Minute)
		s.done(flight[0])
		s.decide()
	}
	s.t.Fatal("no end")
}

func (s *script) begunAt(id string) int {
	return slices.IndexFunc(s.log, func(e Event) bool { return e.Kind == EventStepBegun && e.Step == id })
}

func (s *script) state() {
	for _, wave := range s.s.waves {
		for _, m := range wave {
			t := m.state
			line := fmt.Sprintf("%s %s", m.plan.Name, t.Status)
			if !t.ClosedAt.IsZero() {
				line += ", closed " + t.ClosedAt.Format("15:04")
			}
			if !t.OpenedAt.IsZero() {
				line += ", opened " + t.OpenedAt.Format("15:04")
			}
			if t.Reason != "" {
				line += ": " + t.Reason
			}
			s.say("", line)
		}
	}
}
