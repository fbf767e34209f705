package sim_test

import (
	"fmt"
	"strconv"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// watchdog lets users in when nothing was changed since the instance was closed
// and no controller was heard for that long.
func (i *instance) watchdog(seconds string) {
	n, err := strconv.Atoi(seconds)
	if err != nil || n <= 0 {
		i.noDog = true // a rollback closes without one
		return
	}
	w, h := i.host.w, i.host
	i.watch++
	id, limit, begun := i.watch, time.Duration(n)*time.Second, time.Now()
	w.runs.Go(func() {
		for nap := 1; w.sleep(limit/5 + w.jitter("watchdog", h.name, i.name, fmt.Sprint(id, nap))); nap++ {
			w.mu.Lock()
			ended := i.watch != id || !i.closed || i.changing
			if !ended && !h.closing(i) && time.Since(later(h.heard, begun)) >= limit {
				w.checkReopening(i, limit)
				w.count("watchdog let users in")
				w.say("%s/%s is opened by its watchdog", h.name, i.name)
				i.reopened, i.closed, i.closedBy, i.closedFor = time.Now(), false, "", ""
				i.restoring = false
				h.users()
				ended = true
			}
			w.mu.Unlock()
			if ended {
				return
			}
		}
	})
}

// beginChange is begin.sh: asked before a change that is no script.
func (h *host) beginChange(in *incarnation, c driver.Command, may bool) driver.Result {
	i, what := h.instance(nextcloud.Option(c.Argv[3:], "--path")), nextcloud.Option(c.Argv[3:], "--checks")
	if what != nextcloud.BeginLook && !may {
		in.w.broken("changes go through the fence", "%s/%s is marked as changing without a token", h.name, i.name)
	}
	switch {
	case !i.reopened.IsZero():
		return driver.Result{Stdout: []byte("ncfleet: reopened " + i.reopened.Format(time.RFC3339) + "\n")}
	case !i.closed && !i.restoring:
		return driver.Result{Stdout: []byte("ncfleet: open yes\n")}
	}
	i.changing = i.changing || what != nextcloud.BeginLook
	i.restoring = i.restoring || what == nextcloud.BeginRestore
	return driver.Result{Stdout: []byte("ncfleet: open no\n")}
}

// mayChange is what a script of ours asks before it changes anything.
func (r *run) mayChange(i *instance) {
	if !i.reopened.IsZero() {
		r.failScript("it was opened by the watchdog")
	}
	i.changing = true
}

// traces is look.sh: what a hop that did not end left behind.
func (i *instance) traces(c driver.Command) driver.Result {
	args := c.Argv[3:]
	swap := "none"
	if _, kept := i.kept[nextcloud.Option(args, "--keep")]; kept {
		swap = "done"
	} else if _, staged := i.staged[nextcloud.Option(args, "--staged")]; staged {
		swap = "staged"
	}
	if i.part {
		swap = "3 9"
	}
	answer, processes, database := map[bool]string{true: "yes", false: "no"}, "", "reachable"
	if time.Now().Before(i.occUntil) {
		processes = "4711"
	}
	if time.Now().Before(i.dbUntil) {
		database = "unreachable"
	}
	return driver.Result{Stdout: fmt.Appendf(nil, "ncfleet: swap %s\nncfleet: database %s\nncfleet: needs-upgrade %s\nncfleet: code-version %s\nncfleet: config-version %s\nncfleet: closed %s\nncfleet: processes %s\n",
		swap, database, answer[i.code != i.config || i.half], i.code.Long(), i.config.Long(), answer[i.closed], processes)}
}
