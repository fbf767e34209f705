package sim_test

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// run is a detached run. It goes on whatever becomes of its controller.
type run struct {
	host    *host
	id      string
	command driver.Command
	script  string // of the host scripts, or the command's own name
	fault   string
	at      time.Time
	ended   time.Time
	state   driver.RunState
	pauses  int
	kill    chan struct{} // closed when it was ended or lost
	done    chan struct{} // closed when its state is final
	stop    chan struct{} // of a private door
}

// scriptNames finds a host script by its text.
var scriptNames = sync.OnceValue(func() map[string]string {
	names := map[string]string{}
	for _, n := range nextcloud.ScriptNames() {
		text, err := nextcloud.ScriptText(n)
		if err != nil {
			panic(err)
		}
		names[text] = n
	}
	return names
})

func scriptOf(c driver.Command) string {
	text := string(c.Stdin)
	if n, ok := scriptNames()[text]; ok {
		return n
	}
	switch {
	case c.Argv[0] != "sh":
		return c.Argv[0]
	case strings.Contains(text, "--download-only"):
		return "fetch"
	case strings.Contains(text, "dpkg --configure"):
		return "repair"
	case strings.Contains(text, "apt-get install"):
		return "packages"
	}
	return "unknown"
}

func (r *run) option(name string) string {
	return nextcloud.Option(r.command.Argv[min(3, len(r.command.Argv)):], name)
}

func (r *run) look() driver.RunState {
	s := r.state
	s.Stdout = append([]byte(nil), s.Stdout...)
	return s
}

// end makes the state final, once.
func (r *run) end(phase driver.RunPhase, exit int, detail string) {
	if r.state.Phase != driver.RunRunning {
		return
	}
	r.state.Phase, r.state.Exit, r.state.Detail, r.ended = phase, exit, detail, time.Now()
	close(r.kill)
	close(r.done)
	for a, d := range r.host.doors {
		if d == r {
			delete(r.host.doors, a)
		}
	}
}

func (r *run) tell(format string, a ...any) {
	r.state.Stdout = fmt.Appendf(r.state.Stdout, "ncfleet: "+format+"\n", a...)
}

func (r *run) mark(name string) {
	r.tell("mark %s %.3f", name, float64(time.Now().UnixMilli())/1000)
}

// gone is how a script unwinds when it was ended, or fails.
type gone struct{ exit int }

// pause lets time pass in a script with the world unlocked; faults strike here,
// so that each part of a script's effect is a place to die at.
func (r *run) pause(d time.Duration) {
	r.pauses++
	w := r.host.w
	d += w.jitter("pause", r.id, fmt.Sprint(r.pauses))
	if r.fault == "slow" || time.Now().Before(r.host.slowUntil) {
		d *= 12
	}
	if r.fault == "hang" && r.pauses == 2 {
		d = 100 * time.Hour
	}
	w.mu.Unlock()
	timer := time.NewTimer(d)
	select {
	case <-timer.C:
	case <-r.kill:
	case <-w.over:
	}
	timer.Stop()
	w.mu.Lock()
	if r.state.Phase != driver.RunRunning {
		panic(gone{-1})
	}
	r.host.users()
	switch {
	case r.fault == "crash_before" && r.pauses == 1, r.fault == "crash_mid" && r.pauses == r.middle():
		panic(gone{137})
	case r.fault == "reboot" && r.pauses == r.middle():
		r.host.reboot(time.Minute)
		panic(gone{-1})
	case r.fault == "disk_full" && r.pauses == 1+int(w.hash("full", r.id)%2):
		r.tell("error no space left on device")
		panic(gone{1})
	}
}

// middle is the pause in which a crash strikes.
func (r *run) middle() int {
	if r.script == "hop.sh" {
		return 2 + int(r.host.w.hash("middle", r.id)%3)
	}
	return 2
}

func (r *run) failScript(why string) {
	r.tell("error %s", why)
	panic(gone{1})
}

// exec is the run's own process.
func (r *run) exec() {
	w := r.host.w
	w.mu.Lock()
	defer w.mu.Unlock()
	exit := r.carryOut()
	if exit == 0 && r.fault == "crash_after" {
		r.tell("error killed at its end")
		exit = 1
	}
	if exit == 137 && r.script == "hop.sh" && r.state.Phase == driver.RunRunning {
		r.cutShort(false)
	}
	if r.state.Phase == driver.RunRunning {
		w.say("%s ends %s: exit %d", r.host.name, r.id, exit)
	}
	r.end(driver.RunExited, exit, "")
}

func (r *run) carryOut() (exit int) {
	defer func() {
		if p := recover(); p != nil {
			g, ok := p.(gone)
			if !ok {
				panic(p)
			}
			exit = g.exit
		}
	}()
	if r.fault == "lie" {
		r.pause(time.Second)
		r.mark("closed") // says whatever is wanted
		r.mark("opened")
		return 0
	}
	r.perform()
	return 0
}
