package inventory

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// What a rollout means that does not say otherwise.
const (
	DefaultSource        = "https://download.nextcloud.com/server/releases"
	DefaultSystemTimeout = 30 * time.Minute
	DefaultCoreTimeout   = 2 * time.Hour
	DefaultGateTimeout   = 2 * time.Minute
	DefaultHoldTimeout   = 15 * time.Minute
	DefaultReopenAfter   = 15 * time.Minute
	// leastReopenAfter leaves room for connections that are slow or break.
	leastReopenAfter = time.Minute
)

func (l *loader) readRollouts() []Rollout {
	var out []Rollout
	taken := firsts{}
	l.top("rollout", func(b *hcl.Block, src *source) {
		sec := l.open(b, src, rolloutShape, title(b))
		if !l.checkName(b.Labels[0], labelRange(b), sec.what) ||
			!l.claim(taken, b.Labels[0], labelRange(b), sec.what, "Give one of them another name.") {
			return
		}
		out = append(out, l.in(sec, src.ctx).rollout())
	})
	return out
}

func (s scope) rollout() Rollout {
	before := len(s.l.diags.list)
	r := Rollout{Name: s.sec.label, Range: s.l.place(s.sec.rng), MaxUnavailable: Amount{Count: 1}}
	selected, ok := s.l.hosts, true
	if s.sec.attrs["hosts"] != nil {
		selected, ok = s.pick("hosts", s.l.hosts, true)
	}
	if ok && len(selected) == 0 {
		s.bad("hosts", "Rollout without hosts", "It selects no host of the inventory.")
		ok = false
	}
	for _, h := range selected {
		r.Hosts = append(r.Hosts, h.Name)
	}
	if a, given := s.amount("max_unavailable", 1); given {
		r.MaxUnavailable = a
	}
	if s.wordOr("pin", "none", "canary") == "canary" {
		r.Pin = "canary"
	}
	r.Failures, r.ReopenAfter = s.failures()
	r.System = s.system()
	r.Core = s.core()
	r.Apps = s.apps(r.Core.To != "")
	r.Spread = s.spread(selected, ok)
	s.openTimes(&r)
	r.Gate = s.gate()
	r.Waves = s.waves(selected, ok)
	sound := len(s.l.diags.list) == before
	if sound && r.System.Level == "none" && len(r.System.Upgrades) == 0 && r.Core.To == "" && r.Apps.Update == "none" {
		s.l.warn(s.sec.rng, s.what, "Rollout without a goal",
			`It changes nothing. Write core { to = "…" }, system { level = "security" } or apps { update = "all" }.`)
	}
	return r
}

// inner opens the single block of the type; found is false when there is none.
func (s scope) inner(blockType string, sh shape) (in scope, found bool) {
	sec := s.l.only(s.sec, blockType, sh)
	if sec == nil {
		return scope{l: s.l, sec: &section{what: s.what + ", " + blockType, src: s.sec.src, rng: s.sec.rng}, ctx: s.ctx, what: s.what + ", " + blockType}, false
	}
	return scope{l: s.l, sec: sec, ctx: s.ctx, what: sec.what}, true
}

func (s scope) wordOr(name, fallback string, words ...string) string {
	if got, ok := s.word(name, append([]string{fallback}, words...)...); ok {
		return got
	}
	return fallback
}

func (s scope) durationOr(name string, fallback time.Duration) time.Duration {
	if got, ok := s.duration(name, time.Second); ok {
		return got
	}
	return fallback
}

// failures reads the budget, and when a host reopens what was left closed.
func (s scope) failures() (budget Amount, reopen time.Duration) {
	in, _ := s.inner("failures", failShape)
	if a, given := in.amount("budget", 0); given {
		budget = a
	}
	reopen = DefaultReopenAfter
	if d, given := in.duration("reopen_after", 0); given {
		reopen = d
		if d > 0 && d < leastReopenAfter {
			in.bad("reopen_after", "Duration too short",
				fmt.Sprintf("\"reopen_after\" takes at least \"1m\", or \"0s\" for never, not %q.", d.String()))
		}
	}
	return budget, reopen
}

func (s scope) system() System {
	in, _ := s.inner("system", systemShape)
	out := System{
		Level:   in.wordOr("level", "none", "security", "update"),
		Reboot:  in.wordOr("reboot", "never", "if_required"),
		Refresh: true,
		Timeout: in.durationOr("timeout", DefaultSystemTimeout),
	}
	if refresh, ok := in.flag("refresh"); ok {
		out.Refresh = refresh
	}
	upgrades, _ := in.strs("upgrades")
	for _, u := range upgrades {
		if !productPattern.MatchString(u) {
			in.bad("upgrades", "Bad product name", fmt.Sprintf("%q is not a product. Write names such as \"php\" or \"mariadb\", without a version.", u))
			return out
		}
	}
	out.Upgrades = upgrades
	return out
}

