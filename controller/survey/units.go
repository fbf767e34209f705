package survey

import (
	"strings"

	"github.com/ncfleet/ncfleet/controller/plan"
)

// unit is what systemctl show said of one unit.
type unit map[string]string

// unitTexts are the three answers of the units part: timers and known
// services, what the timers start, and the scripts that those call.
func (r *reader) unitTexts() (timers, services, scripts string) {
	timers, rest, _ := strings.Cut(string(r.parts["units"].out), "\n--\n")
	services, scripts, _ = strings.Cut(rest, "\n--\n")
	return timers, services, scripts
}

// unitStates notes which units are active; the web's reload needs it.
func (r *reader) unitStates() {
	_, services, _ := r.unitTexts()
	for _, u := range parseUnits(services) {
		r.web.units[u["Id"]] = u["ActiveState"] == "active"
	}
}

// units judges timers and services.
func (r *reader) units() {
	timers, services, scriptText := r.unitTexts()
	byID := map[string]unit{}
	for _, u := range parseUnits(services) {
		byID[u["Id"]] = u
	}
	scripts := map[string][]string{}
	for _, f := range r.cronFiles([]byte(scriptText)) {
		scripts[f.path] = f.lines
	}
	done := map[string]bool{}
	for _, u := range parseUnits(timers) {
		if id := u["Id"]; id == "" || done[id] || u["LoadState"] == "not-found" {
			continue
		}
		done[u["Id"]] = true
		r.unit(u, byID, scripts)
	}
}

func (r *reader) unit(u unit, services map[string]unit, scripts map[string][]string) {
	id := u["Id"]
	active := u["ActiveState"] == "active" || u["ActiveState"] == "activating"
	enabled := strings.HasPrefix(u["UnitFileState"], "enabled")
	if !active && !enabled {
		return
	}
	kind, text, user := "service", []string{}, ""
	if strings.HasSuffix(id, ".timer") {
		kind = "timer"
		for _, s := range strings.Fields(u["Triggers"]) {
			line := execLine(services[s]["ExecStart"])
			user = services[s]["User"]
			text = append(text, line)
			for _, w := range strings.FieldsFunc(line, cutWord) {
				text = append(text, scripts[strings.TrimPrefix(w, r.sysroot)]...)
			}
		}
	}
	all := strings.Join(text, "\n")
	seen := plan.Rival{Kind: kind, Name: id, Where: u["FragmentPath"], Active: active}
	if len(text) > 0 {
		seen.Line = text[0]
	}
	rival := knownRival(id, active, r.web.snap)
	for _, t := range text {
		rival = rival || updatesSomething(t)
	}
	if rival {
		found := seen
		found.Where = ""
		found.Instance = r.instanceIn(all)
		r.facts.Rivals = append(r.facts.Rivals, found)
	}
	if strings.Contains(all, "cron.php") {
		r.background(seen, all, user)
	}
}

// knownRival knows units by name.
func knownRival(id string, active, snap bool) bool {
	name, kind, _ := strings.Cut(id, ".")
	switch {
	case kind == "timer":
		lower := strings.ToLower(name)
		return name == "apt-daily" || name == "apt-daily-upgrade" || strings.HasPrefix(name, "dnf-automatic") || strings.HasPrefix(name, "dnf5-automatic") ||
			name == "dnf-makecache" || name == "os-update" || name == "transactional-update" || strings.HasPrefix(name, "packagekit") || name == "snapd.refresh" ||
			strings.Contains(lower, "nextcloud") && (strings.Contains(lower, "update") || strings.Contains(lower, "upgrade"))
	case id == "unattended-upgrades.service", id == "yum-cron.service":
		return true
	case id == "packagekit.service", id == "packagekit-offline-update.service":
		return active
	case id == "snapd.service":
		return snap
	}
	return false
}

// parseUnits reads systemctl show: blocks of Key=Value, an empty line between.
func parseUnits(text string) []unit {
	var out []unit
	for _, block := range strings.Split(text, "\n\n") {
		u := unit{}
		for _, l := range strings.Split(block, "\n") {
			k, v, ok := strings.Cut(l, "=")
			if !ok {
				continue
			}
			if u[k] != "" {
				v = u[k] + "\n" + v
			}
			u[k] = v
		}
		if len(u) > 0 {
			out = append(out, u)
		}
	}
	return out
}

// execLine returns the command lines in ExecStart's value.
func execLine(v string) string {
	var out []string
	for _, l := range strings.Split(v, "\n") {
		if _, argv, ok := strings.Cut(l, "argv[]="); ok {
			argv, _, _ = strings.Cut(argv, " ;")
			out = append(out, strings.TrimSpace(argv))
		}
	}
	return strings.Join(out, "\n")
}
