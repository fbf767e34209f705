package plan

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

const deb12 = "apt debian 12 x86_64"

// pinnedFixture is a pinned rollout of n hosts; the canary's packages are known.
func pinnedFixture(n int) Input {
	in := fixture(n)
	in.Rollout.Pin = "canary"
	for name, f := range in.Facts {
		p := *f.Packages
		p.Pending = slices.Clone(p.Pending)
		f.Packages = &p
		if name == "cloud-01" {
			p.Installed = map[string]string{"openssl": "3.0.15-1", "libssl3": "3.0.15-1", "curl": "8.1"}
		}
		in.Facts[name] = f
	}
	return in
}

// offer replaces one pending change of a host, or adds it.
func offer(in *Input, host string, c driver.PackageChange, offered ...string) {
	f := in.Facts[host]
	p := *f.Packages
	p.Pending = slices.DeleteFunc(slices.Clone(p.Pending), func(have driver.PackageChange) bool { return have.Name == c.Name })
	p.Pending = append(p.Pending, c)
	p.Offered = maps.Clone(p.Offered)
	if p.Offered == nil {
		p.Offered = map[string][]string{}
	}
	p.Offered[c.Name] = offered
	f.Packages = &p
	in.Facts[host] = f
}

func security(name, from, to string) driver.PackageChange {
	return driver.PackageChange{Name: name, From: from, To: to, Change: driver.ChangeUpdate, Security: true}
}

func pinnedPlan(t *testing.T, in Input) Plan {
	t.Helper()
	Bind(&in)
	cover(&in)
	p, problems := Compute(in)
	if len(problems) > 0 {
		t.Fatalf("problems: %+v", problems)
	}
	return p
}

func targetOf(t *testing.T, p Plan, name string) *Target {
	t.Helper()
	for w := range p.Waves {
		for i := range p.Waves[w].Targets {
			if p.Waves[w].Targets[i].Name == name {
				return &p.Waves[w].Targets[i]
			}
		}
	}
	t.Fatalf("%s is no target; blocked %+v, idle %v", name, p.Blocked, p.Idle)
	return nil
}

func heldReason(tg *Target, name string) string {
	for _, c := range tg.Packages {
		if c.Name == name && c.Held {
			return c.Reason
		}
	}
	return ""
}

// TestLaterWavesGetWhatTheCanaryGets: without a lock the first wave of the plan
// says what the others may have.
func TestLaterWavesGetWhatTheCanaryGets(t *testing.T) {
	in := pinnedFixture(5)
	// cloud-02's index is newer and has the canary's version still.
	offer(&in, "cloud-02", security("openssl", "3.0.15-1", "3.0.18-1"), "3.0.17-1", "3.0.18-1")
	// cloud-03 would get a package that no canary has, and is behind with one that
	// the canary has already.
	offer(&in, "cloud-03", security("bind9", "9.1", "9.2"))
	offer(&in, "cloud-03", security("curl", "8.0", "8.1"))
	// cloud-04's index is newer, and the canary's version is gone.
	offer(&in, "cloud-04", security("openssl", "3.0.15-1", "3.0.18-1"), "3.0.18-1")
	// cloud-05 is another distribution.
	f := in.Facts["cloud-05"]
	f.OS.Version = "11"
	in.Facts["cloud-05"] = f
	p := pinnedPlan(t, in)

	two := targetOf(t, p, "cloud-02")
	if got := two.Expect.PackagesTo["openssl"]; got != "3.0.17-1" {
		t.Errorf("cloud-02 gets openssl %s, the canary 3.0.17-1", got)
	}
	if step := slices.IndexFunc(two.Steps, func(s Step) bool { return s.Kind == KindPackages }); !strings.Contains(strings.Join(two.Steps[step].Commands[0].Argv, " "), "openssl=3.0.17-1") {
		t.Errorf("the command is %v", two.Steps[step].Commands)
	}
	three := targetOf(t, p, "cloud-03")
	if got := heldReason(three, "bind9"); got != "not in wave canary: the canary did not run it" {
		t.Errorf("bind9 on cloud-03: %q", got)
	}
	if got := three.Expect.PackagesTo["curl"]; got != "8.1" {
		t.Errorf("cloud-03 gets curl %q, which the canary has installed", got)
	}
	if len(p.Blocked) != 1 || p.Blocked[0].Target != "cloud-04" || p.Blocked[0].Problems[0].Code != "pin_unavailable" ||
		!strings.Contains(p.Blocked[0].Problems[0].Detail, "openssl: wave canary has 3.0.17-1, installed is 3.0.15-1, offered 3.0.18-1") {
		t.Errorf("blocked: %+v", p.Blocked)
	}
	if got := heldReason(targetOf(t, p, "cloud-05"), "openssl"); got != `not in wave canary: it has no host that is "apt debian 11 x86_64"` {
		t.Errorf("openssl on cloud-05: %q", got)
	}
	if p.Pin == nil || p.Pin.New == nil || p.Pin.Lock != nil {
		t.Fatalf("pin: %+v", p.Pin)
	}
	want := map[string]string{"openssl": "3.0.17-1", "libssl3": "3.0.17-1", "curl": "8.1"}
	if got := p.Pin.New.Packages[deb12]; !maps.Equal(got, want) {
		t.Errorf("new pins %v, want %v", got, want)
	}
	if r := p.Pin.New.Releases["29.0.16"]; r.SHA512 != release("29.0.16").SHA512 {
		t.Errorf("new releases %+v", p.Pin.New.Releases)
	}
	// A host whose index moved on between plan and recheck is as planned.
	now := in.Facts["cloud-02"]
	if d := Diff(*two, now); len(d) > 0 {
		t.Errorf("differences: %+v", d)
	}
	offer(&in, "cloud-02", security("openssl", "3.0.15-1", "3.0.18-1"), "3.0.18-1")
	if d := Diff(*two, in.Facts["cloud-02"]); len(d) != 1 || d[0].What != "package openssl" {
		t.Errorf("differences once the version is gone: %+v", d)
	}
}

func lockOf(p Plan) *Pinned {
	return &Pinned{RolloutID: "r1", Plan: "d", Wave: p.Pin.Wave, At: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC), By: "ops@x", Pins: *p.Pin.New}
}

// TestLockBindsEverybody: with a lock the first wave gets its versions too, of
// packages, of Nextcloud and of apps.
func TestLockBindsEverybody(t *testing.T) {
	in := pinnedFixture(3)
	lock := lockOf(pinnedPlan(t, in))
	delete(lock.Releases, "29.0.16")
	lock.Releases["29.0.1"] = PinnedRelease{Build: "29.0.1.1", SHA512: release("29.0.1").SHA512}
	lock.Apps = map[string]string{"calendar": "4.7.0"}
	in.Lock = lock
	for _, h := range []string{"cloud-01", "cloud-02"} {
		offer(&in, h, security("openssl", "3.0.15-1", "3.0.18-1"), "3.0.17-1", "3.0.18-1")
	}
	offer(&in, "cloud-03", security("openssl", "3.0.17-1", "3.0.18-1"), "3.0.18-1")
	p := pinnedPlan(t, in)
	for _, name := range []string{"cloud-01", "cloud-02"} {
		tg := targetOf(t, p, name)
		if tg.Expect.PackagesTo["openssl"] != "3.0.17-1" || tg.To != version("29.0.1") {
			t.Errorf("%s goes to %s with openssl %s", name, tg.To, tg.Expect.PackagesTo["openssl"])
		}
		i := slices.IndexFunc(tg.Steps, func(s Step) bool { return s.Kind == KindApps })
		if args := strings.Join(tg.Steps[i].Args, " "); !strings.Contains(args, "--pinned yes --app calendar=4.7.0") {
			t.Errorf("apps step: %s", args)
		}
		if len(tg.Apps) != 1 || tg.Apps[0].Action != "keep" || tg.Apps[0].Reason != "4.7.1 is offered and fleet.lock has 4.7.0" {
			t.Errorf("apps: %+v", tg.Apps)
		}
	}
	if got := heldReason(targetOf(t, p, "cloud-03"), "openssl"); got != "fleet.lock has the version that is installed" {
		t.Errorf("openssl on cloud-03: %q", got)
	}
	if p.Pin.New != nil || p.Pin.Lock.RolloutID != "r1" || len(p.Pin.Lock.Packages) > 0 || p.Pin.LockDigest != lock.Digest() {
		t.Errorf("pin: %+v", p.Pin)
	}
}

