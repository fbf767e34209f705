package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/ncfleet/ncfleet/controller/fleetreport"
	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/inventory"
)

var reportDay = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// fleetOf is the report on a fleet of n hosts on which something of everything
// can be found; those named hostile have names that want to be markup.
func fleetOf(n int, hostile string) *fleetreport.ReportDocument {
	in := fleetreport.Input{Now: reportDay, Facts: map[string]plan.Facts{}, Problems: []string{"rollout spring" + hostile + " cannot be read"}}
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("cloud-%02d%s", i, hostile)
		in.Hosts = append(in.Hosts, &inventory.Host{Name: name, Instances: []inventory.Instance{{Name: "main"}}})
		release, php, database := "29.0.16", "8.2.36", plan.Database{Server: "MariaDB", Version: "10.11.6", Bytes: int64(i) << 24}
		switch i % 12 {
		case 1:
			release = "28.0.2"
		case 2:
			php = "8.0.30"
		case 3:
			release = "34.0.3.2"
		case 4:
			database.Version = "10.5.29"
		case 5:
			in.Facts[name] = plan.Facts{Host: name, Unreachable: "no route to host" + hostile}
			continue
		}
		seen := plan.InstanceFacts{Name: "main", Code: v(release), Config: v(release), TreeBytes: 700 << 20, Database: database, Maintenance: i%12 == 6,
			PHP: plan.PHP{Version: php, Modules: nextcloud.RequiredModules()}, Settings: plan.Settings{AppStoreEnabled: true}}
		for k, id := range []string{"calendar", "deck", "groupfolders"} {
			if (i+k)%4 == 0 {
				seen.Apps = append(seen.Apps, plan.App{ID: id + hostile, Version: "1.0", Enabled: true, MaxNextcloud: "29"})
			}
		}
		in.Facts[name] = plan.Facts{Host: name, SeenAt: reportDay.Add(-time.Hour), OS: plan.OS{ID: "debian", Version: "12"}, Instances: []plan.InstanceFacts{seen}}
	}
	d := fleetreport.Compute(in)
	began := reportDay.AddDate(0, 0, -9)
	d.Rollouts = append(d.Rollouts, fleetreport.Rollout{ID: "r1", Name: "monthly" + hostile, Began: &began, Verdict: "succeeded", Upgraded: n - 1, RolledBack: 1, MedianSeconds: 31.25, MaxSeconds: 93})
	for i := range d.Targets {
		t := &d.Targets[i]
		switch i % 5 {
		case 0:
			continue
		case 1:
			d.Counts.Drifted++
			t.Drift = &fleetreport.Drift{Rollout: "r1", Since: began, Changes: []fleetreport.Change{{What: "app deck" + hostile, Left: "0.9", Now: "1.0"}}}
		case 2:
			t.Drift = &fleetreport.Drift{Rollout: "r1", Since: began, Changes: []fleetreport.Change{}}
		}
		t.Snapshot = &fleetreport.Proven{At: began, AgeSeconds: int64(i%5) * 9 * 86400, Rollout: "r1", Key: "r1/" + t.Name}
		t.Closed = &fleetreport.Expected{Source: fleetreport.FromHistory, MedianSeconds: 20 + float64(i%7)*9, MaxSeconds: 20 + float64(i%7)*9 + float64(i%3)*18, Samples: 1 + i%3}
	}
	return &d
}

