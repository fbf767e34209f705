package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Bounds of a simulated fleet.
const (
	DefaultHosts = 12
	MaxHosts     = 200
)

// Options says what to simulate.
type Options struct {
	// Dir takes everything; it is made when missing and must hold nothing else.
	Dir string
	// Hosts is how many hosts there are, DefaultHosts when 0.
	Hosts int
	// Faults says what goes wrong, by host name; see [HostName].
	Faults map[string][]Fault
	// Binary is a program that calls [Main] first; "" is the running one.
	Binary string
	// UpgradeSeconds is how long an occ upgrade takes; 0 means one second,
	// less than 0 no time at all.
	UpgradeSeconds float64
}

// HostName is the name of the i-th host, counted from 1.
func HostName(i int) string { return fmt.Sprintf("cloud-%02d", i) }

// Host is one simulated host as a caller sees it.
type Host struct {
	Name    string
	Dir     string
	Tree    string // the code tree
	Data    string // the data directory
	State   string // the controller's folder
	URL     string
	SSHPort int
	Labels  map[string]string
	Faults  []Fault
}

// Fleet is a running simulated fleet.
type Fleet struct {
	Dir    string
	User   string // to log in with
	Hosts  []Host
	Mirror string // URL of the release mirror; MirrorDir is its folder

	// sameFolder is the name of the one folder that all hosts share, in a farm.
	sameFolder string

	binary string
	cancel context.CancelFunc
	ssh    []*sshServer
	web    []*http.Server
	done   sync.WaitGroup
	once   sync.Once
}

// saved is the fleet as fleet.json keeps it.
type saved struct {
	MirrorPort int
	StorePort  int
	Hosts      []string
}

// MirrorDir is the folder of release archives.
func (f *Fleet) MirrorDir() string { return filepath.Join(f.Dir, "mirror") }

// KeyFile is the private key that opens every host.
func (f *Fleet) KeyFile() string { return filepath.Join(f.Dir, "id_ed25519") }

// KnownHosts holds the host keys.
func (f *Fleet) KnownHosts() string { return filepath.Join(f.Dir, "known_hosts") }

// Host returns the host of that name, or nil.
func (f *Fleet) Host(name string) *Host {
	for i := range f.Hosts {
		if f.Hosts[i].Name == name {
			return &f.Hosts[i]
		}
	}
	return nil
}

// Start makes a new fleet in a folder and runs it until Close.
func Start(ctx context.Context, o Options) (*Fleet, error) {
	if o.Hosts == 0 {
		o.Hosts = DefaultHosts
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	f, err := newFleet(o.Dir, o.Binary)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(f.Dir, "fleet.json")); err == nil {
		return nil, fmt.Errorf("cannot make a simulated fleet: %s holds one already", f.Dir)
	}
	if err := f.create(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the simulated fleet: %w", err), f.Close())
	}
	return f, nil
}

// Serve runs a fleet that an earlier Start left behind, on the same ports.
func Serve(ctx context.Context, dir, binary string) (*Fleet, error) {
	f, err := newFleet(dir, binary)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(f.Dir, "fleet.json"))
	if err != nil {
		return nil, fmt.Errorf("cannot serve the simulated fleet: %w", err)
	}
	var s saved
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", filepath.Join(f.Dir, "fleet.json"), err)
	}
	var hosts []*hostConf
	for _, name := range s.Hosts {
		h, err := loadHost(filepath.Join(f.Dir, "hosts", name))
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	if err := f.run(ctx, &s, hosts, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot serve the simulated fleet: %w", err), f.Close())
	}
	return f, nil
}

func (o *Options) check() error {
	if o.Hosts < 1 || o.Hosts > MaxHosts {
		return fmt.Errorf("cannot simulate %d hosts: from 1 to %d", o.Hosts, MaxHosts)
	}
	for name, faults := range o.Faults {
		known := false
		for i := 1; i <= o.Hosts; i++ {
			known = known || HostName(i) == name
		}
		if !known {
			return fmt.Errorf("cannot simulate a fault of host %q: there is no such host", name)
		}
		for _, x := range faults {
			if !slices.Contains(Faults(), x) {
				return fmt.Errorf("cannot simulate %q on host %s: choose from %v", x, name, Faults())
			}
		}
	}
	return nil
}

func newFleet(dir, binary string) (*Fleet, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the simulated fleet: %w", err)
	}
	// Without symbolic links, which snapshots refuse to follow.
	real, err := filepath.Abs(dir)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err == nil && binary == "" {
		binary, err = os.Executable()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot find the folder of the simulated fleet: %w", err)
	}
	me, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("cannot find out who runs the simulated fleet: %w", err)
	}
	return &Fleet{Dir: real, User: me.Username, binary: binary, cancel: func() {}}, nil
}

