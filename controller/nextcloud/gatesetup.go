package nextcloud

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
)

// publicChecks are setup checks whose errors say nothing while the site is
// closed: they ask it over its public address and find the maintenance page,
// or they measure the time since background jobs ran, which are paused.
var publicChecks = []string{
	"WebdavEndpoint", "WellKnownUrls", "DataDirectoryProtected", "JavaScriptModules", "JavaScriptSourceMaps",
	"OcxProviders", "Woff2Loading", "SecurityHeaders", "InternetConnectivity", "ForwardedForHeaders",
	"CronInfo", "CronErrors", "HttpsUrlGeneration", "CheckUserCertificates", "PushService", "AllowedAdminRanges",
}

// CheckSetup compares setup checks (class → severity) with those of before. A
// new error holds, a new warning is a note. Without a baseline nothing is new.
func CheckSetup(before, after map[string]string, ignore []string) Check {
	c := Check{Name: "setup checks", Result: Pass}
	var errors, warnings []string
	for _, class := range sortedKeys(after) {
		now, was := after[class], before[class]
		if before == nil || now == was || named(class, ignore) {
			continue
		}
		switch {
		case now == "error" && !named(class, publicChecks):
			errors = append(errors, class)
		case now == "error" || now == "warning" && was != "error":
			warnings = append(warnings, class)
		}
	}
	c.Detail = fmt.Sprintf("%d checks, none worse than before", len(after))
	switch {
	case len(errors) > 0:
		c.Result, c.Detail = Hold, "new errors: "+strings.Join(errors, ", ")
	case len(warnings) > 0:
		c.Result, c.Detail = Note, "new warnings: "+strings.Join(warnings, ", ")
	case before == nil:
		c.Result, c.Detail = Note, fmt.Sprintf("%d checks, nothing known of before to compare with", len(after))
	}
	return c
}

// named reports whether a class is in the list, by its full or its last name.
func named(class string, names []string) bool {
	short := class[strings.LastIndexByte(class, '\\')+1:]
	for _, n := range names {
		if n == class || n == short {
			return true
		}
	}
	return false
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

var (
	logLevel     = regexp.MustCompile(`"level":([0-4])`)
	logApp       = regexp.MustCompile(`"app":"((?:[^"\\]|\\.)*)"`)
	logMessage   = regexp.MustCompile(`"message":"((?:[^"\\]|\\.)*)`)
	logException = regexp.MustCompile(`"exception_class":"((?:[^"\\]|\\.)*)"`)
	logAgent     = regexp.MustCompile(`"userAgent":"((?:[^"\\]|\\.)*)"`)
)

// GateUserAgent marks the gate's own requests in logs.
const GateUserAgent = "ncfleet-gate"

// CheckLog judges entries of nextcloud.log in the form in which gate.sh passes
// them on. A fatal entry since the site was closed holds; so does an error
// with an exception that one of the gate's own requests provoked. What occ
// logs beside, that the internet cannot be reached say, is a note.
func CheckLog(sinceClose, duringGate []byte) Check {
	c := Check{Name: "log", Result: Pass, Detail: "no fatal entry since the site was closed"}
	var bad []string
	errors := 0
	for _, line := range strings.Split(string(sinceClose), "\n") {
		if level(line) == "4" {
			bad = append(bad, "fatal: "+entry(line))
		} else if level(line) == "3" {
			errors++
		}
	}
	for _, line := range strings.Split(string(duringGate), "\n") {
		if level(line) == "3" && logException.MatchString(line) && agent(line) == GateUserAgent {
			bad = append(bad, "error: "+entry(line))
		}
	}
	switch {
	case len(bad) > 0:
		c.Result = Hold
		c.Detail = strings.Join(firstFew(bad, 3), "; ")
		if n := len(bad) - 3; n > 0 {
			c.Detail += fmt.Sprintf("; and %d more", n)
		}
	case errors > 0:
		c.Result, c.Detail = Note, fmt.Sprintf("%d errors without a failure in the log since the site was closed", errors)
	}
	return c
}

func level(line string) string {
	if m := logLevel.FindStringSubmatch(line); m != nil {
		return m[1]
	}
	return ""
}

func agent(line string) string {
	if m := logAgent.FindStringSubmatch(line); m != nil {
		return m[1]
	}
	return ""
}

func entry(line string) string {
	text := ""
	for _, re := range []*regexp.Regexp{logApp, logException, logMessage} {
		if m := re.FindStringSubmatch(line); m != nil && m[1] != "" {
			if text != "" {
				text += ", "
			}
			text += strings.ReplaceAll(m[1], `\\`, `\`)
		}
	}
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}

func firstFew(list []string, n int) []string {
	if len(list) > n {
		return list[:n]
	}
	return list
}
