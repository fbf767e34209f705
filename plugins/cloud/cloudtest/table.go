package cloudtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

type row struct {
	phase      phase
	call, what string
	fault      Fault
	faults     []string // all that ended so
}

// everyCall are the faults that a driver absorbs by itself.
var everyCall = []string{string(TooMany), string(Conflict), string(Broken), string(Gateway), string(Down), string(Lost), string(Cut), string(Slow), string(Refused)}

// note adds a row, joined with the row of the same call and end.
func (s *suite) note(r row) {
	i := slices.IndexFunc(s.rows, func(o row) bool { return o.phase == r.phase && o.call == r.call && o.what == r.what })
	if i < 0 {
		r.faults = []string{string(r.fault)}
		s.rows = append(s.rows, r)
		return
	}
	s.rows[i].faults = append(s.rows[i].faults, string(r.fault))
}

func (s *suite) print(t *testing.T) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "phase\tcall\twhat happened\tfaults")
	runs := 0
	for _, r := range s.rows {
		faults := strings.Join(r.faults, ", ")
		if len(r.faults) == len(everyCall) && slices.Equal(r.faults, everyCall) {
			faults = "each of the nine below"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.phase, r.call, r.what, faults)
		runs += len(r.faults)
	}
	_ = w.Flush() // into memory: it cannot fail
	t.Logf("\n%sthe nine: %s\n%d injections", &b, strings.Join(everyCall, ", "), runs)
}
