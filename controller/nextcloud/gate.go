package nextcloud

import (
	"fmt"
	"html"
	"net/url"
	"regexp"
	"sort"
	"strings"
)

// CheckResult is the verdict on one check of the gate.
type CheckResult string

// The results of a check, and of a gate as a whole.
const (
	Pass CheckResult = "pass"
	Note CheckResult = "note" // passed; people should know something
	Skip CheckResult = "skip" // not looked at, with the reason
	Hold CheckResult = "hold" // people must decide
	Fail CheckResult = "fail"
)

// Check is one thing the gate looked at.
type Check struct {
	Name   string
	Result CheckResult
	Detail string // what was seen; for people
}

// Judge sums up: fail when any check failed, else hold when any asks for
// people, else pass. No check at all, or one with a result it does not know,
// is a fail: nothing was proven. Reasons explain a verdict that is not pass.
func Judge(checks []Check) (verdict CheckResult, reasons []string) {
	if len(checks) == 0 {
		return Fail, []string{"nothing was checked"}
	}
	verdict = Pass
	var holds []string
	for _, c := range checks {
		text := c.Name + ": " + c.Detail
		switch c.Result {
		case Pass, Note, Skip:
		case Hold:
			holds = append(holds, text)
			if verdict == Pass {
				verdict = Hold
			}
		case Fail:
			verdict, reasons = Fail, append(reasons, text)
		default:
			verdict, reasons = Fail, append(reasons, fmt.Sprintf("%s: unknown result %q", c.Name, c.Result))
		}
	}
	return verdict, append(reasons, holds...)
}

// CheckStatus compares the body of status.php with the version planned. Behind
// the private door and after opening alike, maintenance must be off.
func CheckStatus(want Version, code int, body []byte) Check {
	c := Check{Name: "status", Result: Fail}
	if code != 200 {
		c.Detail = fmt.Sprintf("status.php answers HTTP %d, expected 200: %s", code, firstLine(body))
		return c
	}
	s, err := ParseStatus(body)
	switch {
	case err != nil:
		c.Detail = err.Error()
	case !s.Installed:
		c.Detail = "status.php says that nothing is installed"
	case !s.Version.SameRelease(want) || want[3] != 0 && s.Version != want:
		c.Detail = fmt.Sprintf("status.php says version %s, expected %s", s.Version.Long(), want)
	case s.NeedsDBUpgrade:
		c.Detail = "status.php says that a database upgrade is still needed"
	case s.Maintenance:
		c.Detail = "status.php says maintenance mode"
	default:
		c.Result, c.Detail = Pass, s.Version.Long()
	}
	return c
}

var (
	assetLink = regexp.MustCompile(`(?i)<(?:link|script)\b[^>]*?\b(?:href|src)="([^"]+)"`)
	loginMark = regexp.MustCompile(`(?i)id="login"|id="body-login"|name="requesttoken"|data-requesttoken=|initial-state-core-loginUsername`)
	errorMark = regexp.MustCompile(`(?i)Internal Server Error|class="error error-wide"|Update needed|id="upgrade"|Access through untrusted domain`)
)

// CheckLogin judges the login page itself.
func CheckLogin(code int, body []byte) Check {
	c := Check{Name: "login", Result: Fail}
	switch m := errorMark.Find(body); {
	case code != 200:
		c.Detail = fmt.Sprintf("the login page answers HTTP %d, expected 200: %s", code, pageTitle(body))
	case m != nil:
		c.Detail = fmt.Sprintf("the login page is an error page: %q", m)
	case !loginMark.Match(body):
		c.Detail = fmt.Sprintf("what is at /index.php/login is no login page: %s", pageTitle(body))
	default:
		c.Result, c.Detail = Pass, "HTTP 200"
	}
	return c
}

var titleText = regexp.MustCompile(`(?is)<title>(.*?)</title>`)

func pageTitle(body []byte) string {
	if m := titleText.FindSubmatch(body); m != nil {
		return strings.Join(strings.Fields(html.UnescapeString(string(m[1]))), " ")
	}
	return firstLine(body)
}

// LoginAssets lists the style sheets and scripts of a page that lie on the
// site itself, as path and query, sorted, each once; at most limit.
func LoginAssets(body []byte, host string, limit int) []string {
	seen := map[string]bool{}
	var out []string
	for _, m := range assetLink.FindAllSubmatch(body, -1) {
		u, err := url.Parse(html.UnescapeString(string(m[1])))
		if err != nil || u.Scheme == "data" || u.Host != "" && u.Host != host {
			continue
		}
		if ext := u.Path; !strings.HasSuffix(ext, ".css") && !strings.HasSuffix(ext, ".js") && !strings.HasSuffix(ext, ".mjs") {
			continue
		}
		p := u.RequestURI()
		if !strings.HasPrefix(p, "/") || seen[p] {
			continue
		}
		seen[p] = true
		out = append(out, p)
	}
	sort.Strings(out)
	if len(out) > limit {
		out = out[:limit]
	}
	return out
}

// CheckApps compares the enabled apps with those that must be.
func CheckApps(want, mayBeDisabled []string, found AppList) Check {
	may := map[string]bool{}
	for _, id := range mayBeDisabled {
		may[id] = true
	}
	var lost, gone []string
	for _, id := range want {
		if _, ok := found.Enabled[id]; ok {
			continue
		}
		if _, there := found.Disabled[id]; there {
			if !may[id] {
				lost = append(lost, id)
			}
			continue
		}
		// Not listed at all: its files are missing, or the release has it no more.
		if !may[id] {
			gone = append(gone, id)
		}
	}
	sort.Strings(lost)
	sort.Strings(gone)
	c := Check{Name: "apps", Result: Pass, Detail: fmt.Sprintf("%d of %d enabled", len(want)-len(lost)-len(gone), len(want))}
	if len(lost)+len(gone) > 0 {
		c.Result = Fail
		c.Detail = "not enabled any more:" + list(" disabled ", lost) + list(" missing ", gone)
	}
	return c
}

func list(what string, ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return what + strings.Join(ids, ", ") + ";"
}
