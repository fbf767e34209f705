package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Cut pulls the host's cable: packets to and from it vanish.
func (h *Host) Cut(ctx context.Context) error { return h.link(ctx, "down") }

func (h *Host) link(ctx context.Context, way string) error {
	line, err := h.lab.Inside("ip", "link", "set", veth(h.Name), way)
	if err != nil {
		return err
	}
	if _, err := tool(ctx, line[0], line[1:]...); err != nil {
		return fmt.Errorf("cannot set the cable of %s %s: %w", h.Name, way, err)
	}
	return nil
}

// Refuse lets the host answer on port 22 as if no sshd ran. Connections that
// are there stay.
func (h *Host) Refuse(ctx context.Context) error {
	rules := "table inet lab-refuse {\n chain input {\n  type filter hook input priority 0\n" +
		"  tcp dport 22 tcp flags & (syn | ack) == syn reject with tcp reset\n }\n}\n"
	if _, err := h.inNetwork(ctx, rules, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("cannot refuse connections to %s: %w", h.Name, err)
	}
	return h.note("refuse")
}

// Slow limits the host's bandwidth both ways and loses packets both ways; ""
// leaves either as it is.
func (h *Host) Slow(ctx context.Context, rate, loss string) error {
	if rate != "" {
		if err := h.shape(ctx, rate); err != nil {
			return err
		}
	}
	if loss != "" {
		if err := h.lose(ctx, loss); err != nil {
			return err
		}
	}
	return h.note(strings.Join(strings.Fields("slow "+rate+" "+loss), " "))
}

var rateForm = regexp.MustCompile(`^[1-9]\d*(?:kbit|mbit|gbit)$`)

func (h *Host) shape(ctx context.Context, rate string) error {
	if !rateForm.MatchString(rate) {
		return fmt.Errorf("--rate %s: write a number and kbit, mbit or gbit, such as 1mbit", rate)
	}
	limit := []string{"root", "tbf", "rate", rate, "burst", "16kb", "latency", "400ms"}
	if _, err := h.inNetwork(ctx, "", "tc", append([]string{"qdisc", "replace", "dev", "eth0"}, limit...)...); err != nil {
		return fmt.Errorf("cannot slow %s: %w", h.Name, err)
	}
	line, err := h.lab.Inside(append([]string{"tc", "qdisc", "replace", "dev", veth(h.Name)}, limit...)...)
	if err != nil {
		return err
	}
	if _, err := tool(ctx, line[0], line[1:]...); err != nil {
		return fmt.Errorf("cannot slow %s: %w", h.Name, err)
	}
	return nil
}

func (h *Host) lose(ctx context.Context, loss string) error {
	percent, err := strconv.Atoi(strings.TrimSuffix(loss, "%"))
	if err != nil || percent < 0 || percent > 100 {
		return fmt.Errorf("--loss %s: write a percentage from 0%% to 100%%, such as 10%%", loss)
	}
	var b strings.Builder
	b.WriteString("table inet lab-loss {\n}\ndelete table inet lab-loss\ntable inet lab-loss {\n")
	for _, hook := range []string{"input", "output"} {
		fmt.Fprintf(&b, " chain %s {\n  type filter hook %s priority 0\n  meta oifname != \"lo\" meta iifname != \"lo\" numgen random mod 100 < %d drop\n }\n", hook, hook, percent)
	}
	b.WriteString("}\n")
	if _, err := h.inNetwork(ctx, b.String(), "nft", "-f", "-"); err != nil {
		return fmt.Errorf("cannot lose packets of %s: %w", h.Name, err)
	}
	return nil
}

