package libvirt

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

func TestMain(m *testing.M) {
	drivertest.Main(m, func() driver.Driver { return New() })
}

const machineName = "web-1"

// daemon is a real libvirt daemon in namespaces of its own, with the test
// driver of libvirt for a hypervisor. That driver's domains live as long as
// some connection is open: the test's own. Their disks have no contents; their
// descriptions, which it saves and reverts with a snapshot, stand for them.
type daemon struct {
	socket  string
	pid     int
	own     *libvirt.Libvirt
	domain  libvirt.Domain
	host    *cloudtest.Host
	changes int
}

// inside is what the daemon's first process does before it becomes the daemon.
const inside = `set -e
mount --make-rprivate /
mount -t proc proc /proc
for d in /run /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do
	[ ! -d "$d" ] || mount -t tmpfs tmpfs "$d"
done
ip link set lo up
exec libvirtd "$@"
`

func newDaemon(t *testing.T, settings ...string) *daemon {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a libvirt daemon in namespaces of its own needs root")
	}
	for _, tool := range []string{"libvirtd", "ip", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here: install libvirt-daemon and libvirt-daemon-system", tool)
		}
	}
	dir, err := os.MkdirTemp("", "ncfleet-libvirt-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	conf := filepath.Join(dir, "conf")
	settings = append([]string{`unix_sock_dir = "` + dir + `"`, `auth_unix_rw = "none"`, `log_outputs = "3:stderr"`}, settings...)
	if err := os.WriteFile(conf, []byte(strings.Join(settings, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-f", conf}
	if len(settings) > 3 {
		args = append(args, "--listen")
	}
	var out strings.Builder
	cmd := exec.Command("sh", append([]string{"-c", inside, "libvirtd"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS}
	if err := cmd.Start(); err != nil {
		t.Skipf("namespaces are not to be had here: %v", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	d := &daemon{socket: filepath.Join(dir, "libvirt-sock"), pid: cmd.Process.Pid}
	d.own = d.connect(t, &out)
	d.define(t, machineName, "")
	if err := d.own.DomainCreate(d.domain); err != nil {
		t.Fatal(err)
	}
	world := cloudtest.NewWorld()
	world.AddMachine(cloudtest.Machine{ID: machineName, Name: machineName, GiB: 10})
	d.host = &cloudtest.Host{World: world, Machine: machineName, Points: map[string]string{"sda": "/"}, Server: "sda"}
	return d
}

// connect waits for the daemon and keeps one connection until the test ends.
func (d *daemon) connect(t *testing.T, out *strings.Builder) *libvirt.Libvirt {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for {
		c := libvirt.NewWithDialer(dialers.NewLocal(dialers.WithSocket(d.socket)))
		err := c.ConnectToURI(libvirt.TestDefault)
		if err == nil {
			t.Cleanup(func() { _ = c.Disconnect() })
			return c
		}
		if time.Now().After(end) {
			t.Fatalf("the libvirt daemon does not answer: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

const disk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/img/%s.qcow2'/><target dev='vda' bus='virtio'/></disk>`

func (d *daemon) define(t *testing.T, name, more string) {
	t.Helper()
	var err error
	d.domain, err = d.own.DomainDefineXML(fmt.Sprintf(`<domain type='test'><name>%s</name><memory>524288</memory><vcpu>1</vcpu>
<description>as installed</description><os><type>hvm</type></os><devices>`+disk+`%s</devices></domain>`, name, name, more))
	if err != nil {
		t.Fatal(err)
	}
}

func (d *daemon) uri() string {
	return "test+unix:///default?" + url.Values{"socket": {d.socket}}.Encode()
}

func (d *daemon) config() driver.Config {
	return driver.Config{"uris": []string{d.uri()}, "poll": "2ms", "wait": "20s"}
}

func (d *daemon) subject() driver.Subject { return d.host.Subject("nc-1", "libvirt_domain") }

// change writes to the machine's disks.
func (d *daemon) change(t *testing.T) {
	t.Helper()
	d.changes++
	flags := libvirt.DomainAffectLive | libvirt.DomainAffectConfig
	err := d.own.DomainSetMetadata(d.domain, int32(libvirt.DomainMetadataDescription), libvirt.OptString{fmt.Sprintf("upgraded %d times", d.changes)}, nil, nil, flags)
	if err != nil {
		t.Fatal(err)
	}
}

func (d *daemon) state(t *testing.T) string {
	t.Helper()
	n, _, err := d.own.DomainGetState(d.domain, 0)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := d.own.DomainGetMetadata(d.domain, int32(libvirt.DomainMetadataDescription), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %q", states[libvirt.DomainState(n)], contents)
}

// boots is the domain's id, which grows with every start.
func (d *daemon) boots(t *testing.T) int {
	t.Helper()
	dom, err := d.own.DomainLookupByName(machineName)
	if err != nil {
		t.Fatal(err)
	}
	return int(dom.ID)
}

// kept counts the snapshots of a key in the daemon.
func (d *daemon) kept(t *testing.T, key string) (snapshots, volumes int) {
	t.Helper()
	refs, _, err := d.own.DomainListAllSnapshots(d.domain, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range refs {
		x, err := d.own.DomainSnapshotGetXMLDesc(r, 0)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(x, "ncfleet-key: "+key+"\n") {
			snapshots++
		}
	}
	return snapshots, 0
}