// TestNotPinned: what the pins do not allow blocks, with the way out.
func TestNotPinned(t *testing.T) {
	for code, change := range map[string]func(*Input){
		"not_pinned":      func(in *Input) { in.Lock.Releases = map[string]PinnedRelease{"28.0.14": {}} },
		"archive_changed": func(in *Input) { in.Lock.Releases["29.0.16"] = PinnedRelease{SHA512: strings.Repeat("ab", 64)} },
	} {
		in := pinnedFixture(2)
		in.Lock = lockOf(pinnedPlan(t, in))
		change(&in)
		p := pinnedPlan(t, in)
		if len(p.Blocked) != 2 || p.Blocked[0].Problems[0].Code != code || !strings.Contains(p.Blocked[0].Problems[0].Remedy, "ncfleet plan spring --new-pins") {
			t.Errorf("%s: blocked %+v", code, p.Blocked)
		}
	}
	// A host that the first wave's way does not reach.
	in := pinnedFixture(2)
	in.Releases = append(in.Releases, release("28.0.14"))
	change(&in, "cloud-02", func(_ *Facts, i *InstanceFacts) { i.Code, i.Config = version("27.1.11.3"), version("27.1.11.3") })
	p := pinnedPlan(t, in)
	if len(p.Blocked) != 1 || p.Blocked[0].Problems[0].Code != "not_pinned" || !strings.Contains(p.Blocked[0].Problems[0].Detail, "27.1.11 → 28.0.14 → 29.0.16") {
		t.Errorf("blocked %+v", p.Blocked)
	}
}

func TestLockFile(t *testing.T) {
	p := pinnedPlan(t, pinnedFixture(2))
	sum := strings.Repeat("0f", 64)
	p.Pin.New.Releases["29.0.16"] = PinnedRelease{Build: "29.0.16.1", Archive: "nextcloud-29.0.16.tar.bz2", SHA512: sum}
	l := Lock{Rollouts: map[string]Pinned{"spring": *lockOf(p), "autumn": *lockOf(p)}}
	text, err := EncodeLock(l)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeLock(text)
	if err != nil {
		t.Fatal(err)
	}
	again, err := EncodeLock(back)
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("not the same bytes (%v):\n%s\n%s", err, text, again)
	}
	for _, tt := range []struct{ old, new, line, cause string }{
		{`"3.0.17-1",`, `"3.0.17-1"`, "      \"openssl\"", "invalid character"}, // the line after
		{`"3.0.17-1",`, `"",`, `"libssl3": ""`, `"libssl3" has no version`},
		{`"wave":`, `"waves":`, `"waves":`, `the field "waves" is unknown`},
		{`"version": 1`, `"version": 2`, `"version": 2`, "its version is 2"},
		{sum, "beef", `"beef"`, "the sha512 of 29.0.16 is no SHA-512 checksum"},
		{`"rollout_id": "r1"`, `"rollout_id": 7`, `"rollout_id": 7`, "cannot unmarshal number"},
	} {
		bad := strings.Replace(string(text), tt.old, tt.new, 1)
		_, err := DecodeLock([]byte(bad))
		var at *LockError
		if bad == string(text) || !errors.As(err, &at) || !strings.Contains(at.Cause, tt.cause) {
			t.Errorf("%s: %v", tt.new, err)
			continue
		}
		if got := strings.Split(bad, "\n")[at.Line-1]; !strings.Contains(got, strings.TrimSpace(tt.line)) {
			t.Errorf("%s: line %d is %q", tt.new, at.Line, got)
		}
	}
	if _, err := DecodeLock(text[:len(text)/2]); err == nil || !strings.Contains(err.Error(), "it ends in the middle") {
		t.Errorf("half a file: %v", err)
	}
}
