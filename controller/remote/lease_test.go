package remote

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// lost checks that an error tells of a lost lease, for that reason and in those
// words.
func lost(t *testing.T, what string, err error, reason, says string) {
	t.Helper()
	var e *LeaseLost
	if !errors.As(err, &e) || e.Reason != reason || !strings.Contains(strings.ReplaceAll(e.Error(), e.Host, "web1"), says) {
		t.Errorf("%s: %v; want a lease lost (%s), …%s…", what, err, reason, says)
	}
}

func TestLease(t *testing.T) {
	t.Parallel()
	h := startSSHD(t).connect(t)
	ctx := testContext(t)
	if s, err := h.LookLease(ctx); err != nil || s.Token != "" {
		t.Errorf("free: %+v, %v", s, err)
	}
	const one, other = "r1 1 aaa", "r2 5 bbb"
	for range 2 {
		if s, err := h.Lease(ctx, "rollout r1 of alice@desk", one); err != nil || s.Token != one || s.Holder != "rollout r1 of alice@desk" {
			t.Fatalf("take: %+v, %v", s, err)
		}
	}
	var held *LeaseHeld
	if _, err := h.Lease(ctx, "bob", other); !errors.As(err, &held) || held.Holder != "rollout r1 of alice@desk" || held.Token != one ||
		!strings.Contains(err.Error(), "ncfleet lease --break web1 --reason") {
		t.Errorf("second holder: %v", err)
	}
	if _, err := h.Start(ctx, "x", other, driver.Command{Argv: []string{"true"}}); !errors.As(err, &held) || held.Token != one {
		t.Errorf("start under another token: %v", err)
	}
	if s, err := h.Look(ctx, "x"); err != nil || s.Phase != driver.RunNever {
		t.Errorf("the refused run: %+v, %v", s, err)
	}
	if _, err := h.Start(ctx, "x", one, driver.Command{Argv: []string{"true"}}); err != nil {
		t.Errorf("start under the lease: %v", err)
	}
	if err := h.Release(ctx, other); err != nil {
		t.Errorf("a release by a rollout that has no lease: %v", err)
	}
	if s, err := h.LookLease(ctx); err != nil || s.Token != one {
		t.Errorf("the other's release took it away: %+v, %v", s, err)
	}
	for range 2 {
		if err := h.Release(ctx, one); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	_, err := h.Do(ctx, one, driver.Command{Argv: []string{"true"}})
	lost(t, "do after release", err, LeaseGone, "it was released by rollout r1 of alice@desk")
	if _, err := h.Lease(ctx, "bob", other); err != nil {
		t.Errorf("take after release: %v", err)
	}
	for _, token := range []string{"", "r1", "r1 0 x", "r1 1", "../r 1 x", "r1 1 x\ny"} {
		if _, err := h.Lease(ctx, "eve", token); err == nil || !strings.Contains(err.Error(), "no lease token") {
			t.Errorf("token %q: %v", token, err)
		}
	}
}

// changes are all ways to change a host, each under a token.
func changes(h *Host, dir string) map[string]func(t *testing.T, token string) error {
	return map[string]func(*testing.T, string) error{
		"lease": func(t *testing.T, token string) error { _, err := h.Lease(testContext(t), "again", token); return err },
		"start": func(t *testing.T, token string) error {
			_, err := h.Start(testContext(t), "new", token, driver.Command{Argv: []string{"touch", dir + "/start"}})
			return err
		},
		"attach": func(t *testing.T, token string) error {
			_, err := h.Start(testContext(t), "old", token, driver.Command{Argv: []string{"touch", dir + "/attach"}})
			return err
		},
		"do": func(t *testing.T, token string) error {
			_, err := h.Do(testContext(t), token, driver.Command{Argv: []string{"touch", dir + "/do"}})
			return err
		},
		"upload": func(t *testing.T, token string) error {
			return h.Upload(testContext(t), UploadRequest{Token: token, Path: dir + "/upload", User: "root",
				Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }})
		},
		"abort":   func(t *testing.T, token string) error { return h.Abort(testContext(t), "old", token) },
		"forget":  func(t *testing.T, token string) error { return h.Forget(testContext(t), "old", token) },
		"release": func(t *testing.T, token string) error { return h.Release(testContext(t), token) },
	}
}

// TestPassedByControllerIsRefused: whatever it asks for, and whatever became of
// the lease since.
func TestPassedByControllerIsRefused(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	h := s.connect(t)
	ctx := testContext(t)
	const old, late = "r1 3 aaa", "r1 8 bbb"
	if _, err := h.Lease(ctx, "old", old); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Start(ctx, "old", old, driver.Command{Argv: []string{"sleep", "600"}}); err != nil {
		t.Fatal(err)
	}
	_, err := h.Do(ctx, late, driver.Command{Argv: []string{"true"}})
	lost(t, "before it took over", err, LeaseOlder, "still leased to an earlier controller of this rollout, old")
	if l, err := h.Lease(ctx, "late", late); err != nil || l.Token != late {
		t.Fatalf("take over: %+v, %v", l, err)
	}
	dir := t.TempDir()
	refuses := func(when, says string) {
		t.Helper()
		for name, change := range changes(h, dir) {
			for _, token := range []string{old, "r1 8 ccc"} {
				lost(t, when+": "+name+" by "+token, change(t, token), LeaseStale, says)
			}
		}
		if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
			t.Errorf("%s: made %v, %v", when, made, err)
		}
		if s, err := h.Look(ctx, "new"); err != nil || s.Phase != driver.RunNever {
			t.Errorf("%s: the refused run is %+v, %v", when, s, err)
		}
	}
	refuses("taken over", "another controller has taken over: host web1 is leased by late for")
	if s, err := h.Look(ctx, "old"); err != nil || s.Phase != driver.RunRunning {
		t.Errorf("the run that the old one started: %+v, %v", s, err)
	}
	if s, err := h.Start(ctx, "old", late, driver.Command{Argv: []string{"true"}}); err != nil || !s.Attached {
		t.Errorf("the later one attaches: %+v, %v", s, err)
	}
	if err := h.Abort(ctx, "old", late); err != nil {
		t.Error(err)
	}
	if err := h.Release(ctx, late); err != nil {
		t.Fatal(err)
	}
	refuses("given back", "another controller has taken over: host web1 was leased by late until")
	if _, err := h.Lease(ctx, "third", "r2 1 ccc"); err != nil {
		t.Fatal(err)
	}
	refuses("another rollout's", "another controller has taken over: host web1 is leased by third for")
	if _, err := h.Lease(ctx, "later still", "r1 9 ddd"); err == nil {
		t.Error("another rollout's lease was taken over")
	}
}

func TestBrokenLease(t *testing.T) {
	t.Parallel()
	h := startSSHD(t).connect(t)
	ctx := testContext(t)
	const token = "r1 3 aaa"
	if err := h.BreakLease(ctx, token, "anna@desk", "why"); err != nil {
		t.Errorf("there is nothing to break: %v", err)
	}
	if _, err := h.Lease(ctx, "old", token); err != nil {
		t.Fatal(err)
	}
	var held *LeaseHeld
	if err := h.BreakLease(ctx, "r1 2 zzz", "anna@desk", "why"); !errors.As(err, &held) || held.Token != token {
		t.Errorf("another lease than was looked at: %v", err)
	}
	for _, reason := range []string{"", "two\nlines"} {
		if err := h.BreakLease(ctx, token, "anna@desk", reason); err == nil {
			t.Errorf("broken for the reason %q", reason)
		}
	}
	if err := h.BreakLease(ctx, token, "anna@desk", "it's $HOME; the laptop was stolen"); err != nil {
		t.Fatal(err)
	}
	if s, err := h.LookLease(ctx); err != nil || s.Token != "" {
		t.Errorf("after the break: %+v, %v", s, err)
	}
	for name, change := range changes(h, t.TempDir()) {
		lost(t, name, change(t, token), LeaseStale, "the lease of host web1 was broken by anna@desk")
		lost(t, name, change(t, token), LeaseStale, "ago: it's $HOME; the laptop was stolen")
	}
	if _, err := h.Lease(ctx, "late", "r1 4 bbb"); err != nil {
		t.Errorf("a later controller: %v", err)
	}
}

