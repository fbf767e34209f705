package plan

import (
	"sort"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

// gate is what the private door must show. After an upgrade the apps that the
// plan disables may be missing; after a rollback none may. A look at what was
// put back writes nothing: no probe user, no WebDAV round trip, so that the
// database stays as the snapshot had it.
func (l *look) gate(in *look, v nextcloud.Version, forward bool) *Gate {
	r := l.in.Rollout
	g := &Gate{
		Version: v, HostHeader: hostHeader(in), Checks: in.seen.SetupChecks,
		IgnoreChecks: sorted(r.Gate.IgnoreChecks), Pages: r.Gate.Pages,
		WebDAV: forward && r.Gate.WebDAV != "off", SetupChecks: forward && r.Gate.SetupChecks != "off", Log: r.Gate.Log != "off",
		LogFile: in.seen.Settings.LogFile,
	}
	if forward && in.inst != nil {
		g.ProbeUser = in.inst.ProbeUser
		g.ProbePassword = string(in.inst.ProbePassword)
	}
	if g.LogFile == "" {
		g.LogFile = in.seen.DataDir + "/nextcloud.log"
	}
	for _, a := range in.seen.Apps {
		if forward && l.tells && a.Enabled && !a.Shipped {
			g.TellApps = append(g.TellApps, a.ID)
		}
	}
	sort.Strings(g.TellApps)
	lost := map[string]bool{}
	if forward {
		for _, c := range in.apps {
			if c.Action == "disable" {
				lost[c.ID] = true
				g.MayBeDisabled = append(g.MayBeDisabled, c.ID)
			}
		}
	}
	for _, a := range in.seen.Apps {
		if a.Enabled && !lost[a.ID] {
			g.Apps = append(g.Apps, a.ID)
		}
	}
	sort.Strings(g.Apps)
	sort.Strings(g.MayBeDisabled)
	return g
}

// outside is what users must see, nil when nobody looks from outside.
func (l *look) outside(in *look) *Gate {
	if in.inst == nil || in.inst.URL == "" || l.in.Rollout.Gate.OutsideVerify == "off" {
		return nil
	}
	return &Gate{Version: l.versionAfter(in), URL: in.inst.URL, Pages: l.in.Rollout.Gate.Pages}
}

func (l *look) versionAfter(in *look) nextcloud.Version {
	if in == l {
		return l.to()
	}
	return in.seen.Code
}

// hostHeader is a domain that the instance trusts: its URL's, or the first of
// trusted_domains.
func hostHeader(in *look) string {
	url := in.seen.Settings.URL
	if in.inst != nil && in.inst.URL != "" {
		url = in.inst.URL
	}
	if _, host, ok := strings.Cut(origin(url), "://"); ok {
		return host
	}
	for _, d := range in.seen.Settings.TrustedDomains {
		if !strings.Contains(d, "*") {
			return d
		}
	}
	return "localhost"
}
