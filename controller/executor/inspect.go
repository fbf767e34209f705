package executor

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/rollout"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

const (
	assetLimit = 40
	assetsAt   = 4 // as many as the door has workers
	probeBytes = 1 << 20
)

// inspect looks at the closed site through the private door.
func (w *work) inspect(ctx context.Context) Outcome {
	if w.step.Gate == nil {
		return Outcome{Status: Failed, Detail: "step " + w.step.ID + " has no gate: make the plan again"}
	}
	ctx, stop := context.WithTimeout(ctx, w.timeout())
	defer stop()
	d, err := w.openDoor(ctx, int(w.timeout()/time.Second)+30)
	if err != nil {
		return w.failed("cannot open the private door", err)
	}
	checks := d.look(ctx)
	state, err := d.close(ctx)
	if err != nil {
		return w.failed("the private door was lost", err)
	}
	report := nextcloud.ParseReport(state.Stdout)
	found := evidence(report)
	checks = append(checks, w.sections(report, found)...)
	verdict, reasons := nextcloud.Judge(checks)
	o := Outcome{Checks: checks, Evidence: found, Output: tail(state.Stdout, state.Stderr)}
	for _, c := range checks {
		o.Evidence["check "+c.Name] = string(c.Result) + ": " + c.Detail
	}
	switch {
	case state.Phase != driver.RunExited || state.Exit != 0:
		o.Status, o.Detail = Failed, "the gate's script did not end well: "+orElse(last(report.Errors), state.Detail)
	case verdict == nextcloud.Pass:
		o.Status = Succeeded
	case verdict == nextcloud.Hold:
		o.Status, o.Detail = Held, "the gate asks: "+strings.Join(reasons, "; ")
	default:
		o.Status, o.Detail = Failed, "the gate failed: "+strings.Join(reasons, "; ")
	}
	return o
}

// look makes all requests through the door, at the same time where it can.
func (d *door) look(ctx context.Context) []nextcloud.Check {
	g := d.work.step.Gate
	parts := []func() []nextcloud.Check{
		func() []nextcloud.Check { return []nextcloud.Check{d.status(ctx)} },
		func() []nextcloud.Check { return d.login(ctx) },
	}
	for _, p := range g.Pages {
		parts = append(parts, func() []nextcloud.Check { return []nextcloud.Check{d.page(ctx, p)} })
	}
	if g.WebDAV {
		parts = append(parts, func() []nextcloud.Check { return []nextcloud.Check{d.webdav(ctx)} })
	}
	results := make([][]nextcloud.Check, len(parts))
	var wait sync.WaitGroup
	for i, part := range parts {
		wait.Go(func() { results[i] = part() })
	}
	wait.Wait()
	var all []nextcloud.Check
	for _, r := range results {
		all = append(all, r...)
	}
	return all
}

func (d *door) status(ctx context.Context) nextcloud.Check {
	code, body, err := d.get(ctx, "/status.php")
	if err != nil {
		return nextcloud.Check{Name: "status", Result: nextcloud.Fail, Detail: err.Error()}
	}
	return nextcloud.CheckStatus(d.work.step.Gate.Version, code, body)
}

// login fetches the login page and every style sheet and script it names.
func (d *door) login(ctx context.Context) []nextcloud.Check {
	code, body, err := d.get(ctx, "/index.php/login")
	if err != nil {
		return []nextcloud.Check{{Name: "login", Result: nextcloud.Fail, Detail: err.Error()}}
	}
	page := nextcloud.CheckLogin(code, body)
	if page.Result != nextcloud.Pass {
		return []nextcloud.Check{page}
	}
	assets := nextcloud.LoginAssets(body, d.host, assetLimit)
	var mu sync.Mutex
	var bad []string
	places := make(chan struct{}, assetsAt)
	var wait sync.WaitGroup
	for _, a := range assets {
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			code, body, err := d.get(ctx, a)
			if err == nil && code == http.StatusOK && len(body) > 0 {
				return
			}
			why := fmt.Sprintf("%s answers HTTP %d with %d bytes", a, code, len(body))
			if err != nil {
				why = fmt.Sprintf("%s: %v", a, err)
			}
			mu.Lock()
			bad = append(bad, why)
			mu.Unlock()
		})
	}
	wait.Wait()
	sort.Strings(bad)
	c := nextcloud.Check{Name: "login assets", Result: nextcloud.Pass, Detail: fmt.Sprintf("%d of %d", len(assets)-len(bad), len(assets))}
	switch {
	case len(bad) > 0:
		c.Result, c.Detail = nextcloud.Fail, strings.Join(bad, "; ")
	case len(assets) == 0:
		c.Result, c.Detail = nextcloud.Note, "the login page names no style sheets or scripts"
	}
	return []nextcloud.Check{page, c}
}

