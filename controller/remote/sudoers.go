package remote

import (
	"regexp"
	"strings"
)

// SudoRule is all that a login user needs of sudo on a host: to run sh as root.
// Steps run as root and from there as other users, and sh is the only program
// that sudo is asked for.
type SudoRule struct {
	User string
	// Password keeps sudo's question for one; it is answered by sudo_password.
	Password bool
}

// SudoRule returns what the host's login user needs. Without a rule, why says
// why none is needed.
func (c *Config) SudoRule() (rule SudoRule, why string) {
	switch {
	case c.User == "root":
		return SudoRule{}, "the login user is root"
	case c.Sudo == SudoNone:
		return SudoRule{}, "sudo = \"none\": everything runs as " + c.User
	}
	return SudoRule{User: c.User, Password: c.SudoPassword != nil}, ""
}

// Text is the rule as lines of a sudoers file.
func (r SudoRule) Text() string {
	user := sudoersWord(r.User)
	tag := "NOPASSWD: "
	if r.Password {
		tag = ""
	}
	return "Defaults:" + user + " !requiretty\n" + user + " ALL=(root) " + tag + "/bin/sh, /usr/bin/sh\n"
}

var plainWord = regexp.MustCompile(`^[a-z_][a-z0-9_-]*$`)

// sudoersWord is a user's name as sudoers reads it: upper case is an alias
// there, and most other characters mean something.
func sudoersWord(name string) string {
	if plainWord.MatchString(name) {
		return name
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}
