package survey

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// TestFrame tries what the frame does with parts that hang, with and without
// the program timeout.
func TestFrame(t *testing.T) {
	parts := `
part_quick() { echo quick; echo oops >&2; return 3; }
part_hang() { echo before; while :; do sleep 1; done; }
part_limited() { within 1 sleep 30; echo "rc $?"; }
part_untimed() { TIMEOUT=none; within 1 sleep 30; echo "rc $?"; within 5 sh -c 'exit 4'; echo "rc $?"; }
STATE=/nonexistent
scratch || exit 73
trap finish EXIT
exec 3<>"$T/done"
clock=0
ways
ticker </dev/null >/dev/null 2>&1 &
ticker_pid=$!
part hang 3 part_hang
for i in 1 2 3 4 5 6; do later "quick-$i" 20 part_quick x; done
part limited 20 part_limited
part untimed 20 part_untimed
settle
cd "$T"
for f in *.out *.rc *.err; do echo "$f: $(cat $f | tr '\n' ' ')"; done
`
	t.Parallel()
	type started struct {
		*exec.Cmd
		out, errs bytes.Buffer
	}
	all := map[string]*started{} // side by side: they wait most of the time
	for name, argv := range shells(t) {
		s := &started{Cmd: exec.Command(argv[0], append(append([]string{}, argv[1:]...), "-s")...)}
		s.Stdin = strings.NewReader(frameSh + "go() {" + parts + "}\ngo </dev/null\nexit\n")
		s.Stdout, s.Stderr = &s.out, &s.errs
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		all[name] = s
	}
	for name, s := range all {
		t.Run(name, func(t *testing.T) {
			if err := s.Wait(); err != nil {
				t.Fatalf("%v: %s %s", err, &s.out, &s.errs)
			}
			out := s.out.String()
			for _, want := range []string{"quick-6.out: quick", "quick-6.rc: 3", "quick-6.err: oops",
				"hang.out: before", "hang.rc: late", "limited.out: rc 124", "untimed.out: rc 137 rc 4"} {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in:\n%s%s", want, out, &s.errs)
				}
			}
		})
	}
}
