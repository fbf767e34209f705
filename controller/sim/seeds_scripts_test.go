package sim_test

import (
	"slices"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
)

// perform is what each script does to the world, in the parts in which it can
// be interrupted.
func (r *run) perform() {
	h := r.host
	i := h.instance(r.option("--path"))
	switch r.script {
	case "hold.sh", "unhold.sh", "repair", "fetch", "reboot.sh", "packages", "fake-dump", "fake-restore":
	default:
		if i == nil {
			h.w.broken("the model", "%s runs %q without an instance: %q", h.name, r.script, r.command.Argv)
			return
		}
	}
	switch r.script {
	case "hold.sh", "unhold.sh", "fetch", "repair", "packages", "reboot.sh":
		r.onHost()
	case "stage.sh":
		r.pause(10 * time.Second)
		to, err := nextcloud.ParseVersion(r.option("--to"))
		if err != nil || !h.files[r.option("--archive")] {
			r.failScript("no archive of " + r.option("--to"))
		}
		r.pause(10 * time.Second)
		i.staged[r.option("--staged")] = full(to)
	case "unstage.sh":
		r.pause(time.Second)
		clear(i.staged)
	case "tidy.sh":
		r.pause(5 * time.Second)
		clear(i.kept)
	case "close.sh":
		r.pause(2 * time.Second)
		i.close(r)
		i.watchdog(r.option("--watchdog"))
		r.mark("closed")
		r.pause(3 * time.Second)
	case "open.sh":
		r.pause(time.Second)
		i.open(r)
		r.mark("opened")
		r.pause(2 * time.Second)
		r.mark("open-seen")
	case "hop.sh":
		r.hop(i)
	case "apps.sh":
		r.pause(3 * time.Second)
		r.mayChange(i)
		i.app = "2.0.0"
		r.pause(5 * time.Second)
	case "swapback.sh":
		r.swapBack(i)
	case "restored.sh":
		r.pause(time.Second)
		if from := r.option("--from"); from != "" && i.code.String() != from {
			r.failScript("the code is " + i.code.String())
		}
	case "gate.sh":
		r.gate(i)
	case "fake-dump", "fake-restore":
		r.copyState()
	default:
		h.w.broken("the model", "%s is asked for a run that it does not know: %q", h.name, r.command.Argv)
	}
}

// onHost is what the scripts and commands do that are about the host alone.
func (r *run) onHost() {
	h := r.host
	switch r.script {
	case "hold.sh":
		r.pause(time.Second)
		h.rivals = "held"
	case "unhold.sh":
		r.pause(time.Second)
		if h.rivals == "held" {
			h.rivals = "active"
		}
	case "packages":
		r.pause(5 * time.Second)
		r.pause(20 * time.Second)
		h.openssl, h.needsBoot = "2", h.w.hash("needs boot", h.name)%3 > 0
	case "reboot.sh":
		r.rebootHost()
	default: // nothing that the model knows of
		r.pause(5 * time.Second)
	}
}

// full adds the fourth number, which only an archive tells.
func full(v nextcloud.Version) nextcloud.Version {
	for _, known := range []nextcloud.Version{v28, v29, v30} {
		if known.SameRelease(v) {
			return known
		}
	}
	return v
}

func (r *run) rebootHost() {
	r.pause(time.Second)
	if !r.host.needsBoot {
		r.tell("reboot not-required")
		return
	}
	r.tell("boot %s", r.host.bootID())
	r.tell("reboot begun")
	w, h := r.host.w, r.host
	down := 20*time.Second + w.jitter("down", r.id)*100
	w.runs.Go(func() {
		if w.sleep(2*time.Second + w.jitter("boot", r.id)) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.count("reboot asked for")
			h.reboot(down)
		}
	})
}

func (i *instance) close(r *run) {
	rollout, step := stepOf(r.id)
	if l := i.host.w.ledgerOf(rollout); !i.closed && l.steps[step].of != nil {
		i.closedBy, i.closedFor = rollout, l.steps[step].of.plan.Name
	}
	i.closed, i.changing, i.restoring, i.noDog, i.reopened, i.openedAt = true, false, false, false, time.Time{}, time.Time{}
	i.watch++
	i.host.w.checkClosed(rollout)
}