func TestFleetText(t *testing.T) {
	var b bytes.Buffer
	if err := Fleet(&b, fleetOf(24, ""), Options{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "fleet-report.txt", b.Bytes())
	b.Reset()
	if err := Encode(&b, fleetOf(12, ""), "  "); err != nil {
		t.Fatal(err)
	}
	golden(t, "fleet-report.json", b.Bytes())
	var d fleetreport.ReportDocument
	dec := json.NewDecoder(&b)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil || d.FormatVersion != 1 || len(d.Targets) != 12 {
		t.Errorf("read back: %v, version %d, %d targets", err, d.FormatVersion, len(d.Targets))
	}
}

// TestFleetTextFolds: at 300 hosts the text still fits a terminal's width and
// some screens.
func TestFleetTextFolds(t *testing.T) {
	d := fleetOf(300, "")
	for i := range d.Targets { // as a fleet is, not one of each kind
		d.Targets[i].Next = &fleetreport.Next{State: fleetreport.Ready}
		d.Targets[i].State = fleetreport.TargetOpen
		d.Targets[i].Drift = nil
	}
	d.HeldBy, d.Unreachable = nil, nil
	var b bytes.Buffer
	if err := Fleet(&b, d, Options{}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for _, l := range lines {
		if utf8.RuneCountInString(l) > 80 {
			t.Errorf("longer than 80 columns: %q", l)
		}
	}
	if len(lines) > 250 {
		t.Errorf("%d lines for 300 hosts", len(lines))
	}
}

func pageFor(t *testing.T, d *fleetreport.ReportDocument) string {
	t.Helper()
	var b strings.Builder
	if err := FleetHTML(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// reaching are the attributes by which a page loads or names something else.
var reaching = map[string]bool{"src": true, "href": true, "xlink:href": true, "srcset": true, "data": true, "action": true,
	"formaction": true, "poster": true, "background": true, "cite": true, "manifest": true, "ping": true, "style": true}

// pageProblems says what a page must not have: a reference to anything outside
// it, something that runs, or elements that are not closed in order.
func pageProblems(page string) []string {
	var problems, open []string
	policy := false
	void := map[string]bool{"meta": true, "br": true, "link": true, "img": true, "input": true}
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			if !errors.Is(z.Err(), io.EOF) {
				problems = append(problems, z.Err().Error())
			}
			break
		}
		tok := z.Token()
		switch kind {
		case html.StartTagToken:
			if !void[tok.Data] {
				open = append(open, tok.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != tok.Data {
				return append(problems, fmt.Sprintf("</%s> closes %v", tok.Data, open))
			}
			open = open[:len(open)-1]
		case html.TextToken:
			if len(open) > 0 && open[len(open)-1] == "style" && (strings.Contains(tok.Data, "url(") || strings.Contains(tok.Data, "@import")) {
				problems = append(problems, "the style sheet refers to something")
			}
		}
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		switch tok.Data {
		case "script", "link", "img", "iframe", "object", "embed", "base", "form", "a", "use", "image", "foreignobject":
			problems = append(problems, "it has <"+tok.Data+">")
		}
		for _, a := range tok.Attr {
			if reaching[a.Key] || strings.HasPrefix(a.Key, "on") {
				problems = append(problems, fmt.Sprintf("<%s> has %s=%q", tok.Data, a.Key, a.Val))
			}
			if a.Key == "content" && a.Val == "default-src 'none'; style-src 'unsafe-inline'" {
				policy = true
			}
		}
	}
	if len(open) > 0 {
		problems = append(problems, fmt.Sprintf("%v are not closed", open))
	}
	if !policy {
		problems = append(problems, "it has no content security policy")
	}
	return problems
}

const hostileName = `"><script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>{{.}}'`

// TestFleetPageStandsAlone: a page of hostile names refers to nothing, runs
// nothing, is well formed and shows the names as they are.
func TestFleetPageStandsAlone(t *testing.T) {
	for _, hostile := range []string{"", hostileName} {
		page := pageFor(t, fleetOf(24, hostile))
		for _, p := range pageProblems(page) {
			t.Errorf("hostile %t: %s", hostile != "", p)
		}
		doc, err := html.Parse(strings.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for n := range doc.Descendants() {
			if n.Type == html.TextNode {
				text.WriteString(n.Data)
			}
		}
		for _, want := range []string{"cloud-06" + hostile, "deck" + hostile, "monthly" + hostile, "no route to host" + hostile, "rollout spring" + hostile + " cannot be read"} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("the page does not show %q", want)
			}
		}
	}
}

// TestPageProblemsAreFound proves that the check above can fail.
func TestPageProblemsAreFound(t *testing.T) {
	good := pageFor(t, fleetOf(1, ""))
	for name, bad := range map[string]string{
		"script":       strings.Replace(good, "<main>", "<main><script></script>", 1),
		"picture":      strings.Replace(good, "<main>", `<main><img src="https://example.org/x.png">`, 1),
		"handler":      strings.Replace(good, "<main>", `<main onclick="x()">`, 1),
		"style sheet":  strings.Replace(good, "<style>", "<style>@import url(x.css);", 1),
		"not closed":   strings.Replace(good, "</main>", "", 1),
		"no policy":    strings.Replace(good, "default-src 'none'", "", 1),
		"inline style": strings.Replace(good, "<main>", `<main style="background:url(x)">`, 1),
	} {
		if bad == good || len(pageProblems(bad)) == 0 {
			t.Errorf("%s: nothing found", name)
		}
	}
}

// TestFleetPageIsSmall: a page that one can mail.
func TestFleetPageIsSmall(t *testing.T) {
	n := len(pageFor(t, fleetOf(300, "")))
	t.Logf("300 hosts: %d bytes", n)
	if n > 2<<20 {
		t.Errorf("%d bytes for 300 hosts", n)
	}
}

func TestFleetReportWriteErrors(t *testing.T) {
	d := fleetOf(2, "")
	for name, write := range map[string]func(io.Writer) error{
		"text": func(w io.Writer) error { return Fleet(w, d, Options{}) },
		"html": func(w io.Writer) error { return FleetHTML(w, d) },
	} {
		if err := write(full{}); err == nil {
			t.Errorf("%s: a full disk was not told", name)
		}
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }
