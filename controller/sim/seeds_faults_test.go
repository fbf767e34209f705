package sim_test

import (
	"math/rand"
	"slices"
	"strings"
	"time"
)

// menu is which faults a seed has, and how often: the chance of each is in
// thousandths of the calls or runs that it may strike.
type menu struct {
	link, run, driver int
	runFaults         []string
	driverFaults      []string
	kills             []int // after how many points each controller is killed; 0 never
	lie               int   // how often closed, open or installed is said, and it is not so
	hold              int   // how often the gate asks for people
	forget            int   // how often a snapshot's handle is lost on its way to the loop
	drain             bool
	rival             time.Duration // a second rollout with a journal of its own comes; 0 none
	stale             time.Duration // a controller is stopped and another one takes over; 0 none
	back              time.Duration // how long it is stopped
	second            bool          // a second controller tries the same journal
	reboot            int           // how often a host reboots in the middle of a change
	gone              bool          // the controller is lost for good
	cut               int           // how often a hop is cut short, and leaves what it may
}

var (
	allRunFaults    = []string{"crash_before", "crash_mid", "crash_after", "hang", "lie", "slow", "disk_full", "bad_app", "bad_front", "hold"}
	allDriverFaults = []string{"hang", "crash before", "crash after", "retry", "lie"}
)

// pick takes some of the list.
func pick(rnd *rand.Rand, list []string) []string {
	n := 1 + rnd.Intn(len(list))
	out := slices.Clone(list)
	rnd.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:n]
}

func drawMenu(rnd *rand.Rand) menu {
	m := menu{runFaults: pick(rnd, allRunFaults), driverFaults: pick(rnd, allDriverFaults)}
	if rnd.Intn(2) == 0 {
		m.run = []int{5, 10, 20, 50}[rnd.Intn(4)]
	}
	if rnd.Intn(3) == 0 {
		m.link = []int{5, 20, 50}[rnd.Intn(3)]
	}
	if rnd.Intn(4) == 0 {
		m.driver = []int{20, 100, 200}[rnd.Intn(3)]
	}
	switch rnd.Intn(5) {
	case 0: // one death
		m.kills = []int{1 + rnd.Intn(300)}
	case 1: // one after the other
		for range 2 + rnd.Intn(8) {
			m.kills = append(m.kills, 1+rnd.Intn(60))
		}
	}
	if rnd.Intn(6) == 0 {
		m.hold = 300
	}
	if rnd.Intn(6) == 0 {
		m.lie = 200
	}
	if rnd.Intn(25) == 0 {
		m.forget = 300
	}
	m.drain = rnd.Intn(12) == 0
	m.second = rnd.Intn(10) == 0
	if rnd.Intn(12) == 0 {
		m.rival = seconds(rnd, 300)
	}
	if rnd.Intn(6) == 0 {
		m.stale, m.back = seconds(rnd, 300), seconds(rnd, 400)
	}
	if rnd.Intn(5) == 0 {
		m.cut = []int{150, 500}[rnd.Intn(2)]
	}
	if rnd.Intn(10) == 0 {
		m.reboot = 200
	}
	if m.gone = len(m.kills) > 0 && rnd.Intn(4) == 0; m.gone {
		m.drain, m.second, m.rival, m.stale = false, false, 0, 0
	}
	return m
}

// seconds draws a time that no other one falls together with.
func seconds(rnd *rand.Rand, most int) time.Duration {
	return time.Duration(1 + rnd.Int63n(int64(most)*int64(time.Second)))
}

// incident is a fault that comes by itself at some time.
type incident struct {
	at   time.Duration
	what string
	act  func()
}

// drawIncidents draws what happens to hosts and to the controller's clock.
func (w *world) drawIncidents(rnd *rand.Rand) []incident {
	var list []incident
	w.fails = w.menu.reboot > 0
	add := func(what string, act func()) { list = append(list, incident{seconds(rnd, 1200), what, act}) }
	for range rnd.Intn(3) {
		w.fails = true
		h := w.hosts[rnd.Intn(len(w.hosts))]
		switch rnd.Intn(7) {
		case 0:
			down := seconds(rnd, 900)
			add("host gone for a while", func() { h.awayUntil = later(h.awayUntil, time.Now().Add(down)) })
		case 1:
			down := seconds(rnd, 90)
			add("host rebooted by itself", func() { h.reboot(down) })
		case 2:
			slow := seconds(rnd, 600)
			add("host slow", func() { h.slowUntil = later(h.slowUntil, time.Now().Add(slow)) })
		case 3:
			if rnd.Intn(3) == 0 {
				add("host gone for good", func() { h.awayUntil = time.Now().Add(1000 * time.Hour) })
			}
		case 4:
			if len(h.instances) > 0 {
				i := h.instances[0]
				add("changed by someone else", func() {
					if !i.closed {
						i.app, i.changedAt = "1.0.1", time.Now()
					}
				})
			}
		case 5:
			if len(h.instances) > 0 {
				list = append(list, incident{seconds(rnd, 300), "", h.instances[0].somebodyOpens})
			}
		case 6:
			if w.menu.rival == 0 { // which would have the host then
				list = append(list, incident{seconds(rnd, 300), "", func() { w.operatorBreaks(h) }})
			}
		}
	}
	if rnd.Intn(10) == 0 {
		by := seconds(rnd, 3600)
		if rnd.Intn(2) == 0 {
			by = -by / 4
		}
		add("clock jump", func() { w.jump += by })
	}
	slices.SortFunc(list, func(a, b incident) int { return int(a.at - b.at) })
	return list
}

