package notify

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// mostReasons bounds how many targets an end message explains.
const mostReasons = 20

// mostNames bounds how many targets a message names.
const mostNames = 12

func lines(list ...string) string {
	return strings.Join(slices.DeleteFunc(list, func(s string) bool { return s == "" }), "\n")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func short(digest string) string { return digest[:min(12, len(digest))] }

// approve is the command that lets a wave start; the digest refuses it when
// the plan is another one than the message was about.
func (r *reader) approve(wave string, s *rollout.State) string {
	c := r.command + " approve --wave " + wave
	if s.Digest != "" {
		c += " --digest " + short(s.Digest)
	}
	return c
}

// begins says what a rollout that starts will do, and who lets it.
func begins(e rollout.Event, s *rollout.State) string {
	out := []string{"Started by " + e.Who + ", plan " + short(e.Digest) + "."}
	out = append(out, goals(s.Plan)...)
	for i := range s.Plan.Waves {
		out = append(out, waveLine(&s.Plan.Waves[i]))
	}
	if n := len(s.Plan.Blocked); n > 0 {
		out = append(out, plural(n, "target")+" blocked by the plan, left untouched.")
	}
	return lines(out...)
}

func waveLine(w *plan.Wave) string {
	text := fmt.Sprintf("Wave %s: %s", w.Name, names(w))
	switch n := w.Needs(); {
	case n == 1:
		text += "; starts when somebody approves"
	case n > 1:
		text += fmt.Sprintf("; starts when %d people approve", n)
	}
	return text + "."
}

func names(w *plan.Wave) string {
	var list []string
	for i := range w.Targets {
		list = append(list, w.Targets[i].Name)
	}
	if len(list) > mostNames {
		list = append(list[:mostNames:mostNames], fmt.Sprintf("and %d more", len(list)-mostNames))
	}
	return strings.Join(list, ", ")
}

// goals are the ways that instances go, and when they may.
func goals(p *plan.Plan) []string {
	count := map[string]int{}
	for _, w := range p.Waves {
		for _, t := range w.Targets {
			if len(t.Hops) > 0 {
				count["Nextcloud "+t.From.String()+" → "+t.To.String()]++
			}
		}
	}
	var out []string
	for _, way := range slices.Sorted(maps.Keys(count)) {
		out = append(out, fmt.Sprintf("%s on %s.", way, plural(count[way], "target")))
	}
	for _, w := range p.Policy.AllWindows() {
		days := "every day"
		if len(w.Days) > 0 {
			days = strings.Join(w.Days, ", ")
		}
		out = append(out, fmt.Sprintf("Window: %s %s–%s %s.", days, w.From, w.To, w.Zone))
	}
	return out
}

// following says what comes after a wave.
func following(s *rollout.State, wave int) string {
	if wave+1 == len(s.Plan.Waves) {
		return ""
	}
	w := &s.Plan.Waves[wave+1]
	text := fmt.Sprintf("Next is wave %s with %s", w.Name, plural(len(w.Targets), "target"))
	switch missing := w.Needs() - len(s.Waves[wave+1].Approvals); {
	case w.Needs() == 0:
	case missing <= 0:
		text += ", approved already"
	case missing == 1:
		text += ", which 1 person must still approve"
	default:
		text += fmt.Sprintf(", which %d people must still approve", missing)
	}
	return text + "."
}

// asked says what an approval is asked for.
func asked(wave, how string, s *rollout.State) string {
	for i := range s.Plan.Waves {
		w := &s.Plan.Waves[i]
		if w.Name != wave {
			continue
		}
		out := []string{fmt.Sprintf("Plan %s, %s: %s.", short(s.Digest), plural(len(w.Targets), "target"), names(w))}
		if i > 0 {
			out = append(out, fmt.Sprintf("The wave before it, %s: %s.", s.Plan.Waves[i-1].Name, tally(s, i-1)))
		}
		if n := w.Needs(); n > 1 {
			out = append(out, fmt.Sprintf("%d different people must approve.", n))
		}
		if _, given, ok := strings.Cut(how, ": "); ok {
			out = append(out, "Approvals so far: "+given+".")
		}
		return lines(out...)
	}
	return ""
}

// approved says who approved what, and what that leads to.
func approved(e rollout.Event, s *rollout.State) (title, text string) {
	for i := range s.Plan.Waves {
		w := &s.Plan.Waves[i]
		if e.Wave == "" || w.Name != e.Wave {
			continue
		}
		title = fmt.Sprintf("Wave %s of rollout %s approved by %s", w.Name, s.Plan.Rollout, e.Who)
		if w.Needs() > 1 {
			title += fmt.Sprintf(" (%d of %d)", len(s.Waves[i].Approvals), w.Needs())
		}
		out := []string{e.Detail, "For plan " + short(s.Digest) + "."}
		for _, a := range s.Waves[i].Approvals {
			if a.Who == e.Who && !a.Expires.IsZero() {
				out = append(out, "It counts until "+a.Expires.UTC().Format("2006-01-02 15:04 MST")+".")
			}
		}
		if !s.Waves[i].Approved {
			out = append(out, "Somebody else must approve it too.")
		}
		return title, lines(out...)
	}
	return fmt.Sprintf("%s let %s go on as it is", e.Who, e.Target), e.Detail
}

// ends says how the targets stand that were not upgraded, and why it stopped.
func ends(s *rollout.State) string {
	out := []string{}
	if s.HaltReason != "" {
		out = append(out, "Why: "+s.HaltReason)
	}
	c := s.Count()
	out = append(out, fmt.Sprintf("%d upgraded, %d rolled back, %d failed, %d untouched.", c.Upgraded, c.RolledBack, c.Failed, c.Untouched))
	if text := reasons(s); text != "" {
		out = append(out, text)
	}
	out = append(out, untouched(s)...)
	if s.HaltReason != "" {
		next := ""
		for i := range s.Plan.Waves {
			if w := &s.Plan.Waves[i]; next == "" && !s.WaveBegun(i) {
				next = fmt.Sprintf(" with wave %s (%s)", w.Name, plural(len(w.Targets), "target"))
			}
		}
		out = append(out, "Until somebody decides nothing more happens. To resume is to accept all this and to go on"+next+"; to abort is to end it for good.")
	}
	return lines(out...)
}

// untouched names the targets that were not begun, by wave.
func untouched(s *rollout.State) []string {
	var out []string
	for i := range s.Plan.Waves {
		w := &s.Plan.Waves[i]
		if !s.WaveBegun(i) {
			out = append(out, fmt.Sprintf("Wave %s was not begun, its targets are untouched: %s.", w.Name, names(w)))
			continue
		}
		n := 0
		for _, t := range w.Targets {
			if s.Targets[t.Name].Status == rollout.Waiting {
				n++
			}
		}
		if n > 0 {
			out = append(out, fmt.Sprintf("%s of wave %s not begun, untouched.", plural(n, "target"), w.Name))
		}
	}
	return out
}

func upgraded(s *rollout.State, wave int) int {
	n := 0
	for _, t := range s.Plan.Waves[wave].Targets {
		if s.Targets[t.Name].Status == rollout.Upgraded {
			n++
		}
	}
	return n
}

// tally counts how the targets of a wave ended.
func tally(s *rollout.State, wave int) string {
	count := map[rollout.Status]int{}
	for _, t := range s.Plan.Waves[wave].Targets {
		count[s.Targets[t.Name].Status]++
	}
	return fmt.Sprintf("%d upgraded, %d rolled back, %d failed, %d untouched",
		count[rollout.Upgraded], count[rollout.RolledBack], count[rollout.Failed], count[rollout.Untouched])
}

// reasons says of each target that was not upgraded why.
func reasons(s *rollout.State) string {
	var lines []string
	left := 0
	for _, w := range s.Plan.Waves {
		for _, t := range w.Targets {
			state := s.Targets[t.Name]
			if state.Status == rollout.Upgraded || state.Status == rollout.Waiting {
				continue
			}
			if len(lines) == mostReasons {
				left++
				continue
			}
			line := t.Name + " " + strings.ReplaceAll(string(state.Status), "_", " ")
			if out := state.OpenedAt.Sub(state.ClosedAt); out > 0 && !state.ClosedAt.IsZero() {
				line += ", users were out for " + out.Round(time.Second).String() + " and are back"
			}
			if state.Reason != "" {
				line += ": " + strings.TrimSpace(state.Reason)
			}
			lines = append(lines, line)
		}
	}
	if left > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", left))
	}
	return strings.Join(lines, "\n")
}
