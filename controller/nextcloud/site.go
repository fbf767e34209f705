package nextcloud

import "strconv"

// Site is what the host scripts must know of one instance. All paths are
// absolute on the host; Path is the real directory when the tree is reached
// through a symbolic link.
type Site struct {
	Name     string // of the target, for the script's own folder
	Path     string // the live code tree
	DataDir  string
	WebUser  string
	PHP      string
	StateDir string
	// Reload lists argv that make the web's PHP forget old code.
	Reload [][]string
	// URL is asked on the host to see the site closed and open; may be "".
	URL string
}

// Invocation is a host script by name with its arguments.
type Invocation struct {
	Script string
	Args   []string
}

// Staged is where the tree of a release waits beside the live one.
func (s Site) Staged(v Version) string { return s.Path + ".ncfleet-new-" + v.String() }

// Kept is where the tree that was live before the rollout is kept.
func (s Site) Kept(v Version) string { return s.Path + ".ncfleet-old-" + v.String() }

// base are the arguments every site script starts with.
func (s Site) base() []string {
	args := []string{
		"--name", s.Name, "--path", s.Path, "--data", s.DataDir,
		"--user", s.WebUser, "--php", s.PHP, "--state", s.StateDir,
	}
	if s.URL != "" {
		args = append(args, "--url", s.URL)
	}
	for _, r := range s.Reload {
		args = append(args, "--reload", QuoteArgv(r))
	}
	return args
}

func (s Site) call(script string, more ...string) Invocation {
	return Invocation{Script: script, Args: append(s.base(), more...)}
}

// Close takes the users out: cron paused and waited for, maintenance mode on
// and seen by the web, log level and other settings remembered. A watchdog on
// the host lets them in again when nothing was changed yet and no controller
// was heard for so many seconds; 0 means none.
func (s Site) Close(watchdog int) Invocation {
	if watchdog <= 0 {
		return s.call("close.sh")
	}
	return s.call("close.sh", "--watchdog", strconv.Itoa(watchdog))
}

// What Begin is asked for.
const (
	BeginLook    = "look"    // only say how the site is
	BeginChange  = "change"  // a change begins
	BeginRestore = "restore" // a snapshot is put back
)

// Begin asks whether the site that the given arguments, of any other script,
// are about still is as Close left it, and marks that a change begins. The
// report's value "reopened" is when the watchdog let users in, its "open" is
// "yes" when somebody else did.
func Begin(siteArgs []string, what string) Invocation {
	return Invocation{Script: "begin.sh", Args: append(Base(siteArgs), "--checks", what)}
}

// Look tells what a hop that did not end left behind; args are the hop's.
func Look(args []string) Invocation { return Invocation{Script: "look.sh", Args: args} }

// Open lets the users in: settings as remembered, maintenance mode off and
// seen so by the web, cron on. It is idempotent and also the undo of Close.
func (s Site) Open() Invocation { return s.call("open.sh") }

// Stage unpacks the archive beside the live tree as Staged(to), carries over
// themes and the apps that the release does not ship, and checks it.
// Archive is the path of the uploaded file; URL, when not "", is fetched by
// the host itself first. sha512 is checked on the host either way.
func (s Site) Stage(archive, url, sha512 string, to Version, from string) Invocation {
	return s.call("stage.sh", "--archive", archive, "--fetch", url, "--sha512", sha512,
		"--staged", s.Staged(to), "--to", to.String(), "--apps-from", from)
}

// Unstage removes staged trees and uploaded archives; never the live or kept tree.
func (s Site) Unstage(versions []Version) Invocation {
	var more []string
	for _, v := range versions {
		more = append(more, "--staged", s.Staged(v))
	}
	return s.call("unstage.sh", more...)
}

// Hop puts the staged tree of version to in the live one's place, runs occ
// upgrade and reloads the web's PHP. keep is where the replaced tree goes.
func (s Site) Hop(to Version, keep string) Invocation {
	return s.call("hop.sh", "--staged", s.Staged(to), "--keep", keep, "--to", to.String())
}

