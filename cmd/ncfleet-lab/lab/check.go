package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strings"
)

// tools are the programs that a lab needs, with the package that holds each.
var tools = map[string]string{
	"systemd-nspawn": "systemd-container", "ip": "iproute2", "tc": "iproute2", "nft": "nftables",
	"mkfs.ext4": "e2fsprogs", "mount": "mount", "unshare": "util-linux", "nsenter": "util-linux",
	"ssh-keygen": "openssh-client", "tar": "tar", "bzip2": "bzip2", "unzip": "unzip",
}

// buildTools are needed when the shared file system is built.
var buildTools = map[string]string{
	"mmdebstrap": "mmdebstrap", "dpkg-deb": "dpkg", "apt-ftparchive": "apt-utils", "apt-get": "apt", "chroot": "coreutils",
}

// Ready says whether this machine can carry a lab: nil, or everything that is
// missing, with its remedy.
func Ready() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("cannot run a lab on %s: its hosts are Linux containers; use a Linux machine or a virtual one", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return errors.New("cannot run a lab without root: it makes namespaces, mounts and a network of its own; run it with sudo")
	}
	if err := missing(tools); err != nil {
		return err
	}
	for _, ns := range []string{"mnt", "net", "uts", "pid", "ipc"} {
		if _, err := os.Stat("/proc/self/ns/" + ns); err != nil {
			return fmt.Errorf("cannot run a lab: the kernel has no %s namespaces", ns)
		}
	}
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("cannot run a lab: %w", err)
	}
	if !strings.Contains(string(known), "\toverlay\n") && exec.Command("modprobe", "overlay").Run() != nil {
		return errors.New("cannot run a lab: the kernel has no overlayfs, and modprobe overlay fails")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return errors.New("cannot run a lab: there are no loop devices (/dev/loop-control), and the hosts' disks are images")
	}
	if out, err := exec.Command("unshare", "-m", "-n", "-u", "-p", "-f", "true").CombinedOutput(); err != nil {
		return fmt.Errorf("cannot run a lab: this root may not make namespaces%s; a container needs to be privileged", after(string(out), err.Error()))
	}
	if len(cgroupRoots()) == 0 {
		return errors.New("cannot run a lab: no control groups are mounted at /sys/fs/cgroup that can be written to")
	}
	return nil
}

// btrfsTools are needed when a data disk is to be btrfs.
var btrfsTools = map[string]string{"mkfs.btrfs": "btrfs-progs", "btrfs": "btrfs-progs"}

func missing(tools map[string]string) error {
	packages := map[string]bool{}
	var lost []string
	for name, pkg := range tools {
		if _, err := exec.LookPath(name); err != nil {
			lost = append(lost, name)
			packages[pkg] = true
		}
	}
	if len(lost) == 0 {
		return nil
	}
	var names []string
	for p := range packages {
		names = append(names, p)
	}
	sort.Strings(lost)
	sort.Strings(names)
	return fmt.Errorf("cannot run a lab: %s not found; install with: apt-get install -y --no-install-recommends %s",
		strings.Join(lost, ", "), strings.Join(names, " "))
}
