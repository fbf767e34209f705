package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Host is one host of a lab that is up. Its methods are what an operator, a
// cable and the weather may do to a machine.
type Host struct {
	Name, Address, Distro, DB, Disk string

	lab *Lab
	st  *state
}

// Hosts returns the hosts of the lab in order.
func (l *Lab) Hosts() ([]*Host, error) {
	st, err := l.load()
	if err != nil {
		return nil, err
	}
	if _, err := l.holderProcess(); err != nil {
		return nil, err
	}
	var hosts []*Host
	for _, h := range st.Hosts {
		hosts = append(hosts, &Host{h.Name, h.Address, h.Distro, h.DB, h.Disk, l, st})
	}
	return hosts, nil
}

// Host returns the host of a name.
func (l *Lab) Host(name string) (*Host, error) {
	hosts, err := l.Hosts()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, h := range hosts {
		if h.Name == name {
			return h, nil
		}
		names = append(names, h.Name)
	}
	return nil, fmt.Errorf("there is no host %q in this lab; it has %s", name, strings.Join(names, ", "))
}

// URL is where the host's Nextcloud is, from inside the lab's network.
func (h *Host) URL() string { return "http://" + h.Address }

func (l *Lab) hostFile(host, file string) string { return filepath.Join(l.dir, "hosts", host, file) }

func (h *Host) file(name string) string { return h.lab.hostFile(h.Name, name) }

// Power states of a host.
const (
	powerBooting = "booting" // PID 1 runs, sshd does not answer yet
	powerOn      = "on"
	powerOff     = "off"
)

// power is what the holder writes down about a host.
type power struct {
	State string
	Boots int
	Init  process // PID 1 of the guest, as this machine sees it
}

func (h *Host) power() (power, error) {
	var p power
	data, err := os.ReadFile(h.file("power"))
	if errors.Is(err, os.ErrNotExist) {
		return power{State: powerOff}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return p, fmt.Errorf("cannot read the state of %s: %w", h.Name, err)
	}
	return p, nil
}

func (l *Lab) setPower(host string, p power) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return writeFile(l.hostFile(host, "power"), data, 0o600)
}

// prepare makes the parts of a host inside the holder's namespaces.
func (l *Lab) prepare(ctx context.Context, st *state, h hostState) error {
	if err := l.disks(ctx, st, h); err != nil {
		return err
	}
	return l.cable(ctx, h)
}

// disks makes the host's file system and its data disk.
func (l *Lab) disks(ctx context.Context, st *state, h hostState) error {
	for _, d := range []string{"upper", "work", "root", "srv"} {
		if err := os.MkdirAll(l.hostFile(h.Name, d), 0o755); err != nil {
			return err
		}
	}
	root, err := l.mountRoot(ctx, st, h)
	if err != nil {
		return err
	}
	if err := l.settle(h, root); err != nil {
		return err
	}
	return l.dataDisk(ctx, st, h)
}

// mountRoot mounts the host's file system: its own layer over what all share.
func (l *Lab) mountRoot(ctx context.Context, st *state, h hostState) (string, error) {
	root := l.hostFile(h.Name, "root")
	_, err := tool(ctx, "mount", "-t", "overlay", "overlay", "-o", "lowerdir="+st.lower(h)+
		",upperdir="+l.hostFile(h.Name, "upper")+",workdir="+l.hostFile(h.Name, "work"), root)
	return root, err
}

