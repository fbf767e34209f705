package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// SudoersDocument is what sudoers prints as JSON: the rules that the fleet's
// login users need, and the hosts that need none.
type SudoersDocument struct {
	FormatVersion int            `json:"format_version"`
	Rules         []SudoersRule  `json:"rules"`
	None          []SudoersNoUse `json:"none"`
}

// SudoersRule is the rule of one login user and the hosts that need it.
type SudoersRule struct {
	User  string   `json:"user"`
	Hosts []string `json:"hosts"`
	// Password is whether sudo goes on asking for one.
	Password bool `json:"password"`
	// Text is the rule as lines of a sudoers file.
	Text string `json:"text"`
}

// SudoersNoUse is a host that needs no rule, and why.
type SudoersNoUse struct {
	Host   string `json:"host"`
	Reason string `json:"reason"`
}

// Add notes that a host needs a rule.
func (d *SudoersDocument) Add(host, user string, password bool, text string) {
	i := slices.IndexFunc(d.Rules, func(r SudoersRule) bool { return r.Text == text })
	if i < 0 {
		i = len(d.Rules)
		d.Rules = append(d.Rules, SudoersRule{User: user, Password: password, Text: text})
	}
	d.Rules[i].Hosts = append(d.Rules[i].Hosts, host)
}

// Needless notes that a host needs no rule.
func (d *SudoersDocument) Needless(host, reason string) {
	d.None = append(d.None, SudoersNoUse{Host: host, Reason: reason})
}

// Sudoers writes the rules as a sudoers file; whom they are for is in comments.
func Sudoers(w io.Writer, d *SudoersDocument) error {
	var b strings.Builder
	b.WriteString("# What ncfleet's login users need of sudo, and no more.\n# Check: visudo -c -f FILE. Place: /etc/sudoers.d/ncfleet, of root, mode 0440.\n")
	for _, r := range d.Rules {
		b.WriteString("\n" + comment(r.Hosts) + r.Text)
	}
	for _, n := range d.None {
		fmt.Fprintf(&b, "\n# %s needs no rule: %s\n", n.Host, n.Reason)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// comment lists hosts in lines of at most 78 columns that begin with #.
func comment(hosts []string) string {
	var b strings.Builder
	line := "#"
	for i, h := range hosts {
		if i < len(hosts)-1 {
			h += ","
		}
		if len(line) > 1 && len(line)+1+len(h) > 78 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + h
	}
	return b.String() + line + "\n"
}

// SudoersJSON is the rules for programs.
func SudoersJSON(d *SudoersDocument) SudoersDocument {
	out := *d
	out.FormatVersion = formatVersion
	out.Rules = append([]SudoersRule{}, d.Rules...)
	out.None = append([]SudoersNoUse{}, d.None...)
	return out
}
