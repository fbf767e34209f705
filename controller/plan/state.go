package plan

import (
	"fmt"
	"strings"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/inventory"
)

func unreachable(h *inventory.Host, f *Facts) Problem {
	user := h.SSH.User
	if user != "" {
		user += "@"
	}
	address := h.Address
	if address == "" {
		address = h.Name
	}
	port := ""
	if h.SSH.Port != 0 && h.SSH.Port != 22 {
		port = fmt.Sprintf("-p %d ", h.SSH.Port)
	}
	if f.SudoRefusal != "" {
		return sudoRefused(h, f)
	}
	if _, rest, ok := strings.Cut(f.Unreachable, "`ssh-keyscan "); ok {
		scan, _, _ := strings.Cut(rest, "`")
		return problem("unreachable", "the host's key is not known", f.Unreachable,
			fmt.Sprintf("ssh-keyscan %s; compare the fingerprint with the one on the host's console, then plan again", scan))
	}
	return problem("unreachable", "the host cannot be reached", f.Unreachable,
		fmt.Sprintf("try ssh %s%s%s, then plan again", port, user, address))
}

// sudoRefused says what the login user lacks on the host.
func sudoRefused(h *inventory.Host, f *Facts) Problem {
	file := fmt.Sprintf("/etc/sudoers.d/ncfleet as `ncfleet sudoers %s` prints it, of root, mode 0440", h.Name)
	said := ""
	if at := strings.LastIndexByte(f.Unreachable, '['); at >= 0 {
		said = " " + f.Unreachable[at:]
	}
	switch f.SudoRefusal {
	case "missing":
		return problem("sudo_refused", "sudo is not installed", f.Unreachable, "as root on the host: install sudo, then write "+file)
	case "wrong password":
		return problem("sudo_refused", "sudo does not accept the password of "+h.SSH.User, f.Unreachable, "correct the secret behind sudo_password")
	case "not allowed":
		return problem("sudo_refused", h.SSH.User+" may not run sh as root",
			fmt.Sprintf("sudo on %s wants a password of %s, or has no rule for it (sudo says the same for both)%s", h.Address, h.SSH.User, said),
			"as root on the host: write "+file)
	}
	return problem("sudo_refused", "sudo does not let "+h.SSH.User+" run sh as root", f.Unreachable, "as root on the host: write "+file+"; see what sudo says: sudo -l -U "+nextcloud.Quote(h.SSH.User))
}

// checkState looks for an instance that is not in order before anything is
// wanted of it. Such an instance is never touched, not even for packages: at
// the end it would be opened.
func (l *look) checkState() {
	s := l.seen
	if s == nil {
		l.block(problem("not_surveyed", "the instance was not looked at",
			fmt.Sprintf("the facts of host %s have no instance %s", l.host.Name, l.ref.Instance), "run ncfleet plan again"))
		return
	}
	if s.Missing != "" {
		l.block(problem("no_installation", "no Nextcloud installation was found",
			fmt.Sprintf("%s on %s: %s", s.Path, l.host.Name, s.Missing),
			"correct path = … in the nextcloud block (the folder that holds occ and version.php)"))
		return
	}
	if s.StatusProblem != "" {
		l.block(problem("status_problem", "occ status does not answer properly",
			s.Path+": "+s.StatusProblem, "see what is wrong: "+l.occ("status")))
	} else if !s.Installed {
		l.block(problem("not_installed", "Nextcloud is unpacked but not installed",
			s.Path+": occ status says installed: false", "finish the installation, or take the instance out of the inventory"))
	}
	if s.Database.Problem != "" {
		l.block(problem("database_unreachable", "the database cannot be reached",
			fmt.Sprintf("%s %s at %s: %s", s.Database.Server, s.Database.Name, s.Database.Host, s.Database.Problem),
			"start it or correct dbhost in "+s.Path+"/config/config.php"))
	}
	l.checkPending()
	if s.Maintenance {
		l.block(problem("maintenance_on", "maintenance mode is already on",
			s.Path+": somebody closed this instance, or an earlier upgrade did not end; ncfleet would open it at the end",
			"when nobody needs it closed: "+l.occ("maintenance:mode --off")))
	}
}

func (l *look) checkPending() {
	s := l.seen
	if s.NeedsDBUpgrade || !s.Config.Zero() && !s.Code.Zero() && s.Config.Compare(s.Code) != 0 {
		l.block(problem("upgrade_pending", "an upgrade was begun and not ended",
			fmt.Sprintf("%s: the code is %s, the database is of %s", s.Path, s.Code.Long(), s.Config.Long()),
			"end it by hand first: "+l.occ("upgrade")+" && "+l.occ("maintenance:mode --off")))
	}
	if len(s.Leftovers) > 0 {
		l.block(problem("leftovers", "files of an interrupted upgrade lie about",
			strings.Join(s.Leftovers, ", "),
			"look at them, remove what nobody needs, then plan again; a .step file belongs to Nextcloud's own updater"))
	}
}
