package inventory

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Of is the amount for a whole of total: the count, or the percentage rounded
// down. It may be 0; callers that need at least 1 say so themselves.
func (a Amount) Of(total int) int {
	if a.IsPercent {
		return percentOf(a.Percent, total)
	}
	return a.Count
}

// String is the amount as the inventory writes it.
func (a Amount) String() string {
	if a.IsPercent {
		return strconv.FormatFloat(a.Percent, 'f', -1, 64) + "%"
	}
	return strconv.Itoa(a.Count)
}

// percentOf rounds down. The added billionth keeps 29% of 100 from becoming 28
// because 0.29 has no exact binary form.
func percentOf(percent float64, total int) int {
	return int(math.Floor(percent*float64(total)/100 + 1e-9))
}

// waveShare is how many hosts a wave of a percentage takes: of all hosts of
// the rollout, rounded down, at least 1.
func waveShare(percent float64, total int) int {
	return max(1, percentOf(percent, total))
}

// waves divides the rollout's hosts. Each host goes into the first wave that
// takes it; in the end none may be left.
func (s scope) waves(selected []*hostDraft, known bool) []Wave {
	var out []Wave
	taken := map[*hostDraft]bool{}
	names := firsts{}
	found := false
	for _, b := range s.sec.blocks {
		if b.Type != "wave" {
			continue
		}
		found = true
		sec := s.l.open(b, s.sec.src, waveShape, s.what+", "+title(b))
		if !s.l.checkName(sec.label, labelRange(b), sec.what) ||
			!s.l.claim(names, sec.label, labelRange(b), title(b), "Give one of them another name.") {
			known = false
			continue
		}
		in := s.l.in(sec, s.ctx)
		w, picked, ok := in.wave(selected, taken, known)
		known = known && ok
		for _, h := range picked {
			taken[h] = true
			w.Hosts = append(w.Hosts, h.Name)
		}
		out = append(out, w)
	}
	if !found {
		all := Wave{Name: "all", Said: "all", Range: s.l.place(s.sec.rng)}
		for _, h := range selected {
			all.Hosts = append(all.Hosts, h.Name)
		}
		return []Wave{all}
	}
	if known && len(taken) < len(selected) {
		var left []string
		for _, h := range selected {
			if !taken[h] {
				left = append(left, h.Name)
			}
		}
		s.l.report(s.sec.rng, s.what, "Hosts in no wave",
			fmt.Sprintf("No wave takes %s (%d of %d hosts). Add a last wave: wave \"rest\" { rest = true }.", quoted(left, 5), len(left), len(selected)))
	}
	return out
}

// wave evaluates one wave. ok is false when its members cannot be known.
func (s scope) wave(selected []*hostDraft, taken map[*hostDraft]bool, known bool) (w Wave, picked []*hostDraft, ok bool) {
	w = Wave{Name: s.sec.label, Range: s.l.place(s.sec.rng)}
	w.Bake, _ = s.duration("bake", 0)
	s.approvals(&w)
	var ways []string
	for _, name := range []string{"hosts", "count", "percent", "rest"} {
		if s.given(name) {
			ways = append(ways, name)
		}
	}
	if len(ways) != 1 {
		detail := "It says none of them."
		if len(ways) > 1 {
			detail = fmt.Sprintf("It says %s.", quoted(ways, 4))
		}
		s.l.report(s.sec.rng, s.what, "Wave without one way to choose",
			detail+" Write exactly one of hosts = …, count = 3, percent = 10 or rest = true.")
		return w, nil, false
	}
	matched, limit, said, ok := s.choose(ways[0], selected)
	w.Said = said
	if !ok || !known {
		return w, nil, ok
	}
	for _, h := range matched {
		if !taken[h] && len(picked) < limit {
			picked = append(picked, h)
		}
	}
	if len(picked) == 0 {
		detail := "None of the rollout's hosts matches."
		if len(matched) > 0 {
			detail = "Earlier waves take all the hosts it would take."
		}
		rng := s.sec.attrs[ways[0]].Expr.Range()
		s.l.report(rng, s.what, "Wave without hosts", detail+" Drop the wave, or change what it or the waves before it choose.")
		return w, nil, false
	}
	return w, picked, true
}

// maxApprovals is the most people that a wave may ask.
const maxApprovals = 20

// approvals reads how many people must approve the wave, and how long their
// word counts.
func (s scope) approvals(w *Wave) {
	w.Approve, _ = s.flag("approve")
	if w.Approve {
		w.Approvals = 1
	}
	if n, ok := s.whole("approvals", 1, maxApprovals); ok {
		if said, given := s.flag("approve"); given && !said {
			s.bad("approve", "Approvals that nobody asks for", fmt.Sprintf("approve = false and approvals = %d cannot both be. Leave approve out.", n))
		}
		w.Approve, w.Approvals = true, n
	}
	if w.ApproveExpires, _ = s.duration("approve_expires", time.Minute); w.ApproveExpires > 0 && !w.Approve {
		s.bad("approve_expires", "Approvals that nobody asks for", "The wave needs no approval. Write approve = true or approvals = 2 too, or take it out.")
	}
}

// given reports whether an attribute stands there and is not plainly null.
func (s scope) given(name string) bool {
	a := s.sec.attrs[name]
	if a == nil {
		return false
	}
	v, diags := a.Expr.Value(s.ctx)
	return diags.HasErrors() || !v.IsKnown() || !v.IsNull()
}

// choose evaluates the one attribute that says who is in a wave: who matches,
// how many of them at most, and how to display the choice.
func (s scope) choose(way string, selected []*hostDraft) (matched []*hostDraft, limit int, said string, ok bool) {
	switch way {
	case "hosts":
		matched, ok = s.pick("hosts", selected, true)
		return matched, len(matched), s.said("hosts"), ok
	case "count":
		limit, ok = s.whole("count", 1, maxHosts)
		said = fmt.Sprintf("%d hosts", limit)
		if limit == 1 {
			said = "1 host"
		}
		return selected, limit, said, ok
	case "percent":
		v, given := s.value("percent")
		if !given {
			return nil, 0, "", false
		}
		digits, isText := text(v)
		if !isText {
			s.wrongType("percent", v, "a number from above 0 to 100")
			return nil, 0, "", false
		}
		p, ok := s.percentage("percent", digits, true)
		return selected, waveShare(p, len(selected)), Amount{Percent: p, IsPercent: true}.String(), ok
	case "rest":
		rest, given := s.flag("rest")
		if given && !rest {
			s.bad("rest", "Wave without hosts", "rest = false takes no host. Write rest = true in the last wave.")
		}
		return selected, len(selected), "rest", given && rest
	default:
		return nil, 0, "", false
	}
}

// maxSaid is the longest expression shown for a wave, in characters.
const maxSaid = 80

// said is the text of an attribute's expression on one line; the native and
// the JSON form of an expression read the same.
func (s scope) said(name string) string {
	rng := s.sec.attrs[name].Expr.Range()
	src := s.sec.src.bytes
	if rng.Start.Byte < 0 || rng.End.Byte > len(src) || rng.Start.Byte > rng.End.Byte {
		return ""
	}
	out := string(src[rng.Start.Byte:rng.End.Byte])
	var inJSON string
	if json.Unmarshal([]byte(out), &inJSON) == nil && strings.HasPrefix(inJSON, "${") && strings.HasSuffix(inJSON, "}") {
		out = inJSON[2 : len(inJSON)-1]
	}
	out = strings.Join(strings.Fields(out), " ")
	if out == "true" {
		return "rest"
	}
	if runes := []rune(out); len(runes) > maxSaid {
		return string(runes[:maxSaid-1]) + "…"
	}
	return out
}