func (i *instance) open(r *run) {
	rollout, _ := stepOf(r.id)
	if !i.sound() {
		i.host.w.broken("opened only when it works", "%s lets users into %s/%s: code %s, database %s, half %v", r.id, i.host.name, i.name, i.code, i.schema, i.half)
	}
	if i.closed && i.closedBy != rollout {
		i.host.w.broken("one rollout per host", "%s opens what %s closed", r.id, i.closedBy)
	}
	i.closed, i.changing, i.restoring, i.closedBy = false, false, false, ""
	i.host.users() // the first one is quick
}

func (r *run) hop(i *instance) {
	r.pause(2 * time.Second)
	to, _ := nextcloud.ParseVersion(r.option("--to"))
	to = full(to)
	r.mayChange(i)
	if i.config == to && i.code == to && i.schema == to {
		return
	}
	if wait := time.Until(i.occUntil); wait > 0 {
		r.pause(wait)
		if i.config == to {
			return
		}
	}
	if i.code != to {
		if !i.closed {
			r.failScript("it is not closed")
		}
		if i.staged[r.option("--staged")] != to {
			r.failScript("there is no staged tree")
		}
		i.kept[r.option("--keep")], i.code = i.code, to
		delete(i.staged, r.option("--staged"))
	}
	r.pause(5 * time.Second)
	r.mark("upgrade-begin")
	if time.Now().Before(i.dbUntil) {
		r.failScript("SQLSTATE[HY000] [2002] Connection refused")
	}
	r.host.w.checkUpgrade(r)
	i.half = true
	r.pause(30 * time.Second)
	i.schema, i.config, i.half = to, to, false
	i.appLost = i.appLost || r.fault == "bad_app"
	i.setupError, i.front = r.fault == "hold", r.fault == "bad_front"
	r.pause(time.Second)
}

func (r *run) swapBack(i *instance) {
	r.pause(2 * time.Second)
	if v, ok := i.kept[r.option("--keep")]; ok {
		i.code, i.config = v, v // the configuration goes with its tree
		clear(i.kept)
	}
	i.part, i.occUntil = false, time.Time{} // an occ that still ran was ended
	r.pause(time.Second)
}

// copyState is a snapshot's dump, or its way back.
func (r *run) copyState() {
	h, key := r.host, r.command.Argv[1]
	i := h.instance("/var/www/" + r.command.Argv[2])
	r.pause(2 * time.Second)
	if r.script == "fake-dump" {
		if i != nil && !i.closed && i.reopened.IsZero() && i.openedAt.IsZero() {
			h.w.broken("snapshots are of closed instances", "%s takes one while users write", r.id)
		}
		if s := h.snaps[key]; s != nil && s.whole {
			return
		}
		h.snaps[key] = &snap{openssl: h.openssl}
		r.pause(10 * time.Second)
		s := h.snaps[key]
		if i != nil {
			s.of = *i
			s.of.writes = slices.Clone(i.writes)
		}
		s.whole = true
		return
	}
	s := h.snaps[key]
	if s == nil || !s.whole {
		r.failScript("there is no snapshot " + key)
	}
	h.w.checkRestore(r, i, s)
	if h.w.shape.captured {
		h.openssl = s.openssl
	}
	if i == nil {
		return
	}
	if time.Now().Before(i.dbUntil) {
		r.failScript("the database cannot be reached")
	}
	i.half, i.occUntil = true, time.Time{}
	r.pause(10 * time.Second)
	i.foreign, i.part, i.appFailed, i.front = false, false, false, false
	i.code, i.config, i.schema, i.half = s.of.code, s.of.config, s.of.schema, false
	i.app, i.appLost, i.setupError = s.of.app, s.of.appLost, s.of.setupError
	clear(i.kept)
	i.writes = slices.Clone(s.of.writes)
}