func (s scope) core() Core {
	in, _ := s.inner("core", coreShape)
	out := Core{
		Transfer:  in.wordOr("transfer", "push", "fetch"),
		Integrity: in.wordOr("integrity", "strict", "warn"),
		Timeout:   in.durationOr("timeout", DefaultCoreTimeout),

		Interrupted: in.wordOr("interrupted", "rerun", "rollback"),
	}
	if keyring, ok := in.files("keyring"); ok && len(keyring) == 1 {
		out.Keyring = keyring[0]
	} else if ok {
		in.bad("keyring", "Bad keyring", "Write one file of OpenPGP public keys.")
	}
	if to, ok := in.str("to"); ok {
		if versionPattern.MatchString(to) {
			out.To = to
		} else {
			in.bad("to", "Bad version", fmt.Sprintf("%q is not a version to go to. Write a major, \"29\", for its newest release, or a release, \"29.0.1\".", to))
		}
	}
	source, given := in.place("source")
	if !given && (out.To != "" || in.sec.attrs["to"] != nil) {
		source = DefaultSource
	}
	out.Source = source
	if out.Transfer == "fetch" && given && !strings.Contains(source, "://") {
		in.bad("transfer", "A host cannot fetch from a folder", fmt.Sprintf("%s lies on the controller. Write transfer = \"push\", or a URL as source.", source))
	}
	return out
}

func (s scope) apps(withCore bool) Apps {
	in, _ := s.inner("apps", appsShape)
	fallback, other := "none", "all"
	if withCore {
		fallback, other = "all", "none"
	}
	out := Apps{
		Update:         in.wordOr("update", fallback, other),
		OnIncompatible: in.wordOr("on_incompatible", "block", "disable"),
	}
	out.Catalogue, _ = in.place("catalogue")
	out.Critical, _ = in.strs("critical")
	return out
}

func (s scope) spread(selected []*hostDraft, known bool) *Spread {
	in, found := s.inner("spread", spreadShape)
	if !found {
		return nil
	}
	out := &Spread{Max: 1}
	if n, ok := in.whole("max", 1, maxHosts); ok {
		out.Max = n
	}
	if !in.need("label", `the label whose values are kept apart: label = "site"`) {
		return out
	}
	out.Label, _ = in.str("label")
	if out.Label == "" || !known {
		return out
	}
	labels := map[string]bool{}
	for _, h := range selected {
		for k := range h.Labels {
			labels[k] = true
		}
	}
	if !labels[out.Label] {
		in.bad("label", "Unknown label", fmt.Sprintf("None of the rollout's hosts has a label %q.%s", out.Label, suggest(out.Label, sortedKeys(labels))))
	}
	return out
}

func (s scope) gate() Gate {
	in, _ := s.inner("gate", gateShape)
	out := Gate{
		WebDAV:        in.wordOr("webdav", "required", "off"),
		SetupChecks:   in.wordOr("setup_checks", "compare", "off"),
		Log:           in.wordOr("log", "fatal", "off"),
		Timeout:       in.durationOr("timeout", DefaultGateTimeout),
		OutsideVerify: in.wordOr("outside_verify", "required", "off"),
		OnHold:        in.wordOr("on_hold", "wait", "rollback"),
		HoldTimeout:   in.durationOr("hold_timeout", DefaultHoldTimeout),
	}
	out.IgnoreChecks, _ = in.strs("ignore_checks")
	pages, _ := in.strs("pages")
	for _, p := range pages {
		if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsAny(p, " #") {
			in.bad("pages", "Bad page", fmt.Sprintf("%q must be a path below the instance's url, beginning with /, such as \"/index.php/login\".", p))
			return out
		}
	}
	out.Pages = pages
	return out
}

// amount takes a whole number from least up, or a percentage such as "25%".
func (s scope) amount(name string, least int) (Amount, bool) {
	v, ok := s.value(name)
	if !ok {
		return Amount{}, false
	}
	got, ok := text(v)
	if !ok {
		s.wrongType(name, v, `a whole number or a percentage such as "25%"`)
		return Amount{}, false
	}
	if strings.HasSuffix(got, "%") {
		p, ok := s.percentage(name, got, least > 0)
		return Amount{Percent: p, IsPercent: true}, ok
	}
	n, err := strconv.Atoi(got)
	if err != nil || n < least || n > maxHosts {
		s.bad(name, "Bad amount", fmt.Sprintf("%q takes a whole number, at least %d, or a percentage such as \"25%%\", not %q.", name, least, got))
		return Amount{}, false
	}
	return Amount{Count: n}, true
}

// percentage judges a percentage, with or without its sign: above 0 (or 0 itself unless
// positive) and up to 100.
func (s scope) percentage(name, got string, positive bool) (float64, bool) {
	p, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(got, "%")), 64)
	from := "0"
	if positive {
		from = "above 0"
	}
	if err != nil || math.IsNaN(p) || p < 0 || p > 100 || (positive && p == 0) {
		s.bad(name, "Percentage out of range", fmt.Sprintf("%q takes a percentage from %s to 100, not %q.", name, from, got))
		return 0, false
	}
	return p, true
}
