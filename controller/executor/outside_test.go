package executor

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// yesHost is a host all of whose scripts say that they did what was asked.
type yesHost struct{ Remote }

func (h yesHost) Host(string) (Remote, error) { return h, nil }

func (yesHost) Lease(context.Context, string, string, string) error { return nil }

func (yesHost) Unlease(context.Context, string, string) error { return nil }

func (yesHost) Do(context.Context, string, driver.Command) (driver.Result, error) {
	return driver.Result{}, nil
}

func (yesHost) Start(context.Context, string, string, driver.Command) (driver.RunState, error) {
	return driver.RunState{Phase: driver.RunExited}, nil
}

func (yesHost) Look(context.Context, string) (driver.RunState, error) {
	return driver.RunState{Phase: driver.RunExited, Stdout: []byte("ncfleet: mark opened 1.5\n")}, nil
}

// answer is a site that answers every request with the same page.
type answer string

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(string(a))), Header: http.Header{}, Request: r}, nil
}

// TestOpenIsSeenFromOutside: a script that says open proves nothing, and after
// a rollback no other step looks.
func TestOpenIsSeenFromOutside(t *testing.T) {
	n := nextcloud.Site{Name: "cloud-07", Path: "/var/www/nextcloud"}.Open()
	step := plan.Step{ID: "w/cloud-07/undo-open", Kind: plan.KindOpen, Host: "cloud-07", Script: n.Script, Args: n.Args}
	target := &plan.Target{Name: "cloud-07", Host: "cloud-07", Steps: []plan.Step{{Kind: plan.KindVerify, Gate: &plan.Gate{URL: "https://cloud-07.test"}}}}
	for _, c := range []struct {
		page   answer
		status Status
		opened bool
	}{
		{`{"installed":true,"version":"29.0.1.1","maintenance":true,"needsDbUpgrade":false}`, Failed, false},
		{`{"installed":true,"version":"29.0.1.1","maintenance":false,"needsDbUpgrade":false}`, Succeeded, true},
		{"another program's page", Succeeded, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := New(Deps{Hosts: yesHost{}, Leases: yesHost{}, HTTP: &http.Client{Transport: c.page}})
			o := e.Perform(t.Context(), &plan.Plan{}, target, step, Memory{Rollout: "r"})
			if o.Status != c.status || (o.Evidence["opened_at"] != "") != c.opened {
				t.Errorf("%s: %s: %s, evidence %v", c.page, o.Status, o.Detail, o.Evidence)
			}
		})
	}
}