// live lets the incidents happen.
func (w *world) live(list []incident) {
	begun := time.Now()
	for _, i := range list {
		if !w.sleep(i.at - time.Since(begun)) {
			return
		}
		w.mu.Lock()
		if i.what != "" {
			w.count(i.what)
			w.say("%s", i.what)
		}
		i.act()
		w.mu.Unlock()
	}
}

// hash mixes the seed with what is asked: the same question has the same
// answer, whatever was asked in between.
func (w *world) hash(parts ...string) uint64 {
	x := uint64(w.seed)*0x9e3779b97f4a7c15 ^ 0xcbf29ce484222325
	for _, p := range parts {
		for i := 0; i < len(p); i++ {
			x = (x ^ uint64(p[i])) * 0x100000001b3
		}
		x = (x ^ 0xff) * 0x100000001b3
	}
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// chance is true in so many of a thousand cases.
func (w *world) chance(thousandths int, parts ...string) bool {
	return thousandths > 0 && int(w.hash(parts...)%1000) < thousandths
}

// jitter is a part of a second that no other question shares: no two things
// happen at the same instant, so that a seed always goes the same way.
func (w *world) jitter(parts ...string) time.Duration {
	return time.Duration(1 + w.hash(parts...)%uint64(200*time.Millisecond))
}

func (w *world) linkFault(when, op, key, n string) bool {
	return w.chance(w.menu.link, "link", when, op, key, n)
}

// runFault decides at a run's start what will go wrong with it.
func (w *world) runFault(r *run) string {
	if r.script == "hop.sh" && w.chance(w.menu.hold, "hold", r.id) {
		w.count("run hold")
		return "hold"
	}
	if r.script == "close.sh" && w.menu.gone && w.chance(200, "gone", r.id) {
		w.count("controller lost while it closes")
		w.say("every controller dies")
		w.dieAll()
		return []string{"", "crash_mid"}[w.hash("gone", r.id, "how")%2]
	}
	if (r.script == "fake-dump" || r.script == "fake-restore") && w.menu.cut > 0 && w.chance(100, "dump", r.id) {
		w.count("controller killed, and its driver's command crashes")
		w.say("every controller dies")
		w.dieAll()
		return "crash_before"
	}
	if r.script == "hop.sh" && w.chance(w.menu.cut, "cut", r.id) {
		w.count("run cut short")
		return "crash_mid"
	}
	if slices.Contains([]string{"packages", "apps.sh", "hop.sh", "fake-dump", "fake-restore"}, r.script) && w.chance(w.menu.reboot, "reboot", r.id) {
		w.count("run reboot")
		return "reboot"
	}
	unseen := w.shape.noURL || w.menu.link > 0 || w.fails // what is not seen from outside cannot be found out
	if (r.script == "packages" || !unseen && (r.script == "open.sh" || r.script == "close.sh")) && w.chance(w.menu.lie, "door lie", r.id) {
		w.count("run lie")
		return "lie"
	}
	if !w.chance(w.menu.run, "run", r.id) {
		return ""
	}
	f := w.menu.runFaults[w.hash("which", r.id)%uint64(len(w.menu.runFaults))]
	switch {
	case f == "disk_full" && !slices.Contains([]string{"stage.sh", "hop.sh", "fake-dump", "packages", "apps.sh"}, r.script),
		(f == "bad_app" || f == "bad_front" || f == "hold") && r.script != "hop.sh",
		f == "lie" && ((r.script == "close.sh" || r.script == "open.sh") && unseen || r.script == "gate.sh" || r.script == "unhold.sh"),
		f == "hang" && r.script == "gate.sh":
		return ""
	}
	w.lied = w.lied || f == "lie" && r.script == "fake-restore"
	w.count("run " + f)
	return f
}

// driverFault decides what goes wrong with a call of a snapshot driver. No
// driver lies when it is asked for the proof.
func (w *world) driverFault(in *incarnation, op, key string) string {
	w.mu.Lock()
	in.calls["driver fault"+op+key]++
	n := in.calls["driver fault"+op+key]
	w.mu.Unlock()
	if !w.chance(w.menu.driver, "driver", op, key, string(rune('0'+in.n)), string(rune('0'+n))) {
		return ""
	}
	f := w.menu.driverFaults[w.hash("which driver", op, key, string(rune('0'+n)))%uint64(len(w.menu.driverFaults))]
	if f == "lie" && op == "verify" {
		return ""
	}
	return f
}

// stepOf splits the name of a run into its rollout and its step.
func stepOf(id string) (rollout, step string) {
	rollout, step, _ = strings.Cut(id, "/")
	for _, end := range []string{"/restored", "/driver-"} {
		step, _, _ = strings.Cut(step, end)
	}
	step, _, _ = strings.Cut(step, "~")
	step, _, _ = strings.Cut(step, "+")
	return rollout, step
}
