package sim_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// gate is gate.sh: it serves the private door until it is told to stop.
func (r *run) gate(i *instance) {
	r.pause(300 * time.Millisecond)
	w, h := r.host.w, r.host
	if !i.closed && i.reopened.IsZero() && i.openedAt.IsZero() {
		w.broken("the gate looks at closed sites", "%s looks at %s/%s, which is open", r.id, h.name, i.name)
	}
	seconds, _ := strconv.Atoi(r.option("--seconds"))
	h.doors["127.0.0.1:"+r.option("--port")] = r
	w.mu.Unlock()
	limit := time.NewTimer(time.Duration(seconds)*time.Second + w.jitter("door", r.id))
	select {
	case <-r.stop:
	case <-limit.C:
	case <-r.kill:
	case <-w.over:
	}
	limit.Stop()
	w.mu.Lock()
	for a, d := range h.doors {
		if d == r {
			delete(h.doors, a)
		}
	}
	r.pause(300 * time.Millisecond)
	list := `{"enabled":{"calendar":"` + i.app + `","dav":"1.0.0"},"disabled":{}}`
	if i.appLost {
		list = `{"enabled":{"dav":"1.0.0"},"disabled":{"calendar":"` + i.app + `"}}`
	}
	severity := "success"
	if i.setupError {
		severity = "error"
	}
	for _, s := range [][2]string{{"app-list", list}, {"setupchecks", `{"c":{"PhpModules":{"severity":"` + severity + `"}}}`}, {"log-gate", ""}, {"log-closed", ""}} {
		if s[0] != "setupchecks" || r.option("--checks") == "yes" {
			r.tell("begin %s\n%s\nncfleet: end %s 0 ", s[0], s[1], s[0])
		}
	}
}

func (r *run) stopDoor() {
	select {
	case r.stop <- struct{}{}:
	default:
	}
}

// doorFiles keeps what was written through a door.
type doorFiles struct{ content []byte }

// dial connects to a private door as through an SSH connection.
func (h *host) dial(in *incarnation, address string) (net.Conn, error) {
	r := h.doors[address]
	if r == nil || h.away() {
		return nil, fmt.Errorf("dial %s on %s: connection refused", address, h.name)
	}
	ours, theirs := net.Pipe()
	h.w.runs.Go(func() { h.serveDoor(in, r, theirs) })
	return ours, nil
}

