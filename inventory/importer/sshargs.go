package importer

import (
	"regexp"
	"strings"
)

// throughBastion finds the bastion of a ProxyCommand that only forwards:
// ssh … -W %h:%p … user@bastion.
var throughBastion = regexp.MustCompile(`^\s*ssh\b`)

// sshArgs reads options of the ssh command: -J, -o ProxyJump, ProxyCommand
// with -W, -i, -p, -l and the checking of host keys. Others are named.
func (t *tree) sshArgs(h *Host, text, name string, at Place) {
	args, err := words(text, false)
	if err != nil {
		t.inv.note(at, "host %s: %s: %v", h.Name, name, err)
		return
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		next := func(flag string) string {
			if a != flag {
				return strings.TrimPrefix(a, flag)
			}
			if i++; i < len(args) {
				return args[i]
			}
			return ""
		}
		switch {
		case strings.HasPrefix(a, "-o"):
			t.sshOption(h, next("-o"), name, at)
		case strings.HasPrefix(a, "-J"):
			h.Jump = jumps(next("-J"))
		case strings.HasPrefix(a, "-i"):
			h.Keys = append(h.Keys, next("-i"))
		case a == "-C" || a == "-q" || a == "-4" || a == "-6" || a == "-A" || a == "-tt" || a == "-t":
		default:
			t.once(at, "%s: %s is not understood", name, a)
		}
	}
}

// quietOptions change nothing of what ncfleet needs to know.
var quietOptions = map[string]bool{
	"controlmaster": true, "controlpersist": true, "controlpath": true, "serveraliveinterval": true, "serveralivecountmax": true,
	"compression": true, "loglevel": true, "forwardagent": true, "preferredauthentications": true, "batchmode": true,
	"connecttimeout": true, "connectionattempts": true, "identitiesonly": true, "gssapiauthentication": true, "tcpkeepalive": true,
	"passwordauthentication": true, "addressfamily": true,
}

func (t *tree) sshOption(h *Host, option, name string, at Place) {
	key, val, ok := strings.Cut(option, "=")
	if !ok {
		key, val, _ = strings.Cut(strings.TrimSpace(option), " ")
	}
	key, val = strings.TrimSpace(key), strings.TrimSpace(val)
	switch strings.ToLower(key) {
	case "proxyjump":
		h.Jump = jumps(val)
	case "proxycommand":
		if j, ok := bastion(val); ok {
			h.Jump = []Jump{j}
			return
		}
		t.once(at, "%s: ProxyCommand %q is not understood; write it as jump", name, val)
	case "identityfile":
		h.Keys = append(h.Keys, val)
	case "user":
		h.User = val
	case "stricthostkeychecking":
		if v := strings.ToLower(val); v == "no" || v == "off" || v == "accept-new" {
			h.HostKeys = "accept-new"
			if v != "accept-new" {
				t.once(at, "%s: host keys are not checked there; here the first key seen is kept and demanded from then on", name)
			}
		}
	case "userknownhostsfile":
		if val != "/dev/null" {
			t.once(at, "%s: UserKnownHostsFile %s: write it as known_hosts", name, val)
		}
	default:
		if !quietOptions[strings.ToLower(key)] {
			t.once(at, "%s: the option %s is not understood", name, key)
		}
	}
}

// bastion reads ssh -W %h:%p [-q] [-p PORT] [-l USER] [user@]HOST in any order.
func bastion(command string) (Jump, bool) {
	if !throughBastion.MatchString(command) || !strings.Contains(command, "-W") {
		return "", false
	}
	args, err := words(command, false)
	if err != nil {
		return "", false
	}
	var user, host, port string
	for i := 1; i < len(args); i++ {
		more := func() string {
			if i++; i < len(args) {
				return args[i]
			}
			return ""
		}
		switch a := args[i]; {
		case a == "-W", a == "-o", a == "-i", a == "-F":
			more()
		case a == "-p":
			port = more()
		case a == "-l":
			user = more()
		case strings.HasPrefix(a, "-"):
		case host == "":
			host = a
		default:
			return "", false
		}
	}
	if host == "" || strings.Contains(host, "{{") {
		return "", false
	}
	if user != "" && !strings.Contains(host, "@") {
		host = user + "@" + host
	}
	if port != "" {
		host += ":" + port
	}
	return Jump(host), true
}

func jumps(text string) []Jump {
	var out []Jump
	for _, j := range strings.Split(text, ",") {
		if j = strings.TrimSpace(strings.TrimPrefix(j, "ssh://")); j != "" && j != "none" {
			out = append(out, Jump(j))
		}
	}
	return out
}
