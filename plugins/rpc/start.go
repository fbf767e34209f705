//go:build unix

package rpc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	hclog "github.com/hashicorp/go-hclog"
	plugin "github.com/hashicorp/go-plugin"
	goplugin "github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// MinStartTimeout is the least time a driver gets to start: two compilers on
// a small machine can hold up the making of its certificate that long.
const MinStartTimeout = 30 * time.Second

// closeGrace is how long a driver may take to end when asked.
const closeGrace = 3 * time.Second

// Options say what process to start and how.
type Options struct {
	Name string   // what errors call the driver
	Path string   // absolute path of the executable
	Args []string // without the program's name
	// SHA256 is the checksum in hex that the executable must have. Empty means
	// unchecked.
	SHA256 string
	// Env is the whole environment of the process; nothing is inherited.
	Env map[string]string
	// Timeout bounds start and handshake; less than MinStartTimeout counts as
	// MinStartTimeout.
	Timeout time.Duration
	// MaxMemory bounds the process's memory in bytes where the system can do so
	// (Linux); 0 means DefaultMaxMemory.
	MaxMemory uint64
	// Line receives everything the process writes that is not protocol, line
	// by line, shortened to 8 KiB each; nil discards it. It is called from
	// several goroutines and must not block.
	Line func(line string)
}

// shown is the executable's name for people: a program that starts itself
// does so by a path that says nothing.
func (o Options) shown() string {
	if self, err := os.Executable(); err == nil && o.Path == "/proc/self/exe" {
		return self
	}
	return o.Path
}

func (o Options) env() []string {
	out := make([]string, 0, len(o.Env))
	for k, v := range o.Env {
		out = append(out, k+"="+v)
	}
	sort.Strings(out)
	return out
}

func (o Options) check() error {
	if !filepath.IsAbs(o.Path) {
		return fmt.Errorf("cannot start driver %q: its path %q is not absolute", o.Name, o.Path)
	}
	for k := range o.Env {
		if strings.HasPrefix(k, "PLUGIN_") || strings.HasPrefix(k, cookieKey) {
			return fmt.Errorf("cannot start driver %q: the environment variable %s belongs to the handshake; rename it", o.Name, k)
		}
	}
	if o.SHA256 == "" {
		return nil
	}
	sum, err := hex.DecodeString(o.SHA256)
	if err != nil || len(sum) != sha256.Size {
		return fmt.Errorf("cannot start driver %q: %q is no SHA-256 checksum", o.Name, o.SHA256)
	}
	ok, err := (&plugin.SecureConfig{Checksum: sum, Hash: sha256.New()}).Check(o.Path)
	if err != nil {
		return fmt.Errorf("cannot start driver %q: cannot read %s: %w", o.Name, o.Path, err)
	}
	if !ok {
		return &ChecksumError{Name: o.Name, Path: o.Path, Want: o.SHA256}
	}
	return nil
}

// ChecksumError says that an executable is not the one that was accepted.
type ChecksumError struct {
	Name, Path, Want string
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("cannot start driver %q: %s does not have the accepted checksum %s; if you replaced it on purpose, accept it with: ncfleet driver lock", e.Name, e.Path, e.Want)
}

// Process is a running driver process. All methods may be called from several
// goroutines.
type Process struct {
	name   string
	plugin *plugin.Client
	client *client
	// Set by go-plugin's goroutine while it starts the process.
	child   atomic.Pointer[child]
	sockets atomic.Pointer[string]

	closing sync.Once
	closed  error
}

// Start starts a driver process and shakes hands with it. Its ctx bounds the
// start; the process lives until Close, its own death or the end of this
// process, however it ends.
func Start(ctx context.Context, o Options) (*Process, error) {
	return start(ctx, o, versions(nil))
}

