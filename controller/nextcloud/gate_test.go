package nextcloud

import (
	"fmt"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	c := func(r ...CheckResult) []Check {
		var out []Check
		for i, v := range r {
			out = append(out, Check{Name: fmt.Sprint(i), Result: v, Detail: string(v)})
		}
		return out
	}
	for _, tt := range []struct {
		checks  []Check
		want    CheckResult
		reasons string
	}{
		{nil, Fail, "[nothing was checked]"},
		{c(Pass, Note, Skip), Pass, "[]"},
		{c(Pass, Hold), Hold, "[1: hold]"},
		{c(Hold, Fail, Pass, Hold), Fail, "[1: fail 0: hold 3: hold]"},
		{c(Pass, "maybe"), Fail, `[1: unknown result "maybe"]`},
	} {
		got, reasons := Judge(tt.checks)
		if got != tt.want || fmt.Sprint(reasons) != tt.reasons {
			t.Errorf("%v: %s %v; want %s %s", tt.checks, got, reasons, tt.want, tt.reasons)
		}
	}
}

func TestCheckStatus(t *testing.T) {
	want := Version{29, 0, 1, 0}
	body := `{"installed":true,"version":"29.0.1.1","maintenance":false,"needsDbUpgrade":false}`
	for _, tt := range []struct {
		code   int
		body   string
		result CheckResult
		detail string
	}{
		{200, body, Pass, "29.0.1.1"},
		{500, "", Fail, "HTTP 500"},
		{200, strings.Replace(body, "29.0.1.1", "28.0.2.5", 1), Fail, "version 28.0.2.5, expected 29.0.1"},
		{200, strings.Replace(body, `needsDbUpgrade":false`, `needsDbUpgrade":true`, 1), Fail, "still needed"},
		{200, strings.Replace(body, `maintenance":false`, `maintenance":true`, 1), Fail, "maintenance"},
		{200, "<html>", Fail, "cannot read"},
	} {
		if c := CheckStatus(want, tt.code, []byte(tt.body)); c.Result != tt.result || !strings.Contains(c.Detail, tt.detail) {
			t.Errorf("%d %s: %+v", tt.code, tt.body, c)
		}
	}
	if c := CheckStatus(Version{29, 0, 1, 2}, 200, []byte(body)); c.Result != Fail {
		t.Errorf("another fourth number passes: %+v", c)
	}
}

func TestCheckLogin(t *testing.T) {
	for _, tt := range []struct {
		code int
		body string
		want CheckResult
	}{
		{200, `<head data-requesttoken="x"></head>`, Pass},
		{503, `<title>Maintenance</title>`, Fail},
		{200, `<title>It works</title>`, Fail},
		{200, `<head data-requesttoken="x"></head><p>Internal Server Error</p>`, Fail},
		{200, `<head data-requesttoken="x"></head><p>Access through untrusted domain</p>`, Fail},
	} {
		if c := CheckLogin(tt.code, []byte(tt.body)); c.Result != tt.want {
			t.Errorf("%d %s: %+v", tt.code, tt.body, c)
		}
	}
}

func TestLoginAssets(t *testing.T) {
	page := `<link rel="stylesheet" href="/core/css/server.css?v=1&amp;w=2"><script nonce="x" defer src="/dist/core.js"></script>
<script src="/dist/core.js"></script><link rel="icon" href="/favicon.ico"><script src="https://cdn.example/x.js"></script>
<script src="https://cloud.test/apps/a.mjs"></script><script>inline</script>`
	got := LoginAssets([]byte(page), "cloud.test", 10)
	if want := "[/apps/a.mjs /core/css/server.css?v=1&w=2 /dist/core.js]"; fmt.Sprint(got) != want {
		t.Errorf("%v; want %s", got, want)
	}
	if got := LoginAssets([]byte(page), "cloud.test", 1); len(got) != 1 {
		t.Errorf("the limit is not kept: %v", got)
	}
}

func TestCheckApps(t *testing.T) {
	found := AppList{Enabled: map[string]string{"files": "1", "dav": "1"}, Disabled: map[string]string{"calendar": "1", "old": "1"}}
	for _, tt := range []struct {
		want, may []string
		result    CheckResult
		detail    string
	}{
		{[]string{"dav", "files"}, nil, Pass, "2 of 2 enabled"},
		{[]string{"dav", "old"}, []string{"old"}, Pass, "2 of 2 enabled"},
		{[]string{"calendar", "files"}, nil, Fail, "disabled calendar"},
		{[]string{"gone"}, nil, Fail, "missing gone"},
		{[]string{"gone"}, []string{"gone"}, Pass, "1 of 1"},
	} {
		if c := CheckApps(tt.want, tt.may, found); c.Result != tt.result || !strings.Contains(c.Detail, tt.detail) {
			t.Errorf("%v: %+v", tt.want, c)
		}
	}
}

