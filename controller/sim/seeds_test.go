package sim_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seedsFlag = flag.Int("seeds", 300, "how many seeds TestSeeds lives through")
	seedFlag  = flag.Int64("seed", 0, "one seed alone, told as it goes")
)

// live lives through one seed under a clock of its own.
func live(t *testing.T, seed int64, loud bool) *world {
	var w *world
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "seed %d: go test ./controller/sim -run TestSeeds -seed %d -v\n", seed, seed)
			panic(p)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		made, rnd, err := newWorld(seed, loud)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		w = made
		w.through(rnd)
	})
	return w
}

// tell reports a seed that broke a rule. It is lived once more for its story.
func tell(t *testing.T, w *world) {
	again := live(t, w.seed, true)
	last := again.lines[max(0, len(again.lines)-40):]
	t.Errorf("seed %d breaks a rule: %s\nreplay it alone: go test ./controller/sim -run 'TestSeeds$' -seed %d -v\nthe last of %d events:\n%s",
		w.seed, w.wrong, w.seed, len(again.lines), strings.Join(last, "\n"))
}

// TestSeeds lives through many seeds, each a fleet, a rollout and faults of its
// own, and holds what happened against the rules.
func TestSeeds(t *testing.T) {
	if *seedFlag != 0 {
		w := live(t, *seedFlag, true)
		t.Logf("seed %d\n%s", w.seed, strings.Join(w.lines, "\n"))
		if w.wrong != "" {
			t.Errorf("seed %d breaks a rule: %s", w.seed, w.wrong)
		}
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	begun := time.Now()
	var mu sync.Mutex
	total := map[string]int{}
	var next, failed atomic.Int64
	t.Run("all", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for {
					seed := next.Add(1)
					if seed > int64(*seedsFlag) || failed.Load() >= 3 {
						return
					}
					w := live(t, seed, false)
					if w.wrong != "" && failed.Add(1) <= 3 {
						tell(t, w)
					}
					mu.Lock()
					for k, n := range w.counts {
						total[k] += n
					}
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%d seeds in %s\n%s", min(next.Load(), int64(*seedsFlag)), time.Since(begun).Round(time.Millisecond), table(total))
}

func table(total map[string]int) string {
	keys := make([]string, 0, len(total))
	for k := range total {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "%9d  %s\n", total[k], k)
	}
	return b.String()
}

// TestSeedsRepeat proves that a seed always goes the same way.
func TestSeedsRepeat(t *testing.T) {
	for seed := int64(1); seed <= 20; seed++ {
		a, b := live(t, seed, true), live(t, seed, true)
		if x, y := strings.Join(a.lines, "\n"), strings.Join(b.lines, "\n"); x != y {
			t.Fatalf("seed %d went two ways:\n%s\n\n%s", seed, x, y)
		}
	}
}
