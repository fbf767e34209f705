package executor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
)

const (
	outsideWait = 30 * time.Second // how long a site may take to look right
	outsideStep = 500 * time.Millisecond
)

// verify looks at the open site from here, as its users do.
func (w *work) verify(ctx context.Context) Outcome {
	g := w.step.Gate
	if g == nil || g.URL == "" {
		return Outcome{Status: Failed, Detail: "step " + w.step.ID + " has no URL to look at: make the plan again"}
	}
	limit := time.Now().Add(outsideWait)
	for {
		checks := w.outside(ctx, g)
		verdict, reasons := nextcloud.Judge(checks)
		if verdict == nextcloud.Pass {
			o := Outcome{Status: Succeeded, Checks: checks, Evidence: map[string]string{}}
			for _, c := range checks {
				o.Evidence["check "+c.Name] = string(c.Result) + ": " + c.Detail
			}
			return o
		}
		select {
		case <-time.After(outsideStep):
		case <-ctx.Done():
			return w.failed(g.URL, ctx.Err())
		}
		if time.Now().After(limit) {
			return Outcome{Status: Failed, Checks: checks, Detail: fmt.Sprintf("%s does not look right from here after %s: %s", g.URL, outsideWait, strings.Join(reasons, "; "))}
		}
	}
}

func (w *work) outside(ctx context.Context, g *plan.Gate) []nextcloud.Check {
	code, body, err := w.fetch(ctx, g.URL, "status.php")
	if err != nil {
		return []nextcloud.Check{{Name: "status", Result: nextcloud.Fail, Detail: err.Error()}}
	}
	checks := []nextcloud.Check{nextcloud.CheckStatus(g.Version, code, body)}
	if code, body, err = w.fetch(ctx, g.URL, "index.php/login"); err != nil {
		checks = append(checks, nextcloud.Check{Name: "login", Result: nextcloud.Fail, Detail: err.Error()})
	} else {
		checks = append(checks, nextcloud.CheckLogin(code, body))
	}
	for _, p := range g.Pages {
		code, _, err := w.fetch(ctx, g.URL, p)
		checks = append(checks, pageCheck(p, code, err))
	}
	return checks
}

// fetch gets a page of a site; path is relative to its URL.
func (w *work) fetch(ctx context.Context, base, path string) (int, []byte, error) {
	u, err := url.Parse(strings.TrimSuffix(base, "/") + "/" + strings.TrimPrefix(path, "/"))
	if err != nil {
		return 0, nil, fmt.Errorf("cannot read the URL %q: %w", base, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("User-Agent", nextcloud.GateUserAgent)
	resp, err := w.HTTP.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	return resp.StatusCode, body, err
}

// closeDoor closes the site and, where it can be seen from here, sees it
// closed: behind a balancer there may be a web host that the script knows
// nothing of.
func (w *work) closeDoor(ctx context.Context) Outcome {
	o := w.script(ctx)
	if o.Status != Succeeded {
		return o
	}
	// A controller that comes late to a run of its own may find the site let in.
	if why, ok := w.mayBegin(ctx, nextcloud.BeginLook); !ok {
		return why
	}
	site := w.publicURL()
	if site == "" {
		return o
	}
	limit := time.Now().Add(outsideWait)
	for {
		code, body, err := w.fetch(ctx, site, "status.php")
		if err != nil {
			o.Evidence["seen_from_outside"] = "not reachable from here: " + err.Error()
			return o
		}
		if s, err := nextcloud.ParseStatus(body); code == http.StatusServiceUnavailable || err == nil && s.Maintenance {
			if code, _, err = w.fetch(ctx, site, "index.php/login"); err == nil && code == http.StatusServiceUnavailable {
				o.Evidence["seen_from_outside"] = "closed"
				return o
			}
		}
		select {
		case <-time.After(outsideStep):
		case <-ctx.Done():
			return w.failed(site, ctx.Err())
		}
		if time.Now().After(limit) {
			o.Status = Failed
			o.Detail = fmt.Sprintf("%s still lets users in, seen from here %s after it was closed on %s (HTTP %d): is there another web host or a cache before it?", site, outsideWait, w.step.Host, code)
			return o
		}
	}
}

// letIn opens the site and, where it can be seen from here, sees it open: after
// a rollback no other step looks, and a site that stays closed must be told of.
func (w *work) letIn(ctx context.Context) Outcome {
	o := w.script(ctx)
	site := w.publicURL()
	if o.Status != Succeeded || site == "" {
		return o
	}
	limit := time.Now().Add(outsideWait)
	for {
		_, body, err := w.fetch(ctx, site, "status.php")
		if err != nil {
			o.Evidence["seen_from_outside"] = "not reachable from here: " + err.Error()
			return o
		}
		s, err := nextcloud.ParseStatus(body)
		if err != nil || !s.Maintenance {
			o.Evidence["seen_from_outside"] = "not in maintenance mode" // what else is wrong is for verify to say
			return o
		}
		select {
		case <-time.After(outsideStep):
		case <-ctx.Done():
			return w.failed(site, ctx.Err())
		}
		if time.Now().After(limit) {
			delete(o.Evidence, "opened_at")
			o.Status = Failed
			o.Detail = fmt.Sprintf("%s still keeps users out, seen from here %s after it was opened on %s: is there another web host or a cache before it?", site, outsideWait, w.step.Host)
			return o
		}
	}
}

// publicURL is the URL at which the plan looks at this instance from outside.
func (w *work) publicURL() string {
	for _, s := range w.target.Steps {
		if s.Kind == plan.KindVerify && s.Instance == w.step.Instance && s.Gate != nil {
			return s.Gate.URL
		}
	}
	return ""
}
