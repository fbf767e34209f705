package proxmox

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// act begins a task and follows it to its end.
func (p *provider) act(ctx context.Context, what, method, path string, form url.Values) error {
	var upid string
	if err := p.api.call(ctx, what, method, path, form, &upid); err != nil {
		return err
	}
	exit, err := p.finish(ctx, what, upid)
	if err != nil {
		return err
	}
	if exit == "OK" || strings.HasPrefix(exit, "WARNINGS") {
		return nil
	}
	if err := known(what, exit); err != nil {
		return err
	}
	return driver.Errorf(driver.Permanent, "cannot %s: the task %s ended with: %s", what, upid, exit)
}

// finish waits for a task's end and returns the words that it ended with.
func (p *provider) finish(ctx context.Context, what, upid string) (exit string, err error) {
	parts := strings.Split(upid, ":")
	if len(parts) < 2 {
		return "", driver.Errorf(driver.Permanent, "cannot %s: %q is no task", what, upid)
	}
	for {
		var t struct {
			Status string `json:"status"`
			Exit   string `json:"exitstatus"`
		}
		path := "/nodes/" + url.PathEscape(parts[1]) + "/tasks/" + url.PathEscape(upid) + "/status"
		if err := p.api.get(ctx, "follow the task to "+what, path, nil, &t); err != nil {
			return "", err
		}
		if t.Status == "stopped" {
			return t.Exit, nil
		}
		wait := time.NewTimer(p.poll)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return "", driver.Errorf(driver.Retryable, "ended while waiting for the task to %s, which goes on: %v", what, ctx.Err())
		}
	}
}

// tasks returns the tasks at work on the guest that the token may see.
func (p *provider) tasks(ctx context.Context, g guest) ([]string, error) {
	var all []struct {
		UPID string `json:"upid"`
		End  number `json:"endtime"`
	}
	err := p.api.get(ctx, "list the tasks of "+g.String(), "/nodes/"+url.PathEscape(g.Node)+"/tasks",
		url.Values{"vmid": {g.id()}, "source": {"active"}}, &all)
	var running []string
	for _, t := range all {
		if t.End == 0 { // it lists those that ended a moment ago, too
			running = append(running, t.UPID)
		}
	}
	return running, err
}

// settle waits for the tasks that earlier calls, or others, began on the guest.
// How they ended shows in what is read next.
func (p *provider) settle(ctx context.Context, g guest) error {
	running, err := p.tasks(ctx, g)
	for _, upid := range running {
		if err == nil {
			_, err = p.finish(ctx, "work on "+g.String(), upid)
		}
	}
	return err
}
