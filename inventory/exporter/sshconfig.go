package exporter

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/ncfleet/ncfleet/inventory"
)

// SSHConfig writes the fleet as an ssh_config: to log in by hand as ncfleet
// does, with ssh -F FILE HOST. Bastions get a block too, as ssh takes nothing
// over from a host to its bastion: with what their own block says, else with the
// keys of the first host behind them. What an ssh_config says that the inventory
// names by config is not copied.
func SSHConfig(w io.Writer, fleet *inventory.Fleet) error {
	out := bufio.NewWriter(w)
	seen := map[string]bool{}
	for i := range fleet.Hosts {
		h := &fleet.Hosts[i]
		seen[h.Name] = true
		block(out, h.Name, append([]option{{"HostName", h.Address}}, sshOptions(h.SSH)...))
	}
	for i := range fleet.Hosts {
		for _, j := range fleet.Hosts[i].SSH.Jump {
			s := fleet.Hosts[i].SSH
			s.HostKeyAlias = "" // that is the host's own
			if j.Bastion != nil {
				s = j.Bastion.SSH
			}
			if seen[j.Address] {
				continue
			}
			seen[j.Address] = true
			s.User, s.Port, s.Jump = "", 0, nil // ProxyJump names them
			block(out, j.Address, sshOptions(s))
		}
	}
	return out.Flush()
}

// block writes to a bufio.Writer, which keeps the first error for Flush.
func block(w *bufio.Writer, name string, options []option) {
	fmt.Fprintf(w, "Host %s\n", name)
	for _, o := range options {
		fmt.Fprintf(w, "  %s %s\n", o.name, o.value)
	}
	fmt.Fprintln(w)
}

// configWord quotes a path as ssh_config(5) splits words, and its % as itself.
func configWord(path string) string {
	path = strings.ReplaceAll(path, "%", "%%")
	if strings.ContainsAny(path, " \t\"'\\#") {
		path = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
	}
	return path
}
