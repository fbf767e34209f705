package sim_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// host is a fake machine: what is on it outlives every controller. All fields
// are guarded by the world's lock.
type host struct {
	w         *world
	name      string
	instances []*instance
	boot      int
	heard     time.Time // when whoever has the lease was last heard
	awayUntil time.Time
	slowUntil time.Time
	openssl   string
	needsBoot bool   // the packages ask for a reboot
	rivals    string // "none", "active" or "held"
	lease     lease
	fences    map[string]fence // by rollout
	broken    int64            // the highest epoch whose lease an operator broke
	released  map[string]bool  // rollouts that gave their lease back
	runs      map[string]*run
	snaps     map[string]*snap
	files     map[string]bool
	doors     map[string]*run // by address
	begun     map[string]int  // how often the effect of a step began here
	upgrades  map[string]int  // how often occ upgrade began, by step
}

// instance is one installation. Its users write whenever it serves.
type instance struct {
	host                 *host
	name, path           string
	code, config, schema nextcloud.Version
	half                 bool // the database is half migrated
	app                  string
	appLost, setupError  bool
	closed               bool
	changing, restoring  bool      // a change, or the way back, began since it was closed
	changedAt            time.Time // when somebody else changed it
	front                bool      // what stands before it answers nobody
	foreign              bool      // somebody else put another version there
	openedAt             time.Time // when somebody else let users in, since it was closed
	part, appFailed      bool      // what a hop that was cut short left
	occUntil             time.Time // an occ that outlived its run goes on
	dbFrom, dbUntil      time.Time // the database is away
	noDog                bool      // its watchdog died
	reopened             time.Time // when the watchdog let users in, zero when it did not
	watch                int       // numbers the watchdogs; another one's has ended
	closedBy, closedFor  string    // the rollout that closed it, and the target
	writes               []int     // acknowledged, in the database
	kept, staged         map[string]nextcloud.Version
}

// snap is what a snapshot holds of an instance, or of a host.
type snap struct {
	whole   bool
	of      instance
	openssl string
	disk    *disk // of a whole machine
}

type lease struct{ token, holder string }

// fence is the highest epoch that a lease was ever taken under.
type fence struct {
	epoch int64
	nonce string
}

func newHost(w *world, name string, instances []string) *host {
	h := &host{w: w, name: name, openssl: "1", rivals: "active", fences: map[string]fence{}, released: map[string]bool{}, runs: map[string]*run{}, snaps: map[string]*snap{},
		files: map[string]bool{}, doors: map[string]*run{}, begun: map[string]int{}, upgrades: map[string]int{}}
	for _, n := range instances {
		h.instances = append(h.instances, &instance{host: h, name: n, path: "/var/www/" + n, code: v28, config: v28, schema: v28, app: "1.0.0",
			kept: map[string]nextcloud.Version{}, staged: map[string]nextcloud.Version{}})
	}
	return h
}

func (h *host) bootID() string { return h.name + "-boot-" + strconv.Itoa(h.boot) }

func (h *host) away() bool { return time.Now().Before(h.awayUntil) }

func (h *host) instance(path string) *instance {
	for _, i := range h.instances {
		if i.path == path {
			return i
		}
	}
	return nil
}

// sound reports whether code and database fit together.
func (i *instance) sound() bool { return i.code == i.config && i.config == i.schema && !i.half }

func (i *instance) serves() bool { return !i.closed && i.sound() && !i.host.away() }

// users lets the users of every instance write something. It is called before
// whatever touches the host: the worst moments are never quiet ones.
func (h *host) users() {
	for _, i := range h.instances {
		if i.serves() {
			h.w.writes++
			i.writes = append(i.writes, h.w.writes)
			h.w.acked[i] = append(h.w.acked[i], h.w.writes)
		}
	}
}

// fields reads a token "ROLLOUT EPOCH NONCE".
func fields(token string) (rollout string, epoch int64, nonce string) {
	f := append(strings.Fields(token), "", "", "")
	epoch, _ = strconv.ParseInt(f[1], 10, 64) // no token has no number
	return f[0], epoch, f[2]
}

// verdict says why the token may not change the host, nil when the lease is the
// token's: what fence.sh says. An older lease may be taken over, a free one taken.
func (h *host) verdict(token string) error {
	rollout, epoch, nonce := fields(token)
	f := h.fences[rollout]
	owner, has, _ := fields(h.lease.token)
	switch {
	case f.epoch > epoch || f.epoch == epoch && f.nonce != nonce:
		return errStale
	case h.lease.token == token:
		return nil
	case h.lease.token == "":
		return errFree
	case owner != rollout:
		return fmt.Errorf("%w by %s", errHeld, h.lease.holder)
	case has >= epoch:
		return errStale
	}
	return errOlder
}

func (h *host) raise(rollout string, epoch int64, nonce string) {
	h.fences[rollout] = fence{epoch, nonce}
}