// TestLeaseThatIsGone: a missing lease is no leave to change a host.
func TestLeaseThatIsGone(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	leaseTo(t, s.config)
	h := s.connect(t)
	if err := os.Remove(filepath.Join(s.config.StateDir, "lease")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, change := range changes(h, dir) {
		if name != "lease" && name != "release" {
			lost(t, name, change(t, testToken), LeaseGone, "the host does not know why")
		}
	}
	if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
		t.Errorf("made %v, %v", made, err)
	}
	write(t, filepath.Join(s.config.StateDir, "lease"), "r\nan older ncfleet\n1\n")
	if l, err := h.Lease(testContext(t), "new", "r 1 n"); err != nil || l.Token != "r 1 n" {
		t.Errorf("a lease without an epoch: %+v, %v", l, err)
	}
}

// TestDoIsRun: under the lease a command finds what it would find without.
func TestDoIsRun(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	leaseTo(t, s.config)
	h := s.connect(t)
	r, err := h.Do(testContext(t), testToken, driver.Command{
		Argv: []string{"sh", "-c", `printf '%s|' "$A" "$1"; pwd; cat; umask; echo e >&2; exit 7`, "sh", "it's $x"},
		Env:  map[string]string{"A": "a b"}, Stdin: []byte("in\n"), Dir: "/usr"})
	if err != nil || r.Exit != 7 || string(r.Stdout) != "a b|it's $x|/usr\nin\n0022\n" || !bytes.HasSuffix(r.Stderr, []byte("e\n")) {
		t.Errorf("got %d %q %q, %v", r.Exit, r.Stdout, r.Stderr, err)
	}
	if r, err := h.Do(testContext(t), testToken, driver.Command{Argv: []string{"sh", "-c", "exit 126"}}); err != nil || r.Exit != 126 {
		t.Errorf("got %d, %v", r.Exit, err)
	}
	var unknown *OutcomeUnknown
	if _, err := h.Do(testContext(t), testToken, driver.Command{Argv: []string{"sleep", "60"}, Timeout: 500 * time.Millisecond}); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "`sleep 60`") {
		t.Errorf("got %v", err)
	}
}

// TestTakenOverWhileSending: a controller that stands still while it sends what
// a command reads, and goes on when another one has the host, changes nothing.
func TestTakenOverWhileSending(t *testing.T) {
	t.Parallel()
	state, dir := t.TempDir(), t.TempDir()
	take := func(token string) {
		t.Helper()
		if out, err := exec.Command("sh", "-c", libScript+fenceScript+leaseScript, "ncfleet", state, "x", "take", token, "me").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "yours") {
			t.Fatalf("%q, %v", out, err)
		}
	}
	take("r 1 n")
	cmd := exec.Command("sh", "-c", compact(libScript+fenceScript+doScript), "ncfleet", state, "x", "r 1 n", "MARK", "cat >"+quote(dir)+"/ran")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "half of it"); err != nil {
		t.Fatal(err)
	}
	take("r 2 m")
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 126 {
		t.Errorf("exit %v, want the refusal", err)
	}
	if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
		t.Errorf("made %v, %v", made, err)
	}
}