func (d *door) page(ctx context.Context, path string) nextcloud.Check {
	code, _, err := d.get(ctx, "/"+strings.TrimPrefix(path, "/"))
	return pageCheck(path, code, err)
}

func pageCheck(path string, code int, err error) nextcloud.Check {
	c := nextcloud.Check{Name: "page " + path, Result: nextcloud.Pass, Detail: "HTTP " + strconv.Itoa(code)}
	switch {
	case err != nil:
		c.Result, c.Detail = nextcloud.Fail, err.Error()
	case code < 200 || code >= 400:
		c.Result = nextcloud.Fail
	}
	return c
}

// webdav makes a folder, writes a file, reads it back and deletes both.
func (d *door) webdav(ctx context.Context) nextcloud.Check {
	c := nextcloud.Check{Name: "webdav", Result: nextcloud.Fail}
	if why := d.awaitProbe(ctx); why != "" {
		c.Detail = why
		return c
	}
	content := make([]byte, probeBytes)
	name, err := random(6)
	if err == nil {
		_, err = rand.Read(content)
	}
	if err != nil {
		c.Detail = err.Error()
		return c
	}
	folder := "/remote.php/dav/files/" + url.PathEscape(d.user) + "/ncfleet-" + name
	file := folder + "/probe.txt"
	for _, s := range []struct {
		method, path string
		body         []byte
		want         []int
	}{
		{"MKCOL", folder, nil, []int{201}},
		{http.MethodPut, file, content, []int{201, 204}},
		{http.MethodGet, file, nil, []int{200}},
		{http.MethodDelete, folder, nil, []int{204, 200}},
	} {
		code, body, err := d.do(ctx, s.method, s.path, s.body, true)
		if err == nil && !contains(s.want, code) {
			err = fmt.Errorf("HTTP %d: %.200s", code, body)
		}
		if err == nil && s.method == http.MethodGet && !bytes.Equal(body, content) {
			err = fmt.Errorf("what was read is not what was written: %d bytes, SHA-256 %.12x instead of %.12x", len(body), sha256.Sum256(body), sha256.Sum256(content))
		}
		if err != nil {
			c.Detail = s.method + " failed: " + err.Error()
			return c
		}
	}
	c.Result, c.Detail = nextcloud.Pass, "folder made, 1 MiB written, read back equal, deleted"
	return c
}

// awaitProbe returns "" once the probe user is there, or why it is not.
func (d *door) awaitProbe(ctx context.Context) string {
	if d.work.step.Gate.ProbeUser != "" {
		return ""
	}
	limit := time.Now().Add(probeWait)
	for time.Now().Before(limit) {
		_, body, err := d.get(ctx, "/.ncfleet/state")
		text := strings.TrimSpace(string(body))
		switch {
		case err == nil && text == "probe ready":
			return ""
		case err == nil && text != "":
			return "no probe user: " + text
		}
		select {
		case <-d.ended:
			return "the private door closed before the probe user was made"
		case <-ctx.Done():
			return ctx.Err().Error()
		case <-time.After(pollEvery):
		}
	}
	return "the probe user was not made within " + probeWait.String()
}

// sections judges what gate.sh found on the host.
func (w *work) sections(r nextcloud.Report, e map[string]string) []nextcloud.Check {
	g := w.step.Gate
	var out []nextcloud.Check
	list, err := nextcloud.ParseAppList(r.Sections["app-list"].Body)
	if err != nil {
		out = append(out, nextcloud.Check{Name: "apps", Result: nextcloud.Fail, Detail: err.Error()})
	} else {
		out = append(out, nextcloud.CheckApps(g.Apps, g.MayBeDisabled, list))
		for _, id := range g.TellApps {
			if v := list.Enabled[id]; v != "" {
				e[rollout.EvidenceApp+id] = v
			}
		}
	}
	if g.SetupChecks {
		after, err := nextcloud.ParseSetupChecks(r.Sections["setupchecks"].Body)
		if err != nil {
			out = append(out, nextcloud.Check{Name: "setup checks", Result: nextcloud.Hold, Detail: err.Error()})
		} else {
			out = append(out, nextcloud.CheckSetup(g.Checks, after, g.IgnoreChecks))
		}
	}
	if g.Log {
		out = append(out, nextcloud.CheckLog(r.Sections["log-closed"].Body, r.Sections["log-gate"].Body))
	}
	return out
}

func contains(list []int, n int) bool {
	for _, v := range list {
		if v == n {
			return true
		}
	}
	return false
}