func TestCheckSetup(t *testing.T) {
	before := map[string]string{`OCA\A\Db`: "success", `OCA\A\Old`: "error", `OCA\A\Mail`: "info"}
	for _, tt := range []struct {
		name   string
		before map[string]string
		class  string
		now    string
		ignore []string
		want   CheckResult
	}{
		{"as before", before, `OCA\A\Old`, "error", nil, Pass},
		{"new error", before, `OCA\A\Db`, "error", nil, Hold},
		{"new error, ignored", before, `OCA\A\Db`, "error", []string{"Db"}, Pass},
		{"new error about the public address", before, `OCA\DAV\SetupChecks\WebdavEndpoint`, "error", nil, Note},
		{"new warning", before, `OCA\A\Mail`, "warning", nil, Note},
		{"better", before, `OCA\A\Old`, "warning", nil, Pass},
		{"no baseline", nil, `OCA\A\Db`, "error", nil, Note},
	} {
		if c := CheckSetup(tt.before, map[string]string{tt.class: tt.now}, tt.ignore); c.Result != tt.want {
			t.Errorf("%s: %+v, want %s", tt.name, c, tt.want)
		}
	}
}

func TestCheckLog(t *testing.T) {
	gate := `{"level":3,"app":"files","message":"a \"b\"","userAgent":"ncfleet-gate","exception_class":"OC\\Boom"}`
	occ := `{"level":3,"app":"internet_connection_check","message":"Cannot connect","userAgent":"--","exception_class":"Local"}`
	fatal := `{"level":4,"app":"core","message":"dead","userAgent":"--"}`
	for _, tt := range []struct {
		closed, gate string
		want         CheckResult
		detail       string
	}{
		{"", "", Pass, "no fatal"},
		{occ + "\n" + occ, occ, Note, "2 errors"},
		{gate, gate, Hold, `error: files, OC\Boom, a \"b\"`},
		{fatal, "", Hold, "fatal: core, dead"},
		{strings.Repeat(fatal+"\n", 5), "", Hold, "and 2 more"},
	} {
		if c := CheckLog([]byte(tt.closed), []byte(tt.gate)); c.Result != tt.want || !strings.Contains(c.Detail, tt.detail) {
			t.Errorf("%+v; want %s …%s…", c, tt.want, tt.detail)
		}
	}
}

func TestParseReport(t *testing.T) {
	r := ParseReport([]byte("noise\nncfleet: mark a 10.5\nncfleet: mark b 12.0\nncfleet: version 29.0.1.1\nncfleet: begin list\n{\n\"x\": 1}\nncfleet: other\nncfleet: end list 1 it said\n" +
		"ncfleet: note n1\nncfleet: degraded d1\nncfleet: error e1\nncfleet: log l1\nncfleet: disabled-app old\nncfleet: begin cut\nrest"))
	if s, ok := r.Between("a", "b"); !ok || s != 1.5 {
		t.Errorf("between a and b lie %v, %v", s, ok)
	}
	if _, ok := r.Between("a", "c"); ok {
		t.Error("a mark that was never set has a time")
	}
	list := r.Sections["list"]
	if string(list.Body) != "{\n\"x\": 1}\nncfleet: other" || list.Exit != 1 || list.Note != "it said" {
		t.Errorf("the section is %q, %d, %q", list.Body, list.Exit, list.Note)
	}
	if got := fmt.Sprint(r.Values, r.Notes, r.Degraded, r.Errors, r.Log, r.Disabled); got != "map[version:29.0.1.1] [n1] [d1] [e1] [l1] [old]" {
		t.Error(got)
	}
	if _, ok := r.Sections["cut"]; ok {
		t.Error("a section without an end was believed")
	}
}

func TestScripts(t *testing.T) {
	for name, digest := range ScriptDigests() {
		text, err := ScriptText(name)
		if err != nil || len(digest) != 64 || !strings.HasSuffix(text, "main \"$@\" </dev/null\nexit $?\n") || !strings.Contains(text, "\nmain() {") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(ScriptDigests()); n != len(ScriptNames()) || n != 16 {
		t.Errorf("%d scripts", n)
	}
	if _, err := ScriptText("rm.sh"); err == nil {
		t.Error("an unknown script has a text")
	}
}

func TestGateArguments(t *testing.T) {
	site := Site{Name: "c", Path: "/srv/we ird", DataDir: "/d", WebUser: "w", PHP: "/php", StateDir: "/s", Reload: [][]string{{"a", "b c"}}}
	i := Gate(site.Hop(Version{29, 0, 1, 0}, "/k").Args, Door{Probe: "p", Port: 2, Seconds: 3, Checks: true})
	got := strings.Join(i.Args, "|")
	if want := "--name|c|--path|/srv/we ird|--data|/d|--user|w|--php|/php|--state|/s|--reload|a 'b c'|--probe|p|--port|2|--seconds|3|--checks|yes"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if Option(i.Args, "--port") != "2" || Option(i.Args, "--none") != "" {
		t.Error("options are not found")
	}
}
