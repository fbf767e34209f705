package remote

import (
	"crypto/rand"
	_ "embed" // for the scripts
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

var (
	//go:embed scripts/inner.sh
	innerScript string
	//go:embed scripts/become.sh
	becomeScript string
)

// maxLine is what one command line may hold: Linux refuses a single argument
// of 128 KiB, and the whole line is one argument of the login shell.
const maxLine = 100 << 10

// wire is a command in the form in which it is sent.
type wire struct {
	line   string // for the login shell
	head   []byte // on stdin before the command's own
	mark   string // unguessable line that ends the parts of head
	sudo   bool
	user   string // the command's, for messages
	title  string // the command's argv, shortened
	secret func() (string, error)
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// compose builds the line and the head of stdin for a command. Environment
// values and long arguments go through stdin, so that no process list of the
// host shows them; a command with neither is run without a shell of ours,
// which keeps it matchable by a sudoers rule.
func (c *Config) compose(cmd driver.Command) (wire, error) {
	w := wire{user: cmd.User, title: title(cmd.Argv)}
	switch {
	case len(cmd.Argv) == 0 || cmd.Argv[0] == "":
		return w, errors.New("cannot run an empty command")
	case strings.HasPrefix(cmd.Argv[0], "-"):
		return w, fmt.Errorf("cannot run command %q: it would be read as an option", cmd.Argv[0])
	case cmd.User != "" && !userName.MatchString(cmd.User):
		return w, fmt.Errorf("cannot run %s: invalid user %q", w.title, cmd.User)
	case cmd.Dir != "" && !path.IsAbs(cmd.Dir):
		return w, fmt.Errorf("cannot run %s: folder %q is not absolute", w.title, cmd.Dir)
	}
	argv, err := quoteAll(cmd.Argv)
	if err != nil {
		return w, fmt.Errorf("cannot run %s: %w", w.title, err)
	}
	switched := cmd.User != "" && cmd.User != c.User
	w.sudo = switched && c.User != "root" && c.Sudo != SudoNone
	if w.sudo {
		w.secret = c.SudoPassword
	}
	if len(cmd.Env) > 0 || cmd.Dir != "" || w.secret != nil ||
		len(argv) > maxLine || strings.Contains(cmd.Argv[0], "=") {
		argv, err = w.wrap(cmd, argv)
		if err != nil {
			return w, fmt.Errorf("cannot run %s: %w", w.title, err)
		}
	}
	w.line = c.prefix(w, switched) + argv
	return w, nil
}

// prefix is what makes the line run as the command's user.
func (c *Config) prefix(w wire, switched bool) string {
	const locale = "exec env LC_ALL=C.UTF-8 "
	switch {
	case w.sudo && w.secret != nil:
		// -k: never a cached credential, so that the password is asked for.
		return "cd /; " + locale + "sudo -k -S -p '' -H -u " + quote(w.user) + " -- "
	case w.sudo:
		return "cd /; " + locale + "sudo -n -H -u " + quote(w.user) + " -- "
	case switched && c.User == "root":
		return locale + "sh -c " + quote(compact(becomeScript)) + " sh " + quote(w.user) + " "
	default:
		return locale
	}
}

// wrap puts environment, folder and arguments into the head and returns the
// line of the shell that reads it.
func (w *wire) wrap(cmd driver.Command, argv string) (string, error) {
	var b strings.Builder
	w.mark = randomMark()
	b.WriteString(w.mark + "\n")
	names := make([]string, 0, len(cmd.Env))
	for name := range cmd.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if !envName.MatchString(name) {
			return "", fmt.Errorf("invalid environment name %q", name)
		}
		if strings.IndexByte(cmd.Env[name], 0) >= 0 {
			return "", fmt.Errorf("the value of environment %s contains a NUL byte", name)
		}
		b.WriteString("export " + name + "=" + quote(cmd.Env[name]) + "\n")
	}
	if cmd.Dir != "" {
		if strings.IndexByte(cmd.Dir, 0) >= 0 {
			return "", errors.New("the folder contains a NUL byte")
		}
		b.WriteString("cd -- " + quote(cmd.Dir) + " 2>/dev/null || { printf '%s\\n' " +
			quote(noFolder+cmd.Dir) + " >&2; exit 126; }\n")
	}
	b.WriteString("set -- " + argv + "\n" + w.mark + "\n")
	w.head = []byte(b.String())
	ready := "quiet"
	if w.secret != nil {
		ready = "ready"
	}
	return "sh -c " + quote(compact(innerScript)) + " sh " + w.mark + " " + ready, nil
}

// What our own scripts say on stderr, with exit status 126, when the command
// could not start.
const (
	noFolder = "ncfleet: cannot enter folder: "
	noUser   = "ncfleet: no such user: "
)

// compact drops comments and indentation from a script of ours; none of them
// has a here-document.
func compact(script string) string {
	var b strings.Builder
	b.Grow(len(script))
	for line := range strings.Lines(script) {
		line = strings.TrimLeft(line, " \t")
		if line == "\n" || strings.HasPrefix(line, "#") {
			continue
		}
		b.WriteString(line)
	}
	return strings.TrimRight(b.String(), "\n")
}

func randomMark() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// title shortens an argv for messages.
func title(argv []string) string {
	const limit = 100
	s := strings.Join(argv, " ")
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[:i] + " …"
	}
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return "`" + s + "`"
}
