package report

import (
	"strings"

	"github.com/ncfleet/ncfleet/controller/report/screen"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// next says who may do what now. Commands stay whole and can be copied: one
// that is wider than the terminal is broken with a backslash.
func (f *frame) next() block {
	s := f.State
	if s.Ended != "" {
		return block{}
	}
	decisions := decisionCommands(s, f.o)
	if len(f.Notes) > 0 && !f.Watched { // a controller that was interrupted is not resumed before it has left
		decisions = targetCommands(s, f.o)
	}
	list := decisions
	var verbs []string
	for _, c := range []struct {
		kind rollout.EventKind
		verb string
		what string
		not  bool
	}{
		{rollout.EventPaused, "pause", "begun targets finish, nothing new starts", s.Paused || s.HaltReason != ""},
		{rollout.EventAborted, "abort", "end it; what is closed finishes or is taken back", s.Aborted},
	} {
		if !c.not && s.Allows(rollout.Event{Kind: c.kind}) == nil {
			list, verbs = append(list, [2]string{f.o.command(c.verb), c.what}), append(verbs, c.verb)
		}
	}
	var short []line
	if len(verbs) > 0 {
		short = f.command(shown(strings.ReplaceAll(f.o.command(verbs[0]), solid, " ")), strings.Join(append([]string{"or:"}, append(verbs[1:], "status", "log")...), " "), false)
	}
	keys := say(dim, "Ctrl-C: what has begun finishes, nothing new starts; twice: leave at once")
	if f.Watched {
		keys = say(dim, "Ctrl-C: stop watching; the rollout goes on")
	}
	if f.width < usualWidth && !f.Watched {
		keys = say(dim, "Ctrl-C: finish what has begun; twice: leave")
	}
	if len(f.Notes) > 0 {
		keys = nil
	}
	return block{lines: f.commands(list, nil, keys, true), fold: func(n int) []line {
		for k := len(decisions); k >= 0; k-- {
			for _, more := range [][]line{short, nil} {
				if out := f.commands(decisions[:k], more, keys, false); len(out) <= n {
					return out
				}
			}
		}
		return nil
	}}
}

// commands shows commands, explained at length or beside them only, and more
// below them.
func (f *frame) commands(list [][2]string, more []line, keys line, long bool) []line {
	var out []line
	written := map[string]bool{}
	for _, c := range list {
		command := shown(strings.ReplaceAll(c[0], solid, " "))
		if !written[command] {
			out = append(out, f.command(command, c[1], long)...)
		}
		written[command] = true
	}
	if out = append(out, more...); len(out) > 0 {
		title := "Next, for whoever can write the journal, from another terminal:"
		if f.width < screen.Cells(title) {
			title = "Next, from another terminal:"
		}
		out = append([]line{say(bold, title)}, out...)
	}
	if keys != nil {
		out = append(out, keys)
	}
	return out
}

// command is one command, with what it does beside it, or below where there is
// no room and it is told at length.
func (f *frame) command(command, what string, long bool) []line {
	const beside = 30
	if n := cells(command); n < beside-2 {
		return []line{{{"", "  " + screen.Column(command, beside-2)}, {dim, what}}}
	} else if n+4+cells(what) <= f.width {
		return []line{{{"", "  " + command + "  "}, {dim, what}}}
	}
	var out []line
	rows := wrap(command, f.width-2)
	if len(rows) > 1 {
		rows = wrap(command, f.width-8)
	}
	for i, r := range rows {
		if i < len(rows)-1 {
			r += ` \`
		}
		out = append(out, say("", spaces(2+4*min(i, 1))+r))
	}
	if long {
		out = append(out, say(dim, "      "+what))
	}
	return out
}
