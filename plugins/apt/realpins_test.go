package apt

import (
	"slices"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// TestRealAptPins: a version that is not the newest is found and installed, and
// one that is gone from the repository leaves everything as it is.
func TestRealAptPins(t *testing.T) {
	b := newBox(t)
	b.deb("lab", "lab-plain", "1.0", "", nil)
	b.publish()
	b.apt("update")
	b.apt("install", "lab-plain")
	for _, v := range []string{"1.1", "1.10", "1.2"} {
		b.deb("lab", "lab-plain", v, "", nil)
	}
	b.publish()
	pm := New()
	f := b.facts(pm, driver.ProbeRequest{Refresh: true, Installed: true, Offered: true})
	if got := f.Offered["lab-plain"]; !slices.Equal(got, []string{"1.1", "1.2", "1.10"}) {
		t.Errorf("offered %q", got)
	}
	if f.Installed["lab-plain"] != "1.0" || len(f.Problems) > 0 {
		t.Errorf("installed %q, problems %q", f.Installed["lab-plain"], f.Problems)
	}
	install := func(version string) (out string, exit int) {
		t.Helper()
		cmds, err := pm.Compile(t.Context(), driver.Selection{Changes: []driver.PackageChange{{Name: "lab-plain", From: "1.0", To: version, Change: driver.ChangeUpdate}}})
		b.must(err)
		for _, c := range append(slices.Clone(cmds.Stage), cmds.Apply...) {
			r := b.run(c)
			if out += string(r.Stdout) + string(r.Stderr); r.Exit != 0 {
				return out, r.Exit
			}
		}
		return out, 0
	}
	if out, exit := install("1.05"); exit == 0 || !strings.Contains(out, "E: Version '1.05' for 'lab-plain' was not found") || b.version("lab-plain") != "1.0" {
		t.Errorf("a version that is gone: exit %d, now %s\n%s", exit, b.version("lab-plain"), out)
	}
	if out, exit := install("1.2"); exit != 0 || b.version("lab-plain") != "1.2" {
		t.Errorf("exit %d, now %s\n%s", exit, b.version("lab-plain"), out)
	}
	f = b.facts(pm, driver.ProbeRequest{Offered: true})
	if got := f.Offered["lab-plain"]; !slices.Equal(got, []string{"1.10"}) {
		t.Errorf("offered afterwards %q", got)
	}
	if f.Installed != nil {
		t.Errorf("installed without being asked: %v", f.Installed)
	}
}
