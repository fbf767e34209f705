package nextcloud

import "strings"

// The names under which rival updaters are held outside of a rollout. No target
// has such a name.
const (
	HeldByOperator = "@operator" // until ncfleet release
	HeldAsAbsent   = "@absent"   // removed for good; put back on demand
)

func hostCall(script, name, state string, more ...string) Invocation {
	return Invocation{Script: script, Args: append([]string{"--name", name, "--state", state}, more...)}
}

// HoldFor stops rival updaters of a host outside of a rollout and notes who does
// it and why, in one line each. What a rollout holds or releases meanwhile stays
// held.
func HoldFor(state, who, why string, units, cronFiles []string) Invocation {
	i := Site{Name: HeldByOperator, StateDir: state}.Hold(units, cronFiles)
	return hostCall(i.Script, HeldByOperator, state, append(onlyHeld(i.Args), "--who", who, "--why", why)...)
}

// Remove takes rival updaters away for good: units are masked, cron files set
// apart in the state folder, lines of crontabs commented out. Nothing is deleted.
func Remove(state string, units, cronFiles []string) Invocation {
	i := Site{Name: HeldAsAbsent, StateDir: state}.Hold(units, cronFiles)
	return hostCall(i.Script, HeldAsAbsent, state, onlyHeld(i.Args)...)
}

// ReleaseFor puts back what is held under that name.
func ReleaseFor(state, name string) Invocation { return hostCall("unhold.sh", name, state) }

func onlyHeld(args []string) []string {
	var out []string
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == "--unit" || args[i] == "--cron" {
			out = append(out, args[i], args[i+1])
		}
	}
	return out
}

// Holding is what is held on a host under one name.
type Holding struct {
	Name      string   // a target's, HeldByOperator or HeldAsAbsent
	What      []string // units and cron files
	Who       string   // of an operator's hold
	Why       string
	SinceUnix int64 // 0 unknown
}

// Holdings are what a rollout, an operator or the inventory holds on the host.
func Holdings(state string) Invocation { return Invocation{Script: "holds.sh", Args: []string{state}} }

// ParseHoldings reads what the script of Holdings prints.
func ParseHoldings(text string) []Holding {
	var out []Holding
	for _, line := range strings.Split(text, "\n") {
		key, value, _ := strings.Cut(line, "\t")
		if key == "name" {
			out = append(out, Holding{Name: value})
			continue
		}
		if len(out) == 0 {
			continue
		}
		h := &out[len(out)-1]
		switch key {
		case "held":
			h.What = append(h.What, value)
		case "who":
			h.Who = value
		case "why":
			h.Why = value
		case "at":
			for _, c := range value {
				if c < '0' || c > '9' {
					h.SinceUnix = 0
					break
				}
				h.SinceUnix = h.SinceUnix*10 + int64(c-'0')
			}
		}
	}
	return out
}