// Heal undoes Cut, Refuse and Slow.
func (h *Host) Heal(ctx context.Context) error {
	if err := h.link(ctx, "up"); err != nil {
		return err
	}
	// The two lines per table make it vanish whether or not it was there.
	rules := "table inet lab-refuse {\n}\ndelete table inet lab-refuse\ntable inet lab-loss {\n}\ndelete table inet lab-loss\n"
	if _, err := h.inNetwork(ctx, rules, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("cannot heal %s: %w", h.Name, err)
	}
	// There is no shaping to delete on a host that was not slowed.
	_, _ = h.inNetwork(ctx, "", "tc", "qdisc", "del", "dev", "eth0", "root")
	if line, err := h.lab.Inside("tc", "qdisc", "del", "dev", veth(h.Name), "root"); err == nil {
		_, _ = tool(ctx, line[0], line[1:]...)
	}
	if err := os.Remove(h.file("faults")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// inNetwork runs a tool of this machine in the host's network namespace, which
// is there also while the host is off.
func (h *Host) inNetwork(ctx context.Context, stdin, name string, args ...string) (string, error) {
	p, err := h.lab.holderProcess()
	if err != nil {
		return "", err
	}
	return feed(ctx, stdin, "nsenter", append([]string{fmt.Sprintf("--net=/proc/%d/root/run/netns/%s", p.PID, h.Name), "--", name}, args...)...)
}

// note remembers a fault for status.
func (h *Host) note(fault string) error {
	return writeFile(h.file("faults"), []byte(strings.Join(append(h.faults(), fault), "\n")+"\n"), 0o600)
}

// Reboot restarts the host and waits until its sshd answers, or only until it
// has gone down when the cable is cut. A hard reboot is a power cut: nothing on
// the host gets a chance to end well. It also switches a host on.
func (h *Host) Reboot(ctx context.Context, hard bool) error {
	before, err := h.power()
	if err != nil {
		return err
	}
	if hard || !before.Init.alive() {
		if err := h.cyclePower(before); err != nil {
			return err
		}
	} else if _, err := h.Output(ctx, "systemctl", "reboot"); err != nil {
		// The command may be ended by the reboot that it asked for.
		if _, ran := Code(err); !ran {
			return err
		}
	}
	cables, err := h.lab.cables(ctx)
	if err != nil {
		return err
	}
	wanted := powerOn
	if cables[veth(h.Name)] {
		wanted = powerBooting
	}
	return poll(ctx, hostLimit, "the reboot of "+h.Name, func() bool {
		p, err := h.power()
		return err == nil && p.Boots > before.Boots && (p.State == wanted || p.State == powerOn)
	})
}

func (h *Host) cyclePower(before power) error {
	if err := writeFile(h.file("cycle"), nil, 0o600); err != nil {
		return fmt.Errorf("cannot switch %s: %w", h.Name, err)
	}
	if before.Init.alive() {
		if h.frozen() { // a frozen process does not even die
			path, _, thawed := h.freezerFile()
			if err := os.WriteFile(path, []byte(thawed), 0o644); err != nil {
				return fmt.Errorf("cannot thaw %s: %w", h.Name, err)
			}
		}
		if err := syscall.Kill(before.Init.PID, syscall.SIGKILL); err != nil {
			return fmt.Errorf("cannot cut the power of %s: %w", h.Name, err)
		}
	}
	return nil
}

// Freeze stops every process of the host, as a hung machine does: connections
// are accepted and nothing answers.
func (h *Host) Freeze(ctx context.Context) error { return h.setFrozen(ctx, true) }

// Thaw undoes Freeze.
func (h *Host) Thaw(ctx context.Context) error { return h.setFrozen(ctx, false) }

func (h *Host) setFrozen(ctx context.Context, frozen bool) error {
	path, on, off := h.freezerFile()
	text := off
	if frozen {
		text = on
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("cannot freeze or thaw %s: %w", h.Name, err)
	}
	return poll(ctx, 10*time.Second, "the freezer of "+h.Name, func() bool {
		data, err := os.ReadFile(path)
		return err == nil && strings.TrimSpace(string(data)) == text
	})
}

var sizeForm = regexp.MustCompile(`^\d+[KMG]?$`)

// fillScript leaves $1 bytes free on the data disk.
const fillScript = `set -eu
file=/srv/.lab-fill
have=$(stat -c %s $file 2>/dev/null || echo 0)
free=$(df --output=avail -B1 /srv | tail -n 1)
leave=$(numfmt --from=iec "$1")
[ "$free" -le "$leave" ] || fallocate -o "$have" -l $((free - leave)) $file 2>/dev/null || {
	# The file system's own records need some of it: write until it is full.
	dd if=/dev/zero bs=65536 2>/dev/null count=$(((free - leave) / 65536)) >>$file || true
	[ "$leave" -gt 0 ] || dd if=/dev/zero bs=1024 2>/dev/null >>$file || true
}
df --output=avail -B1 /srv | tail -n 1`

// Fill fills the host's data disk and returns how many bytes are left.
func (h *Host) Fill(ctx context.Context, leave string) (int64, error) {
	if !sizeForm.MatchString(leave) {
		return 0, fmt.Errorf("--leave %s: write a number of bytes, or with K, M or G, such as 10M", leave)
	}
	out, err := h.Output(ctx, "sh", "-c", fillScript, "sh", leave)
	if err != nil {
		return 0, fmt.Errorf("cannot fill the disk: %w", err)
	}
	return strconv.ParseInt(strings.TrimSpace(out), 10, 64)
}

// Drain undoes Fill.
func (h *Host) Drain(ctx context.Context) error {
	_, err := h.Output(ctx, "rm", "-f", "/srv/.lab-fill")
	return err
}

// lockers hold the locks of a distribution's package tools, each in its own way.
var lockers = map[string]struct{ interpreter, script string }{
	debian: {"perl", "lock-apt.pl"}, "rocky-like": {"python3", "lock-dnf.py"}, "suse-like": {"perl", "lock-zypper.pl"},
}

// LockPackages lets a process of the host hold the locks of its package tools
// for a while.
func (h *Host) LockPackages(ctx context.Context, seconds int) error {
	if seconds < 1 || seconds > 86400 {
		return fmt.Errorf("%d seconds: from 1 to 86400", seconds)
	}
	locker, ok := lockers[h.Distro]
	if !ok {
		return fmt.Errorf("cannot lock the packages of %s: how %s does it is not known", h.Name, h.Distro)
	}
	script, err := recipes.ReadFile("recipes/" + locker.script)
	if err != nil {
		return err
	}
	// systemd would read the script's dollar signs as its own: it stands in a file.
	start := "set -eu; systemctl stop lab-lock 2>/dev/null || true; rm -f /run/lab-lock; cat >/run/lab-lock.script; " +
		`exec systemd-run --quiet --collect --unit=lab-lock "$1" /run/lab-lock.script "$2"`
	if _, err := h.feed(ctx, string(script), "sh", "-c", start, "sh", locker.interpreter, strconv.Itoa(seconds)); err != nil {
		return fmt.Errorf("cannot lock the packages of %s: %w", h.Name, err)
	}
	return poll(ctx, 20*time.Second, "the lock of the packages on "+h.Name+" (see journalctl -u lab-lock there)", func() bool {
		_, err := h.Output(ctx, "test", "-s", "/run/lab-lock")
		return err == nil
	})
}

// Offer changes what the repository offers this host: newer versions of
// packages, and with broken one whose installation fails.
func (h *Host) Offer(broken bool) error {
	stage := "stage-3"
	if broken {
		stage = "broken"
	}
	if err := writeFile(h.file("stage"), []byte(stage+"\n"), 0o600); err != nil {
		return fmt.Errorf("cannot offer packages to %s: %w", h.Name, err)
	}
	return nil
}

// BootID is the host's own; it changes at every boot.
func (h *Host) BootID(ctx context.Context) (string, error) {
	out, err := h.Output(ctx, "cat", "/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(out), err
}

// Command prepares a command of this machine inside the lab's network, such as
// ncfleet itself.
func (l *Lab) Command(ctx context.Context, argv ...string) (*exec.Cmd, error) {
	line, err := l.Inside(argv...)
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, line[0], line[1:]...), nil
}