// TestTakersRace: many controllers come at once, over the lock of one that died
// in the middle. The latest has the lease at the end.
func TestTakersRace(t *testing.T) {
	t.Parallel()
	for name, left := range map[string]string{"no lock": "-", "a dead one's lock": "999999999 1 x\n", "an empty lock": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := t.TempDir()
			if left != "-" {
				write(t, state+"/lease.lock", left)
			}
			const takers = 12
			var mu sync.Mutex
			taken := 0
			var wg sync.WaitGroup
			for i := 1; i <= takers; i++ {
				wg.Go(func() {
					out, err := exec.Command("sh", "-c", libScript+fenceScript+leaseScript, "ncfleet", state, "x", "take", fmt.Sprintf("r %d n%d", i, i), "me").Output()
					mu.Lock()
					defer mu.Unlock()
					switch word, _, _ := strings.Cut(string(out), "\n"); {
					case word == "yours":
						taken++
					case word != "stale" || err != nil:
						t.Errorf("taker %d: %q, %v", i, out, err)
					}
				})
			}
			wg.Wait()
			lease, err := os.ReadFile(state + "/lease")
			if want := fmt.Sprintf("r %d n%d\n", takers, takers); err != nil || !strings.HasPrefix(string(lease), want) {
				t.Errorf("the lease is %q, %v", lease, err)
			}
			if taken == 0 {
				t.Error("nobody took it")
			}
			files, _ := filepath.Glob(state + "/*")
			if len(files) != 3 { // fences, the lease, the reserve
				t.Errorf("left %q", files)
			}
		})
	}
}

// TestTakenOverMeanwhile: a start and an upload that were allowed when they
// began are refused before they change anything.
func TestTakenOverMeanwhile(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	leaseTo(t, s.config)
	h := s.connect(t)
	dir := t.TempDir()
	takeOver := "sh -c " + quote(libScript+fenceScript+leaseScript) + " ncfleet " + quote(s.config.StateDir) + " x take 'r 2 m' late"
	cmd := exec.Command("sh", "-c", "cat() { command cat; "+takeOver+" >/dev/null; }\n"+libScript+fenceScript+startScript, "ncfleet", s.config.StateDir, "r",
		testToken, "MARK", "unit", "touch "+quote(dir)+"/ran", compact(keeperScript), "100", "2")
	cmd.Stdin = strings.NewReader("# for people\nMARK\nin")
	if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), "stale\ntoken r 2 m\nholder late\n") {
		t.Errorf("the start says %q, %v", out, err)
	}
	if runs, err := os.ReadDir(filepath.Join(s.config.StateDir, "runs")); err != nil || len(runs) > 0 {
		t.Errorf("left %v, %v", runs, err)
	}
	sum := sha256.Sum256([]byte("x"))
	r := UploadRequest{Token: "r 2 m", Path: dir + "/file", User: "root", Size: 1, SHA256: hex.EncodeToString(sum[:]), Open: func() (io.ReadCloser, error) {
		_, err := h.Lease(testContext(t), "later still", "r 3 k")
		return io.NopCloser(strings.NewReader("x")), err
	}}
	lost(t, "upload", h.Upload(testContext(t), r), LeaseStale, "leased by later still")
	if made, err := os.ReadDir(dir); err != nil || len(made) > 0 {
		t.Errorf("made %v, %v", made, err)
	}
}

func TestFencesArePruned(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	age := func(name string, days int) {
		if err := os.MkdirAll(state+"/fences", 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, state+"/fences/"+name, "3 n\ntaken 1 me\n\n")
		at := time.Now().Add(-time.Duration(days) * 24 * time.Hour)
		if err := os.Chtimes(state+"/fences/"+name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	age("old.fence", 62)
	age("young.fence", 58)
	for i := range 250 {
		age(fmt.Sprintf("many%03d.fence", i), 59)
	}
	out, err := exec.Command("sh", "-c", libScript+fenceScript+leaseScript, "ncfleet", state, "x", "take", "r 1 n", "me").Output()
	if err != nil || !strings.HasPrefix(string(out), "yours\n") {
		t.Fatalf("got %q, %v", out, err)
	}
	left, err := os.ReadDir(state + "/fences")
	if err != nil || len(left) != 200 {
		t.Errorf("%d fences are left, %v", len(left), err)
	}
	for name, want := range map[string]bool{"old.fence": false, "young.fence": true, "r.fence": true} {
		if _, err := os.Stat(state + "/fences/" + name); (err == nil) != want {
			t.Errorf("%s is there: %v", name, err == nil)
		}
	}
}