// settle writes what is a host's own into its file system.
func (l *Lab) settle(h hostState, root string) error {
	authorized, err := os.ReadFile(l.KeyFile() + ".pub")
	if err != nil {
		return err
	}
	files := []struct {
		path string
		data string
		mode os.FileMode
		uid  int
	}{
		{"/etc/hostname", h.Name + "\n", 0o644, 0},
		{"/etc/hosts", "127.0.0.1 localhost " + h.Name + "\n", 0o644, 0},
		{"/home/ops/.ssh/authorized_keys", string(authorized), 0o600, 1000},
	}
	for _, name := range []string{"ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"} {
		data, err := os.ReadFile(l.hostFile(h.Name, name))
		if err != nil {
			return err
		}
		files = append(files, struct {
			path string
			data string
			mode os.FileMode
			uid  int
		}{"/etc/ssh/" + name, string(data), 0o600, 0})
	}
	for _, f := range files {
		path := filepath.Join(root, f.path)
		if err := os.WriteFile(path, []byte(f.data), f.mode); err != nil {
			return err
		}
		if err := os.Chown(path, f.uid, f.uid); err != nil {
			return err
		}
	}
	unit := map[string]string{"mariadb": "mariadb.service", "postgres": "postgresql.service"}[h.DB]
	if unit == "" {
		return nil
	}
	return os.Symlink("/lib/systemd/system/"+unit, filepath.Join(root, "/etc/systemd/system/multi-user.target.wants", unit))
}

// dataDisk mounts a copy of the template of the host's database.
func (l *Lab) dataDisk(ctx context.Context, st *state, h hostState) error {
	image, srv := l.hostFile(h.Name, "srv.img"), l.hostFile(h.Name, "srv")
	if _, err := tool(ctx, "cp", "--sparse=always", "--reflink=auto", st.Templates[h.DB], image); err != nil {
		return err
	}
	if _, err := tool(ctx, "mount", "-o", "loop", image, srv); err != nil {
		return err
	}
	if err := otherDisk(ctx, h.Disk, srv, image); err != nil {
		return err
	}
	config := filepath.Join(srv, "nextcloud/html/config/config.php")
	info, err := os.Stat(config)
	if err != nil {
		return fmt.Errorf("the template holds no installed Nextcloud: %w", err)
	}
	data, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(string(data), template, h.Address)
	text = strings.ReplaceAll(text, "'"+st.Passing+"'", "'"+st.Database+"'")
	return os.WriteFile(config, []byte(text), info.Mode()) // in place: owner and mode stay
}

// otherDisk moves the content of a mounted disk to one of another kind.
func otherDisk(ctx context.Context, kind, srv, image string) error {
	var fresh [][]string // mounts an empty disk at srv
	switch kind {
	case "loop":
		return nil
	case "tmpfs":
		fresh = [][]string{{"mount", "-t", "tmpfs", "-o", "mode=755,size=" + diskSize, "srv", srv}}
	case "btrfs":
		other := image + ".btrfs"
		fresh = [][]string{{"truncate", "-s", diskSize, other}, {"mkfs.btrfs", "-q", "-L", "srv", other}, {"mount", "-o", "loop", other, srv}}
		// What an operator would take snapshots of is a subvolume.
		for _, part := range []string{"nextcloud", "mysql", "postgresql"} {
			fresh = append(fresh, []string{"btrfs", "subvolume", "create", filepath.Join(srv, part)})
		}
	default:
		return fmt.Errorf("%s is no disk of the lab", kind)
	}
	disk := srv + ".disk"
	if err := os.MkdirAll(disk, 0o755); err != nil {
		return err
	}
	lines := append([][]string{{"mount", "--move", srv, disk}}, fresh...)
	lines = append(lines, []string{"cp", "-a", disk + "/.", srv}, []string{"umount", disk}, []string{"rm", "-f", image})
	for _, line := range lines {
		if _, err := tool(ctx, line[0], line[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// cable gives the host its network namespace and plugs it into the bridge.
func (l *Lab) cable(ctx context.Context, h hostState) error {
	for _, line := range []string{
		"netns add " + h.Name,
		"link add " + veth(h.Name) + " type veth peer name eth0 netns " + h.Name,
		"link set " + veth(h.Name) + " master br0 up",
		"-n " + h.Name + " link set lo up",
		"-n " + h.Name + " addr add " + h.Address + netBits + " dev eth0",
		"-n " + h.Name + " link set eth0 up",
		"-n " + h.Name + " route add default via " + gateway,
	} {
		if _, err := tool(ctx, "ip", strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}

// veth is the lab's end of a host's cable.
func veth(host string) string { return "v-" + host }
