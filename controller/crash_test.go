package controller

import (
	"errors"
	"fmt"
	"math/rand"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ncfleet/ncfleet/controller/executor"
	"github.com/ncfleet/ncfleet/controller/rollout"
)

// once fails the test unless every step that was begun on a host ran there
// once, and every outcome stands in the journal once.
func (w *world) once() {
	w.t.Helper()
	for step, n := range w.hosts.effects {
		if n != 1 {
			w.t.Errorf("%s ran %d times", step, n)
		}
	}
	w.state()
}

// TestCrashAfterEveryEvent ends the controller at each append in turn, with
// the event written or not, and lets another one go on.
func TestCrashAfterEveryEvent(t *testing.T) {
	for _, failing := range []string{"", "w1/h02/hop", "w1/h02/verify"} {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s whole=%v", failing, whole), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					want := rollout.Verdict("")
					for k := 1; ; k++ {
						w := newWorld(t, testPlan(1, 2))
						if failing != "" {
							w.hosts.outcome[failing] = executor.Outcome{Status: executor.Failed, Detail: "x"}
						}
						w.book.revive(k, whole)
						v, err := w.carryOn(t.Context(), nil)
						if err == nil {
							if k < 50 {
								t.Errorf("only %d crashes", k)
							}
							return
						}
						if !errors.Is(err, errDead) {
							t.Fatal(err)
						}
						time.Sleep(time.Duration(k%3) * time.Second) // hosts go on meanwhile
						w.book.revive(0, false)
						v, err = w.carryOn(t.Context(), nil)
						if want == "" {
							want = v
						}
						if err != nil || v != want {
							t.Fatalf("crash at append %d: %q %v, want %q", k, v, err, want)
						}
						w.once()
					}
				})
			})
		}
	}
}

// TestCrashAgainAndAgain crashes every few appends, at random.
func TestCrashAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := int64(1); seed <= 40; seed++ {
			rnd := rand.New(rand.NewSource(seed))
			w := newWorld(t, testPlan(1, 3))
			crashes := 0
			for {
				w.book.revive(2+rnd.Intn(12), rnd.Intn(2) == 0)
				v, err := w.carryOn(t.Context(), nil)
				if err == nil {
					if v != rollout.Succeeded {
						t.Errorf("seed %d: %q", seed, v)
					}
					break
				}
				if crashes++; crashes > 1000 || !errors.Is(err, errDead) {
					t.Fatalf("seed %d: %v after %d crashes", seed, err, crashes)
				}
				time.Sleep(time.Duration(rnd.Intn(2000)) * time.Millisecond)
			}
			w.once()
			if crashes < 3 {
				t.Errorf("seed %d: only %d crashes", seed, crashes)
			}
		}
	})
}