// SwapBack puts the kept tree in the live one's place again; nothing happens
// when no swap had been made.
func (s Site) SwapBack(keep string, from Version) Invocation {
	return s.call("swapback.sh", "--keep", keep, "--from", from.String())
}

// Restored reloads the web's PHP once a snapshot was put back, for the site
// that the given arguments, of any other script, are about; from, unless "",
// is the version that its code must have.
func Restored(siteArgs []string, from string) Invocation {
	return Invocation{Script: "restored.sh", Args: append(Base(siteArgs), "--from", from)}
}

// Apps updates apps until none is left, at most rounds times. With pins, each
// "ID=VERSION", an app goes to such a version or stays as it is; nil is any.
func (s Site) Apps(rounds int, pins []string) Invocation {
	more := []string{"--rounds", strconv.Itoa(rounds)}
	if pins != nil {
		more = append(more, "--pinned", "yes")
	}
	for _, p := range pins {
		more = append(more, "--app", p)
	}
	return s.call("apps.sh", more...)
}

// Tidy adds missing indices, columns and primary keys, and removes the trees
// that are no longer needed, archives included.
func (s Site) Tidy(remove []string) Invocation {
	var more []string
	for _, p := range remove {
		more = append(more, "--remove", p)
	}
	return s.call("tidy.sh", more...)
}

// Hold stops rival updaters and remembers how each was found: a unit by its
// name, a cron file by its path.
func (s Site) Hold(units, cronFiles []string) Invocation {
	var more []string
	for _, u := range units {
		more = append(more, "--unit", u)
	}
	for _, f := range cronFiles {
		more = append(more, "--cron", f)
	}
	return s.call("hold.sh", more...)
}

// Unhold puts the rival updaters back as Hold found them.
func (s Site) Unhold() Invocation { return s.call("unhold.sh") }

// Reboot restarts the host when its packages ask for it.
func (s Site) Reboot() Invocation { return s.call("reboot.sh", "--checks", "required") }

// Door says how gate.sh serves the private door.
type Door struct {
	Probe   string // user to make and remove, "" for none
	Port    int    // to try first
	Seconds int    // after which it closes by itself
	Checks  bool   // run occ setupchecks
	LogFile string // "" for the one that close.sh found
}

// Gate opens the private door of the site that the given arguments, of any
// other script, are about. Password and token go into the environment, as
// OC_PASS and NCFLEET_DOOR.
func Gate(siteArgs []string, d Door) Invocation {
	args := Base(siteArgs)
	if d.Probe != "" {
		args = append(args, "--probe", d.Probe)
	}
	if d.LogFile != "" {
		args = append(args, "--log", d.LogFile)
	}
	checks := "no"
	if d.Checks {
		checks = "yes"
	}
	return Invocation{Script: "gate.sh", Args: append(args, "--port", strconv.Itoa(d.Port),
		"--seconds", strconv.Itoa(d.Seconds), "--checks", checks)}
}

// Base returns those of a script's arguments that say which site it is about.
func Base(args []string) []string {
	var out []string
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "--name", "--path", "--data", "--user", "--php", "--state", "--url", "--reload":
			out = append(out, args[i], args[i+1])
		}
	}
	return out
}

// Option returns the first value of a script's option, or "".
func Option(args []string, name string) string {
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == name {
			return args[i+1]
		}
	}
	return ""
}

// QuoteArgv renders argv as one string that a POSIX shell splits into exactly
// these words again.
func QuoteArgv(argv []string) string {
	out := ""
	for i, a := range argv {
		if i > 0 {
			out += " "
		}
		out += Quote(a)
	}
	return out
}

// Quote renders one word for a POSIX shell, in single quotes where needed.
func Quote(w string) string {
	if w != "" && plainWord(w) {
		return w
	}
	out := []byte{'\''}
	for i := 0; i < len(w); i++ {
		if w[i] == '\'' {
			out = append(out, `'\''`...)
			continue
		}
		out = append(out, w[i])
	}
	return string(append(out, '\''))
}

func plainWord(w string) bool {
	for i := 0; i < len(w); i++ {
		c := w[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '/', c == '.', c == '-', c == '_', c == ':', c == ',', c == '+', c == '@', c == '%':
		default:
			return false
		}
	}
	return true
}
