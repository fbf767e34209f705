package fleetreport

import (
	"strings"
	"unicode"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// printable returns a copy of facts whose texts that a report shows hold no
// control characters: what an app calls itself must not move a terminal's cursor.
func printable(f plan.Facts) plan.Facts {
	f.Unreachable = plain(f.Unreachable)
	f.OS.ID, f.OS.Version = plain(f.OS.ID), plain(f.OS.Version)
	f.Problems = plainList(f.Problems)
	f.Instances = append([]plan.InstanceFacts(nil), f.Instances...)
	for i := range f.Instances {
		in := &f.Instances[i]
		in.Missing, in.DataDir = plain(in.Missing), plain(in.DataDir)
		in.PHP.Version, in.PHP.Web, in.PHP.Modules = plain(in.PHP.Version), plain(in.PHP.Web), plainList(in.PHP.Modules)
		in.Database.Server, in.Database.Version = plain(in.Database.Server), plain(in.Database.Version)
		in.Apps = append([]plan.App(nil), in.Apps...)
		for k := range in.Apps {
			a := &in.Apps[k]
			a.ID, a.Version, a.MinNextcloud, a.MaxNextcloud = plain(a.ID), plain(a.Version), plain(a.MinNextcloud), plain(a.MaxNextcloud)
		}
	}
	return f
}

// plain shows control characters as "?".
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '?'
		}
		return r
	}, s)
}

func plainList(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, plain(s))
	}
	return out
}