// serveDoor answers one request.
func (h *host) serveDoor(in *incarnation, r *run, c net.Conn) {
	defer c.Close()
	// A controller that hangs up closes its end; nothing else may keep us.
	req, err := http.ReadRequest(bufio.NewReaderSize(c, 512))
	if err != nil {
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil || !h.w.sleep(20*time.Millisecond+h.w.jitter("door", r.id, req.Method, req.URL.Path)) {
		return
	}
	h.w.mu.Lock()
	if in.dead || h.away() {
		h.w.mu.Unlock()
		return
	}
	code, answer := r.answer(req, body)
	h.w.mu.Unlock()
	fmt.Fprintf(c, "HTTP/1.1 %d x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", code, len(answer), answer)
}

func (r *run) answer(req *http.Request, body []byte) (int, []byte) {
	if req.Header.Get("X-NCFleet-Door") != r.command.Env["NCFLEET_DOOR"] {
		return 403, nil
	}
	i := r.host.instance(r.option("--path"))
	switch path := req.URL.Path; {
	case path == "/.ncfleet/state":
		return 200, []byte("probe ready\n")
	case path == "/.ncfleet/stop":
		r.stopDoor()
		return 200, nil
	case strings.HasPrefix(path, "/remote.php/dav/"):
		return r.webdav(req.Method, path, body)
	default:
		return i.page(path, false)
	}
}

func (r *run) webdav(method, path string, body []byte) (int, []byte) {
	files := r.host.w.dav
	switch method {
	case "MKCOL":
		return 201, nil
	case http.MethodPut:
		files[path] = doorFiles{body}
		return 201, nil
	case http.MethodGet:
		return 200, files[path].content
	}
	clear(files)
	return 204, nil
}

// page is what the site answers to its users, or behind the private door.
func (i *instance) page(path string, closed bool) (int, []byte) {
	switch {
	case path == "/status.php":
		return 200, fmt.Appendf(nil, `{"installed":true,"version":"%s","versionstring":"","maintenance":%t,"needsDbUpgrade":%t}`, i.code.Long(), closed, i.code != i.config)
	case closed:
		return 503, nil
	case !i.sound():
		return 500, []byte("Internal Server Error")
	}
	return 200, []byte(`<html><body id="body-login"></body></html>`)
}

// outside is the way of a controller to the sites over the internet.
type outside struct{ in *incarnation }

// RoundTrip answers at once from the world.
func (o outside) RoundTrip(req *http.Request) (*http.Response, error) {
	in := o.in
	name, host, _ := strings.Cut(strings.TrimSuffix(req.URL.Host, ".test"), ".")
	h := in.w.host(host)
	if err := in.enter(req.Context(), h, "outside", req.URL.Host+req.URL.Path); err != nil {
		return nil, err
	}
	defer in.w.mu.Unlock()
	h.users()
	i := h.instance("/var/www/" + name)
	code, body := i.page(strings.TrimPrefix(req.URL.Path, "/index.php"), i.closed)
	if i.front {
		code, body = 502, []byte("Bad Gateway")
	}
	return &http.Response{StatusCode: code, Body: io.NopCloser(bytes.NewReader(body)), Header: http.Header{}, Request: req}, nil
}

// rest is what is never called of a driver.
type rest struct{ driver.Snapshotter }

// snapshots is a driver's process, started by one controller.
type snapshots struct {
	rest
	in *incarnation
}

func (s snapshots) Snapshotter(context.Context, string) (driver.Snapshotter, error) { return s, nil }

// Info is asked by the executor before it restores.
func (s snapshots) Info(context.Context) (driver.Info, error) {
	i := driver.Info{Name: "fake", Kind: driver.KindSnapshot}
	if s.in.w.machine {
		i.Capabilities = []string{driver.CapabilityMachine}
	}
	return i, nil
}

// call is one call of the driver, with the faults of drivers.
func (s snapshots) call(ctx context.Context, op, key string, act func() error) error {
	w := s.in.w
	h := w.host(strings.Split(key, "/")[0])
	fault := w.driverFault(s.in, op, key)
	if fault != "" {
		w.mu.Lock()
		w.count("driver " + fault)
		w.say("driver fault %s in %s %s", fault, op, key)
		w.lied = w.lied || fault == "lie" && op == "restore" // the gate behind it must tell
		w.mu.Unlock()
	}
	switch fault {
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	case "crash before":
		return driver.Errorf(driver.Panicked, "the driver's process ended")
	case "retry":
		return driver.Errorf(driver.Retryable, "busy")
	case "lie":
		return nil
	}
	if w.machine {
		h = nil // the provider is asked, not the host
	}
	if err := s.in.enter(ctx, h, "driver", op+key); err != nil {
		return err
	}
	w.mu.Unlock()
	if err := act(); err != nil {
		return err
	}
	if fault == "crash after" {
		return driver.Errorf(driver.Panicked, "the driver's process ended")
	}
	return nil
}

func (s snapshots) Prepare(ctx context.Context, r driver.SnapshotRequest, _ driver.Runner) error {
	return s.call(ctx, "prepare", keyOf(r), func() error { return nil })
}

// keyOf is host/key/instance, all that the fake driver has to know.
func keyOf(r driver.SnapshotRequest) string {
	return r.Subject.Host + "/" + r.Key + "\n" + r.Subject.Instance
}

// onHost runs a long command on the host and reads its exit status.
func onHost(ctx context.Context, run driver.Runner, what, key string) error {
	snapshot, instance, _ := strings.Cut(key, "\n")
	if _, err := run.Run(ctx, driver.Command{Argv: []string{"fake-mark"}, User: "root", Timeout: time.Minute}); err != nil {
		return err
	}
	r, err := run.Run(ctx, driver.Command{Argv: []string{what, snapshot, instance}, User: "root"})
	if err == nil && r.Exit != 0 {
		err = driver.Errorf(driver.Permanent, "%s ended with %d", what, r.Exit)
	}
	return err
}

func (s snapshots) Create(ctx context.Context, r driver.SnapshotRequest, run driver.Runner) (driver.Handle, error) {
	key := keyOf(r)
	err := s.call(ctx, "create", key, func() error {
		if s.in.w.machine {
			return s.createMachine(ctx, run, key)
		}
		return onHost(ctx, run, "fake-dump", key)
	})
	return driver.Handle{Driver: "fake", Key: key, Data: []byte(key)}, err
}

func (s snapshots) Verify(ctx context.Context, h driver.Handle, _ driver.Runner) (v driver.Verification, err error) {
	err = s.call(ctx, "verify", h.Key, func() error {
		v.Verified = s.in.w.whole(h.Key)
		return nil
	})
	return v, err
}

func (s snapshots) Restore(ctx context.Context, h driver.Handle, _ driver.Subject, run driver.Runner) error {
	return s.call(ctx, "restore", h.Key, func() error {
		if s.in.w.machine {
			return s.restoreMachine(ctx, h.Key)
		}
		return onHost(ctx, run, "fake-restore", h.Key)
	})
}
