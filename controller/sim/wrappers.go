package sim

import (
	_ "embed" // for the stand-ins in sh
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// programs are the stand-ins that are this very program, reached by a link of
// that name in the host's bin folder.
var programs = []string{"php", "apt-get"}

// substitutes are programs that our scripts need on a host and that some
// systems lack, each with a try that succeeds where the system's own will do.
var substitutes = []struct{ name, try string }{
	{"unzip", "command -v unzip"},
	{"setsid", "command -v setsid"},
	{"stat", "stat -c %i /"},
	{"sha256sum", "command -v sha256sum"},
	{"sha512sum", "command -v sha512sum"},
}

// wrappers.txt holds the stand-ins in sh: each begins with a line "## NAME…".
//
//go:embed wrappers.txt
var wrapperText string

// wrappers returns the texts by name.
func wrappers() map[string]string {
	out := map[string]string{}
	for _, part := range strings.Split(wrapperText, "\n## ")[1:] {
		names, body, _ := strings.Cut(part, "\n")
		for _, n := range strings.Fields(names) {
			out[n] = "#!/bin/sh\n" + strings.TrimRight(body, "\n") + "\n"
		}
	}
	return out
}

// lacking are the substitutes that this machine needs, found once per fleet.
func lacking() []string {
	var out []string
	for _, s := range substitutes {
		if exec.Command("/bin/sh", "-c", s.try+" >/dev/null 2>&1").Run() != nil {
			out = append(out, s.name)
		}
	}
	return out
}

// writeBin fills a host's bin folder.
func (h *hostConf) writeBin(binary string, lacking []string) error {
	if err := os.MkdirAll(h.at("bin"), 0o755); err != nil {
		return err
	}
	for _, name := range append(append([]string{}, programs...), lacking...) {
		link := h.at("bin", name)
		if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := os.Symlink(binary, link); err != nil {
			return err
		}
	}
	for name, text := range wrappers() {
		if name == "curl" || name == "wget" {
			// Only where the real one would reach the mirror: where there is
			// none, php is asked.
			if _, err := exec.LookPath(name); err != nil || !h.has(MirrorAway) {
				continue
			}
		}
		if err := writeFile(h.at("bin", name), text, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// environment is what commands on the host see. Nothing of this machine's own
// environment but the PATH gets there.
func (h *hostConf) environment(binary, user string) []string {
	path := os.Getenv("PATH")
	if path == "" {
		path = "/usr/local/bin:/usr/bin:/bin"
	}
	env := []string{
		"PATH=" + h.at("bin") + string(filepath.ListSeparator) + path + ":/usr/sbin:/sbin",
		"HOME=" + h.at("home"), "USER=" + user, "LOGNAME=" + user, "SHELL=/bin/sh",
		"NCFLEET_SYSROOT=" + h.at("root"), "NCFLEET_SIM_BIN=" + binary, envHost + "=" + h.dir,
		"DPKG_ADMINDIR=" + h.at("root", "var", "lib", "dpkg"),
		"NCFLEET_SIM_PATH=" + path, "NCFLEET_SIM_MIRROR=" + h.Mirror,
	}
	if runtime.GOOS != "linux" {
		env = append(env, "NCFLEET_NO_PERL=1") // its system calls have Linux's numbers
	}
	return env
}

// writeRoot fills the host's system folder.
func (h *hostConf) writeRoot() error {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		boot = []byte("5ca1ab1e-0000-4000-8000-000000000000\n")
	}
	files := map[string]string{
		"etc/os-release":                 "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n",
		"etc/crontab":                    "SHELL=/bin/sh\n17 * * * * root cd / && run-parts --report /etc/cron.hourly\n",
		"etc/cron.d/nextcloud":           fmt.Sprintf("*/5 * * * * www-data php -f %s/cron.php\n", h.tree()),
		"proc/sys/kernel/random/boot_id": string(boot),
		"proc/uptime":                    "864000.00 1600000.00\n",
		"proc/mounts":                    "/dev/vda1 / ext4 rw,relatime 0 0\n",
		"proc/locks":                     "",
		"var/lib/dpkg/lock":              "",
	}
	if h.Ring == "canary" {
		files["etc/cron.d/update-nextcloud"] = fmt.Sprintf("30 3 * * 0 root cd %s && php updater/updater.phar --no-interaction\n", h.tree())
	}
	for name, text := range files {
		if err := writeFile(h.at("root", filepath.FromSlash(name)), text, 0o644); err != nil {
			return err
		}
	}
	for _, d := range []string{"root/run/systemd/system", "root/tmp", "home", "srv"} {
		if err := os.MkdirAll(h.at(filepath.FromSlash(d)), 0o755); err != nil {
			return err
		}
	}
	for unit, state := range map[string]string{
		"apt-daily.timer":             "active enabled",
		"apt-daily-upgrade.timer":     "active enabled",
		"php8.2-fpm.service":          "active enabled",
		"unattended-upgrades.service": "inactive disabled",
		"apt-daily.service":           "inactive static",
		"apt-daily-upgrade.service":   "inactive static",
	} {
		if err := writeFile(h.at("units", unit), state+"\n", 0o644); err != nil {
			return err
		}
	}
	free := 31_457_280
	if h.has(DiskFull) {
		free = 92_160
	}
	return writeFile(h.at("disk"), fmt.Sprintf("41943040 %d\n", free), 0o644)
}
