package executor

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// TestRealNextcloud upgrades a real instance on this machine. It must be of
// 28.0.2, be seen at the URL and be expendable:
//
//	NCFLEET_TEST_TREE=/srv/x/html NCFLEET_TEST_USER=www-data NCFLEET_TEST_URL=http://127.0.0.1:8080
//	NCFLEET_TEST_RELEASE=/srv/nextcloud-29.0.1.tar.bz2 NCFLEET_TEST_SHA512=… NCFLEET_TEST_STATE=/srv/state
//	NCFLEET_TEST_RELOAD=…  (optional) NCFLEET_TEST_DATA=/srv/x/data (optional)
func TestRealNextcloud(t *testing.T) {
	tree := os.Getenv("NCFLEET_TEST_TREE")
	if tree == "" {
		t.Skip("no expendable Nextcloud is named in NCFLEET_TEST_TREE")
	}
	from, to := nextcloud.Version{28, 0, 2, 5}, nextcloud.Version{29, 0, 1, 0}
	data := orElse(os.Getenv("NCFLEET_TEST_DATA"), tree+"/data")
	n := nextcloud.Site{Name: "real", Path: tree, DataDir: data, WebUser: os.Getenv("NCFLEET_TEST_USER"), PHP: "/usr/bin/php",
		StateDir: os.Getenv("NCFLEET_TEST_STATE"), URL: os.Getenv("NCFLEET_TEST_URL")}
	if r := os.Getenv("NCFLEET_TEST_RELOAD"); r != "" {
		n.Reload = [][]string{strings.Fields(r)}
	}
	step := func(k plan.Kind, i nextcloud.Invocation) plan.Step {
		return plan.Step{ID: "w/real/" + string(k), Kind: k, Host: "here", Script: i.Script, Args: i.Args, Timeout: 10 * time.Minute}
	}
	stage := step(plan.KindStage, n.Stage(n.StateDir+"/releases/nextcloud-29.0.1.tar.bz2", "", os.Getenv("NCFLEET_TEST_SHA512"), to, tree))
	stage.Release = &plan.Release{Name: "nextcloud-29.0.1.tar.bz2", SHA512: os.Getenv("NCFLEET_TEST_SHA512")}
	inspect := step(plan.KindInspect, nextcloud.Invocation{})
	inspect.Gate = &plan.Gate{Version: to, HostHeader: strings.TrimPrefix(n.URL, "http://"), Apps: []string{"files", "dav", "files_sharing"},
		WebDAV: true, SetupChecks: true, Log: true, LogFile: data + "/nextcloud.log", Pages: []string{"index.php/login"}}
	verify := step(plan.KindVerify, nextcloud.Invocation{})
	verify.Gate = &plan.Gate{Version: to, URL: n.URL}
	steps := []plan.Step{stage, step(plan.KindClose, n.Close(0)), step(plan.KindHop, n.Hop(to, n.Kept(from))), inspect,
		step(plan.KindOpen, n.Open()), verify, step(plan.KindTidy, n.Tidy([]string{n.Kept(from)}))}
	target := &plan.Target{Name: "real", Host: "here", Steps: steps, Subject: driver.Subject{StateDir: n.StateDir}}
	e := New(Deps{Hosts: &machine{}, Releases: file{os.Getenv("NCFLEET_TEST_RELEASE")}})
	for _, s := range steps {
		o := e.Perform(context.Background(), &plan.Plan{Scripts: nextcloud.ScriptDigests()}, target, s, Memory{Rollout: fmt.Sprint(time.Now().UnixNano())})
		var lines []string
		for k, v := range o.Evidence {
			lines = append(lines, "   "+k+": "+v)
		}
		sort.Strings(lines)
		t.Logf("%s %s %.2f s %s\n%s", s.Kind, o.Status, o.Seconds, o.Detail, strings.Join(lines, "\n"))
		if o.Status != Succeeded {
			t.Fatalf("%s", o.Output)
		}
	}
}