// create writes all that outlasts a run, and runs it.
func (f *Fleet) create(ctx context.Context, o Options) error {
	if err := writeMirror(f.MirrorDir()); err != nil {
		return err
	}
	key, _, err := newKey()
	if err != nil {
		return err
	}
	if err := writeFile(f.KeyFile(), key, 0o600); err != nil {
		return err
	}
	s := &saved{}
	var hosts []*hostConf
	for i := 1; i <= o.Hosts; i++ {
		h := &hostConf{
			Name: HostName(i), Faults: o.Faults[HostName(i)], PHP: "8.2.20", UpgradeSeconds: o.UpgradeSeconds,
			Ring: "production", Site: []string{"berlin", "hamburg", "munich"}[(i-1)%3], Store: storeVersions,
			dir: filepath.Join(f.Dir, "hosts", HostName(i)),
		}
		if i == 1 {
			h.Ring = "canary"
		}
		if h.UpgradeSeconds == 0 {
			h.UpgradeSeconds = 1
		}
		if h.has(PHPTooOld) {
			h.PHP = "8.0.30"
		}
		hosts = append(hosts, h)
		s.Hosts = append(s.Hosts, h.Name)
	}
	return f.run(ctx, s, hosts, (*hostConf).build)
}

// run starts every listener; build, when given, writes a host's folder once
// its ports are known. Ports of 0 are chosen and kept.
func (f *Fleet) run(ctx context.Context, s *saved, hosts []*hostConf, build func(*hostConf) error) error {
	ctx, f.cancel = context.WithCancel(ctx)
	var err error
	if s.MirrorPort, err = f.serveHTTP(s.MirrorPort, http.FileServer(http.Dir(f.MirrorDir()))); err != nil {
		return err
	}
	if s.StorePort, err = f.serveHTTP(s.StorePort, http.FileServer(http.Dir(filepath.Join(f.MirrorDir(), "appstore")))); err != nil {
		return err
	}
	f.Mirror = fmt.Sprintf("http://127.0.0.1:%d", s.MirrorPort)
	missing := lacking()
	known := ""
	for _, h := range hosts {
		h.Mirror, h.AppURL = f.Mirror, fmt.Sprintf("http://127.0.0.1:%d", s.StorePort)
		line, err := f.runHost(ctx, h, build, missing)
		if err != nil {
			return fmt.Errorf("host %s: %w", h.Name, err)
		}
		known += line
	}
	if build == nil {
		return nil
	}
	if err := writeFile(f.KnownHosts(), known, 0o600); err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(f.Dir, "fleet.json"), string(text)+"\n", 0o600)
}

// serveHTTP listens on a loopback port, any free one for 0, and returns it.
func (f *Fleet) serveHTTP(port int, h http.Handler) (int, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0, err
	}
	srv := newWebServer(h)
	f.web = append(f.web, srv)
	f.done.Go(func() { srv.Serve(ln) })
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// runHost starts one host and returns its line for known_hosts.
func (f *Fleet) runHost(ctx context.Context, h *hostConf, build func(*hostConf) error, missing []string) (string, error) {
	if err := os.MkdirAll(h.dir, 0o755); err != nil {
		return "", err
	}
	host, err := keyOf(filepath.Join(h.dir, "host_key"))
	if err != nil {
		return "", err
	}
	login, err := keyOf(f.KeyFile())
	if err != nil {
		return "", err
	}
	sh := &shell{dir: h.at("home"), ctx: ctx}
	if confinable() && h.has(DirNotWritable) {
		sh.confine = []string{f.binary, "sim-host", "confine"}
	}
	srv, err := newSSHServer(h.SSHPort, host, login.PublicKey(), sh.answer)
	if err != nil {
		return "", err
	}
	f.ssh = append(f.ssh, srv)
	h.SSHPort = srv.port()
	if h.WebPort, err = f.serveHTTP(h.WebPort, &web{host: h, root: h.tree()}); err != nil {
		return "", err
	}
	if build != nil {
		if err := build(h); err != nil {
			return "", err
		}
	}
	if err := h.writeBin(f.binary, missing); err != nil {
		return "", err
	}
	if h.has(DirNotWritable) {
		if err := os.Chmod(h.tree()+"/apps", 0o555); err != nil {
			return "", err
		}
	}
	sh.env = h.environment(f.binary, f.User)
	if h.has(HostGone) {
		srv.listener.Close()
	} else {
		f.done.Go(srv.serve)
	}
	f.Hosts = append(f.Hosts, Host{
		Name: h.Name, Dir: h.dir, Tree: h.tree(), Data: h.data(), State: h.state(), URL: h.url(), SSHPort: h.SSHPort,
		Labels: map[string]string{"ring": h.Ring, "site": h.Site}, Faults: h.Faults,
	})
	return fmt.Sprintf("[127.0.0.1]:%d %s", h.SSHPort, ssh.MarshalAuthorizedKey(host.PublicKey())), nil
}

// keyOf reads a private key, or makes one where there is none.
func keyOf(file string) (ssh.Signer, error) {
	text, err := os.ReadFile(file)
	if err == nil {
		return ssh.ParsePrivateKey(text)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	key, signer, err := newKey()
	if err != nil {
		return nil, err
	}
	return signer, writeFile(file, key, 0o600)
}