// start is Start for a controller that speaks the protocol versions of the table.
func start(ctx context.Context, o Options, table map[int]plugin.PluginSet) (*Process, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.Timeout = max(o.Timeout, MinStartTimeout)
	if o.MaxMemory == 0 {
		o.MaxMemory = DefaultMaxMemory
	}
	words := &said{line: o.Line}
	p := &Process{name: o.Name}
	config := &plugin.ClientConfig{
		HandshakeConfig:  handshake(),
		VersionedPlugins: table,
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, sockets string) (goplugin.Runner, error) {
			c, err := newChild(o, spec.Env, words)
			if err == nil {
				p.child.Store(c)
				p.sockets.Store(&sockets)
			}
			return c, err
		},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     o.Timeout,
		SyncStdout:       words.stream(),
		SyncStderr:       words.stream(),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: socketDir()},
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
			grpc.WithChainUnaryInterceptor(cleanAnswer, errorFromTrailer),
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: words.stream(), JSONFormat: true, Name: "transport"}),
	}
	p.plugin = plugin.NewClient(config)
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := p.connect(ctx, config); err != nil {
		err = p.explain(ctx, o, err, words)
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// connect waits for the handshake, or for ctx: then it kills the process,
// which ends the handshake.
func (p *Process) connect(ctx context.Context, config *plugin.ClientConfig) error {
	var dispensed any
	plain := false
	done := make(chan error, 1)
	go func() {
		_, err := p.plugin.Start()
		if err == nil {
			plain, err = p.withoutCertificate()
		}
		if plain {
			config.TLSConfig = nil // go-plugin dials by it, and so does its broker
		}
		if err != nil {
			done <- err
			return
		}
		protocol, err := p.plugin.Client()
		if err == nil {
			dispensed, err = protocol.Dispense(pluginName)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		p.Kill()
		<-done
		return ctx.Err()
	}
	c, ok := dispensed.(*client)
	if !ok {
		return fmt.Errorf("go-plugin dispensed a %T", dispensed)
	}
	c.name, c.gone, c.kill = p.name, p.gone, p.Kill
	if plain {
		c.runnerSocket = filepath.Join(*p.sockets.Load(), "runner")
	}
	p.client = c
	return nil
}

// withoutCertificate reports whether the driver answered the handshake without
// a certificate. That is sound on a socket in the folder that was made for
// this one process: no other user can reach it, and whoever is this user could
// read both processes' memory anyway.
func (p *Process) withoutCertificate() (bool, error) {
	parts := strings.Split(strings.TrimSpace(string(p.child.Load().stdout.first)), "|")
	if len(parts) >= 6 && parts[5] != "" {
		return false, nil
	}
	if len(parts) < 4 || parts[2] != "unix" || filepath.Dir(parts[3]) != *p.sockets.Load() {
		return false, fmt.Errorf("it gives no certificate, so it must listen on a unix socket in the folder %s names", plugin.EnvUnixSocketDir)
	}
	return true, nil
}

// firstWords finds what a program that is no driver said in place of the
// handshake.
func firstWords(why string) string {
	said, ok := strings.CutPrefix(why, "Unrecognized remote plugin message: ")
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(said, "\n")
	return strings.TrimSpace(first)
}

var pluginVersion = regexp.MustCompile(`Plugin version: (\d+)`)

// incompatible says who of the two is too old.
func incompatible(why string, own int) (what, remedy string) {
	theirs := 0
	if m := pluginVersion.FindStringSubmatch(why); m != nil {
		theirs, _ = strconv.Atoi(m[1]) // digits; too many of them stay 0
	}
	what = fmt.Sprintf("it speaks version %d of the driver protocol and this ncfleet version %d", theirs, own)
	if theirs > own {
		return what, "install a newer ncfleet, or an older release of the driver"
	}
	return what, "install a newer release of the driver, or build it again with the source of this ncfleet"
}

// explain turns go-plugin's words into place, cause and remedy.
func (p *Process) explain(ctx context.Context, o Options, err error, words *said) error {
	given := ctx.Err() // before the time that the next lines take
	exit := p.gone()
	if c := p.child.Load(); c != nil {
		c.drain() // the end may be seen before the last words are read
	}
	why, remedy := err.Error(), "check that it is a driver built for this version of ncfleet"
	first := firstWords(why)
	switch {
	case given != nil:
		return fmt.Errorf("cannot start driver %q (%s): it was given up before its handshake (limit %s): %w%s", o.Name, o.shown(), o.Timeout, given, words.quote())
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		remedy = "check the file and its permissions"
	case strings.Contains(why, "incompatible API version"):
		why, remedy = incompatible(why, driver.ProtocolVersion)
	case first != "":
		why = fmt.Sprintf("it does not speak the handshake of a driver but says %q", clip(first, 200))
	case exit != "":
		why = "it ended " + exit + " before the handshake"
	}
	return fmt.Errorf("cannot start driver %q (%s): %s; %s%s", o.Name, o.shown(), why, remedy, words.quote())
}

// Bind hands the driver the Runner callback; needed once, before any call of
// a snapshot driver.
func (p *Process) Bind(ctx context.Context) error { return p.client.bind(ctx) }

// Mask has every error of the driver's calls rewritten, to keep secrets out of
// them.
func (p *Process) Mask(mask func(string) string) { p.client.mask.Store(&mask) }

// Driver returns what both kinds share.
func (p *Process) Driver() driver.Driver { return p.client }

// PackageManager returns the driver as a package manager. Whether it is one
// its Info tells.
func (p *Process) PackageManager() driver.PackageManager { return packageClient{p.client} }

// Snapshotter returns the driver as a snapshotter. Whether it is one its Info
// tells.
func (p *Process) Snapshotter() driver.Snapshotter { return snapshotClient{p.client} }

// Ping asks for a sign of life.
func (p *Process) Ping(ctx context.Context) error { return p.client.ping(ctx) }

// PID is the number of the process and of its process group.
func (p *Process) PID() int { return p.child.Load().cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.child.Load().exited }

// Exit tells how the process ended ("with exit status 1"); "" while it runs.
func (p *Process) Exit() string {
	if c := p.child.Load(); c != nil && c.ended() {
		return c.exit
	}
	return ""
}

// gone is Exit for those who saw the connection break: the end of the process
// becomes visible only a moment later.
func (p *Process) gone() string {
	if c := p.child.Load(); c != nil {
		select {
		case <-c.exited:
		case <-time.After(drainFor):
		}
	}
	return p.Exit()
}

// Kill ends the process group at once. Calls in flight fail as outcome unknown.
func (p *Process) Kill() {
	if c := p.child.Load(); c != nil {
		c.kill()
	}
}

// Close asks the driver to end and kills it when it does not do so in time, as
// a frozen one does not. It may be called more than once.
func (p *Process) Close() error {
	p.closing.Do(func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.plugin.Kill() // blocks without a limit while the process is frozen
		}()
		for range 2 {
			select {
			case <-done:
				p.client.stop()
				p.removeSockets()
				return
			case <-time.After(closeGrace):
				p.Kill()
			}
		}
		p.closed = fmt.Errorf("cannot end driver %q: process %d outlived SIGKILL for %s", p.name, p.PID(), closeGrace)
	})
	return p.closed
}

// removeSockets does what go-plugin leaves undone after a failed start.
func (p *Process) removeSockets() {
	if dir := p.sockets.Load(); dir != nil {
		_ = os.RemoveAll(*dir)
	}
}

// socketDir is where the connection's sockets live. Their paths may not be
// longer than 108 bytes, which a deep TMPDIR breaks.
func socketDir() string {
	if dir := os.TempDir(); len(dir) <= 48 {
		return dir
	}
	return "/tmp"
}