// take is the host's side of taking the lease.
func (h *host) take(token, holder string) error {
	rollout, epoch, nonce := fields(token)
	switch err := h.verdict(token); err {
	case errOlder:
		h.w.count("lease taken over")
	case errFree:
	default:
		return err
	}
	h.raise(rollout, epoch, nonce)
	h.lease, h.released[rollout] = lease{token, holder}, false
	return nil
}

// release gives back what this controller, or an earlier one of its rollout,
// holds; what another rollout holds is none of ours.
func (h *host) release(token string) error {
	rollout, epoch, nonce := fields(token)
	switch err := h.verdict(token); err {
	case nil, errOlder:
		h.raise(rollout, epoch, nonce)
		h.lease, h.released[rollout] = lease{}, true
	case errStale:
		return err
	}
	return nil
}

// breakLease is an operator who takes the lease from whoever has it: nobody has
// the epoch then, and only a controller that comes later may take it.
func (h *host) breakLease() bool {
	rollout, epoch, _ := fields(h.lease.token)
	if rollout == "" {
		return false
	}
	epoch = max(epoch, h.fences[rollout].epoch)
	h.raise(rollout, epoch, "-")
	h.broken, h.lease = max(h.broken, epoch), lease{}
	return true
}

// guard is what every changing call asks: is the lease the caller's? Whoever
// has it is heard by the watchdogs.
func (h *host) guard(token string) error {
	err := h.verdict(token)
	if err == nil {
		h.heard = time.Now()
		return nil
	}
	h.w.count("refused without the lease")
	return err
}

// reboot ends every run without an exit status and keeps the host away.
func (h *host) reboot(down time.Duration) {
	h.users()
	h.boot++
	h.needsBoot = false
	h.awayUntil = later(h.awayUntil, time.Now().Add(down))
	h.w.say("%s reboots", h.name)
	for _, i := range h.instances {
		i.watch++ // no watchdog outlives it
		i.noDog, i.occUntil = true, time.Time{}
	}
	for _, id := range slices.Sorted(maps.Keys(h.runs)) {
		r := h.runs[id]
		if r.state.Phase == driver.RunRunning && r.script == "hop.sh" {
			r.cutShort(true)
		}
		r.end(driver.RunLost, 0, "the host rebooted") // the exit status says nothing
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// start claims the run's id and begins it; a second start attaches.
func (h *host) start(in *incarnation, id string, c driver.Command) driver.RunState {
	if r := h.runs[id]; r != nil {
		s := r.look()
		s.Attached = true
		h.w.checkAttach(in, r)
		return s
	}
	r := &run{host: h, id: id, at: time.Now(), command: c, script: scriptOf(c), kill: make(chan struct{}), done: make(chan struct{}), stop: make(chan struct{}, 1),
		state: driver.RunState{ID: id, Phase: driver.RunRunning, BootID: h.bootID()}}
	h.runs[id] = r
	h.w.checkBegin(in, h, r)
	r.fault = h.w.runFault(r)
	h.w.say("%s begins %s %s", h.name, id, r.fault)
	h.w.runs.Go(r.exec)
	return r.look()
}

// short answers the commands that are no detached runs. Those that change
// something come with a token, and were let through.
func (h *host) short(in *incarnation, c driver.Command, may bool) driver.Result {
	switch scriptOf(c) {
	case "begin.sh":
		return h.beginChange(in, c, may)
	case "look.sh":
		return h.instance(nextcloud.Option(c.Argv[3:], "--path")).traces(c)
	}
	last := c.Argv[len(c.Argv)-1]
	switch line := strings.Join(c.Argv, " "); {
	case line == "cat /proc/sys/kernel/random/boot_id":
		return driver.Result{Stdout: []byte(h.bootID() + "\n")}
	case strings.HasPrefix(line, `sh -c cat "$1"`):
		return driver.Result{Exit: 1}
	case c.Argv[0] == "dpkg-query":
		return driver.Result{Stdout: []byte("openssl " + h.openssl + " installed\n")}
	case line == "sh -c :":
		return driver.Result{}
	case line == "fake-mark":
		if !may {
			in.w.broken("changes go through the fence", "a driver's command is not under a token")
		}
		return driver.Result{}
	case strings.HasSuffix(last, "/door-stop"):
		if !may {
			in.w.broken("changes go through the fence", "%q is not under a token", c.Argv)
		}
		for _, r := range h.doors {
			if name, _, _ := strings.Cut(strings.TrimPrefix(last, "/var/lib/ncfleet/sites/"), "/"); strings.ReplaceAll(r.option("--name"), "/", "+") == name {
				r.stopDoor()
			}
		}
		return driver.Result{}
	}
	in.w.broken("the model", "%s is asked for a short command that it does not know: %q", h.name, c.Argv)
	return driver.Result{Exit: 127}
}
