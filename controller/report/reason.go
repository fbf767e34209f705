package report

import (
	"strings"

	"github.com/ncfleet/ncfleet/controller/rollout"
)

// unnamed takes the names of the target and of its host out of a reason that
// stands where both are known.
func unnamed(reason string, names ...string) string {
	for _, n := range names {
		if n == "" {
			continue
		}
		for _, lead := range []string{"; ", ": "} {
			reason = strings.ReplaceAll(reason, lead+n+": ", lead)
		}
		reason = strings.TrimPrefix(reason, n+": ")
	}
	return reason
}

// hostOf is the host's part of a target's name.
func hostOf(target string) string {
	host, _, _ := strings.Cut(target, "/")
	return host
}

// brief takes out of a text the reasons that are told in full elsewhere, so
// that one reason is not read three times.
func brief(text string, s *rollout.State) string {
	if s == nil {
		return text
	}
	if s.HaltReason != "" {
		text = strings.ReplaceAll(text, "the rollout halted: "+s.HaltReason, "the rollout halted")
	}
	for _, t := range s.Targets {
		if t.Reason != "" {
			text = strings.Replace(text, ": "+t.Reason, "", 1)
		}
	}
	return text
}

// rest is what of a reason was not told yet.
func rest(reason string, told []string) string {
	for _, t := range told {
		if t != "" {
			reason = strings.Replace(reason, t, "", 1)
		}
	}
	for _, part := range strings.Split(reason, "; ") {
		switch strings.TrimSpace(part) {
		case "", "rollback:", "after the rollback:":
		default:
			return strings.Trim(strings.TrimSpace(reason), "; ")
		}
	}
	return ""
}

// stale is how a recheck begins what it found changed; package executor writes
// it, and a "; " between any two differences.
const stale = "no longer as planned: "

// differences splits the reason of a target that was refused into what is no
// longer as planned and what follows from it; ok is false for any other.
func differences(reason string) (list []string, after string, ok bool) {
	_, text, ok := strings.Cut(reason, stale)
	if !ok {
		return nil, "", false
	}
	text, after, _ = strings.Cut(text, "; nothing was done")
	for _, part := range strings.Split(text, "; ") {
		if strings.Contains(part, ": planned ") || len(list) == 0 {
			list = append(list, part)
			continue
		}
		list[len(list)-1] += "; " + part // a difference whose values hold one themselves
	}
	return list, strings.TrimPrefix("nothing was done"+after, "; "), true
}

// reason writes why a target stands where it stands, differences line by line.
func reason(pg *page, indent, hang int, text string) {
	list, after, ok := differences(text)
	if !ok {
		pg.item(indent, hang, dim, "why:", text)
		return
	}
	pg.item(indent, hang, dim, "why:", strings.TrimSuffix(stale, ": ")+"; "+after)
	for _, d := range list {
		pg.item(hang, hang+2, "", "-", d)
	}
}
