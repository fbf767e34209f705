package executor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

const (
	doorAttempts = 20               // how often an inspection may have been begun before
	doorWait     = 90 * time.Second // for PHP to listen
	knockWait    = 5 * time.Second  // for its answer to one request
	probeWait    = 3 * time.Minute  // for the probe user to be made
	pollEvery    = 100 * time.Millisecond
	bodyLimit    = 4 << 20
)

// door is a site served on the host's loopback for us alone.
type door struct {
	work     *work
	id       string
	token    string
	user     string
	password string
	port     int
	client   *http.Client
	host     string // Host header

	mu     sync.Mutex
	output []byte
	ended  chan struct{}
	state  driver.RunState
	err    error
}

// random returns n random bytes in hexadecimal.
func random(n int) (string, error) {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("cannot make a random value: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// siteArgs are the arguments that say which site the step is about: those of
// the script that closes it.
func (w *work) siteArgs() ([]string, error) {
	for _, list := range [][]plan.Step{w.target.Steps, w.target.Undo} {
		for _, s := range list {
			if s.Kind == plan.KindClose && s.Instance == w.step.Instance {
				return nextcloud.Base(s.Args), nil
			}
		}
	}
	return nil, fmt.Errorf("the plan has no close step for instance %q: make the plan again", w.step.Instance)
}

// openDoor starts gate.sh and returns once PHP answers.
func (w *work) openDoor(ctx context.Context, seconds int) (*door, error) {
	site, err := w.siteArgs()
	if err != nil {
		return nil, err
	}
	d := &door{work: w, ended: make(chan struct{}), host: w.step.Gate.HostHeader}
	if err := d.secrets(); err != nil {
		return nil, err
	}
	options := nextcloud.Door{Port: d.port, Seconds: seconds, Checks: w.step.Gate.SetupChecks, LogFile: w.step.Gate.LogFile}
	if w.step.Gate.WebDAV && w.step.Gate.ProbeUser == "" {
		options.Probe = d.user
	}
	c, err := w.command(nextcloud.Gate(site, options), map[string]string{"OC_PASS": d.password, "NCFLEET_DOOR": d.token})
	if err != nil {
		return nil, err
	}
	if d.id, err = w.freeAttempt(ctx, nextcloud.Option(site, "--state"), nextcloud.Option(site, "--name")); err != nil {
		return nil, err
	}
	if _, err := w.start(ctx, d.id, c); err != nil {
		return nil, err
	}
	go func() {
		defer close(d.ended)
		d.state, d.err = w.remote.Wait(ctx, d.id, d.collect)
	}()
	if err := d.reach(ctx); err != nil {
		d.close(ctx)
		return nil, err
	}
	return d, nil
}

func (d *door) secrets() error {
	var err error
	if d.token, err = random(24); err != nil {
		return err
	}
	name, err := random(5)
	if err != nil {
		return err
	}
	word, err := random(16)
	if err != nil {
		return err
	}
	port, err := rand.Int(rand.Reader, big.NewInt(30000))
	if err != nil {
		return fmt.Errorf("cannot choose a port: %w", err)
	}
	// Upper case, digits and a sign, as password policies ask for.
	d.user, d.password, d.port = "ncfleet-probe-"+name, "Nf7!"+word+"-Zq", 20000+int(port.Int64())
	g := d.work.step.Gate
	if g.ProbeUser == "" {
		return nil
	}
	d.user = g.ProbeUser
	if d.work.Secrets == nil {
		return errors.New("cannot resolve the probe user's password: secrets are not available")
	}
	if d.password, err = d.work.Secrets(g.ProbePassword); err != nil {
		return fmt.Errorf("cannot resolve the probe user's password: %w", err)
	}
	return nil
}

// freeAttempt is the first run id of this step that the host does not know. A
// door that an earlier controller left open is closed first.
func (w *work) freeAttempt(ctx context.Context, state, name string) (string, error) {
	for n := 1; n <= doorAttempts; n++ {
		id := attempt(w.id(), n)
		s, err := w.remote.Look(ctx, id)
		if err != nil {
			return "", err
		}
		switch s.Phase {
		case driver.RunNever:
			return id, nil
		case driver.RunRunning:
			if err := w.stopDoor(ctx, state, name); err != nil {
				return "", err
			}
			if _, err := w.remote.Wait(ctx, id, nil); err != nil {
				return "", err
			}
		case driver.RunExited, driver.RunLost:
		default:
			return "", fmt.Errorf("the run %s is in the unknown state %q", id, s.Phase)
		}
	}
	return "", fmt.Errorf("the inspection was begun %d times without an end", doorAttempts)
}

// stopDoor leaves the file that ends gate.sh. What runs as root goes through
// sh: that one program is all that a host must allow.
func (w *work) stopDoor(ctx context.Context, state, name string) error {
	path := state + "/sites/" + strings.ReplaceAll(name, "/", "+") + "/door-stop"
	r, err := w.remote.Do(ctx, w.token(), driver.Command{Argv: []string{"sh", "-c", `: >"$1"`, "sh", path}, User: "root", Timeout: time.Minute})
	if err == nil && r.Exit != 0 {
		err = fmt.Errorf("cannot write %s: %s", path, lastLine(r.Stderr))
	}
	return err
}

func (d *door) collect(stdout, _ []byte) {
	d.mu.Lock()
	d.output = append(d.output, stdout...)
	d.mu.Unlock()
}

// told is what gate.sh reported so far.
func (d *door) told() nextcloud.Report {
	d.mu.Lock()
	defer d.mu.Unlock()
	return nextcloud.ParseReport(d.output)
}

// reach finds a way to the door: through the SSH connection, or, where sshd
// forbids forwarding, by curl on the host.
func (d *door) reach(ctx context.Context) error {
	d.use(d.port)
	limit := time.Now().Add(doorWait)
	var last error
	for time.Now().Before(limit) {
		code, err := d.knock(ctx)
		if err == nil && code == http.StatusOK {
			return nil
		}
		if last = err; err == nil {
			last = fmt.Errorf("port %d answers HTTP %d", d.port, code)
		}
		if port, err := strconv.Atoi(d.told().Values["port"]); err == nil {
			switch {
			case port != d.port:
				d.use(port) // the first choice was taken
			case d.client != nil:
				// PHP listens and we cannot get there: forwarding is refused.
				if code, err := d.knock(ctx); err != nil || code != http.StatusOK {
					d.client = nil
				}
			}
		}
		select {
		case <-d.ended:
			return fmt.Errorf("the private door could not be opened: %s", orElse(strings.Join(nextcloud.ParseReport(d.state.Stdout).Errors, "; "), lastLine(d.state.Stderr)))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
	return fmt.Errorf("the private door does not answer: %w", last)
}

// knock does not wait long: another program may have the port, and say nothing.
func (d *door) knock(ctx context.Context) (int, error) {
	ctx, stop := context.WithTimeout(ctx, knockWait)
	defer stop()
	code, _, err := d.send(ctx, http.MethodGet, "/.ncfleet/state", nil, false)
	return code, err
}

func (d *door) use(port int) {
	d.port = port
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	d.client = &http.Client{
		Timeout: 2 * time.Minute,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return d.work.remote.Dial(ctx, "tcp", address)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (d *door) get(ctx context.Context, path string) (int, []byte, error) {
	return d.do(ctx, http.MethodGet, path, nil, false)
}

// do sends one request through the door. A GET whose connection breaks is sent
// once more: a site that is at fault breaks that one, too.
func (d *door) do(ctx context.Context, method, path string, body []byte, login bool) (int, []byte, error) {
	code, answer, err := d.send(ctx, method, path, body, login)
	if err != nil && method == http.MethodGet && ctx.Err() == nil {
		return d.send(ctx, method, path, body, login)
	}
	return code, answer, err
}

func (d *door) send(ctx context.Context, method, path string, body []byte, login bool) (int, []byte, error) {
	if d.client == nil {
		return d.onHost(ctx, method, path, body, login)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1:"+strconv.Itoa(d.port)+path, strings.NewReader(string(body)))
	if err != nil {
		return 0, nil, err
	}
	if d.host != "" {
		req.Host = d.host
	}
	req.Header.Set("User-Agent", nextcloud.GateUserAgent)
	req.Header.Set("X-NCFleet-Door", d.token)
	if login {
		req.SetBasicAuth(d.user, d.password)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	return resp.StatusCode, answer, err
}

// hostRequest sends a request with curl on the host. Options with secrets come
// in standard input, so that no process list shows them.
const hostRequest = `set -u; umask 077
d=$(mktemp -d) || exit 9
trap 'rm -rf "$d"' EXIT
dd bs=1 count="$1" of="$d/options" 2>/dev/null
cat >"$d/body"
if [ -s "$d/body" ]; then set -- "$2" "$3" --data-binary "@$d/body"; else set -- "$2" "$3"; fi
m=$1 u=$2; shift 2
curl -s -m 120 -K "$d/options" -X "$m" "$@" -o "$d/answer" -w '%{http_code}\n' -- "$u" || exit 8
cat "$d/answer"
`

func (d *door) onHost(ctx context.Context, method, path string, body []byte, login bool) (int, []byte, error) {
	options := "header = \"X-NCFleet-Door: " + d.token + "\"\nuser-agent = \"" + nextcloud.GateUserAgent + "\"\n"
	if d.host != "" {
		options += "header = \"Host: " + d.host + "\"\n"
	}
	if login {
		options += "user = \"" + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(d.user+":"+d.password) + "\"\n"
	}
	if len(body) > 0 {
		options += "header = \"Content-Type: application/octet-stream\"\n"
	}
	c := driver.Command{
		Argv:  []string{"sh", "-c", hostRequest, "sh", strconv.Itoa(len(options)), method, "http://127.0.0.1:" + strconv.Itoa(d.port) + path},
		Stdin: append([]byte(options), body...), Timeout: 3 * time.Minute,
	}
	run := d.work.remote.Run
	if method != http.MethodGet {
		run = func(ctx context.Context, c driver.Command) (driver.Result, error) {
			return d.work.remote.Do(ctx, d.work.token(), c)
		}
	}
	r, err := run(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	first, rest, _ := strings.Cut(string(r.Stdout), "\n")
	code, err := strconv.Atoi(strings.TrimSpace(first))
	if r.Exit != 0 || err != nil {
		return 0, nil, fmt.Errorf("sshd refuses forwarding, and curl on the host ended with exit status %d: allow AllowTcpForwarding local for this login, or install curl", r.Exit)
	}
	return code, []byte(rest), nil
}

// close ends the door and returns what gate.sh found. Cleaning up is bounded
// and goes on when the caller's context has ended.
func (d *door) close(ctx context.Context) (driver.RunState, error) {
	bounded, stop := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer stop()
	code, _, err := d.get(bounded, "/.ncfleet/stop")
	if err != nil || code != http.StatusOK {
		if site, err := d.work.siteArgs(); err == nil {
			_ = d.work.stopDoor(bounded, nextcloud.Option(site, "--state"), nextcloud.Option(site, "--name"))
		}
	}
	select {
	case <-d.ended:
		return d.state, d.err
	case <-ctx.Done():
		return driver.RunState{}, ctx.Err()
	}
}
