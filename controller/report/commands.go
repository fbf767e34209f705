package report

import (
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// shownCommands is how many commands are proposed at most.
const shownCommands = 12

// next names the commands that lead on.
func next(pg *page, s *rollout.State, o Options) {
	lines := nextCommands(s, o)
	if len(lines) == 0 {
		return
	}
	pg.line("")
	pg.line("%s", pg.paint(bold, "Next"))
	written := map[string]bool{}
	for i, l := range lines {
		if i == shownCommands {
			pg.line("  and %s more", plural(len(lines)-i, "command"))
			break
		}
		if written[l[0]] {
			continue
		}
		written[l[0]] = true
		if len(l[0]) > 26 {
			pg.line("  %s", l[0])
			pg.item(30, 30, "", "", l[1])
			continue
		}
		pg.item(2, 30, "", l[0], l[1])
	}
}

// nextCommands are the commands that lead on, each with what it does.
func nextCommands(s *rollout.State, o Options) [][2]string {
	lines := decisionCommands(s, o)
	for _, t := range s.Targets {
		if t.Refused && t.Settled() {
			return append(lines, [2]string{o.command("plan " + s.Plan.Rollout), "plan anew what was refused"})
		}
	}
	return lines
}

// decisionCommands are those that decide what the rollout waits for.
func decisionCommands(s *rollout.State, o Options) [][2]string {
	lines := targetCommands(s, o)
	if s.HaltReason != "" || s.Paused {
		what := "go on"
		for i := range s.Plan.Waves {
			if !s.WaveBegun(i) {
				what += " with wave " + s.Plan.Waves[i].Name
				break
			}
		}
		if s.HaltReason != "" {
			what += ", with the failures so far accepted"
		}
		lines = append(lines, [2]string{o.command("resume"), what}, [2]string{o.command("abort"), "end it for good"})
	}
	for i, w := range s.Plan.Waves {
		if w.Approve && !s.Waves[i].Approved && s.Ended == "" && (i == 0 || s.Waves[i-1].Passed) {
			lines = append(lines, [2]string{o.command("approve --wave " + w.Name), "let the wave start"})
		}
	}
	return lines
}

// targetCommands are the commands about targets that ask for a decision.
func targetCommands(s *rollout.State, o Options) [][2]string {
	var lines [][2]string
	for i := range s.Plan.Waves {
		for _, p := range s.Plan.Waves[i].Targets {
			switch t := s.Targets[p.Name]; t.Status {
			case rollout.Held:
				lines = append(lines, [2]string{o.command("approve " + p.Name), "let its users in as it is"},
					[2]string{o.command("rollback " + p.Name), "take it back"})
			case rollout.Failed:
				back, approve := "take it back; what users wrote since it was opened is lost", s.Allows(rollout.Event{Kind: rollout.EventApproved, Target: p.Name}) == nil
				if t.StillClosed && !approve {
					back = "try the way back again, once the cause is gone"
				}
				lines = append(lines, [2]string{o.command("rollback " + p.Name), back})
				if approve {
					lines = append(lines, [2]string{o.command("approve " + p.Name), "keep it as it is"})
				}
			case rollout.Waiting, rollout.Running, rollout.RollingBack, rollout.Upgraded, rollout.RolledBack, rollout.Untouched:
			}
		}
	}
	return lines
}
