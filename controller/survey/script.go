package survey

import (
	_ "embed"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

//go:embed frame.sh
var frameSh string

//go:embed host.sh
var hostSh string

//go:embed web.sh
var webSh string

//go:embed updaters.sh
var updatersSh string

//go:embed instance.sh
var instanceSh string

//go:embed facts.php
var factsPHP string

const (
	// partsLimit bounds the survey's own parts on a host, instanceLimit adds
	// what each instance may take when everything about it hangs: four parts
	// run at once, each within its limit in frame.sh.
	partsLimit    = 4 * time.Minute
	instanceLimit = 2 * time.Minute
	// factsLimit bounds the PHP that reads an instance's configuration. It is
	// less than the limit of its part in frame.sh.
	factsLimit = 25 * time.Second
	// probeLimit bounds one probe of a package driver that names no limit.
	probeLimit = 2 * time.Minute
	// probesLimit bounds all probes of one host together.
	probesLimit = 10 * time.Minute
)

// command is the one remote command of a survey.
func command(r Request, probes []driver.Command) driver.Command {
	argv := []string{"sh", "-s", "--", "--state", r.Host.StateDir}
	limit := partsLimit + time.Duration(len(r.Host.Instances))*instanceLimit
	if len(probes) > 0 {
		all := probesTime(probes)
		argv = append(argv, "--probes", strconv.Itoa(len(probes)), seconds(all))
		limit += all
	}
	if r.SetupChecks {
		argv = append(argv, "--setupchecks")
	}
	if r.AppStore {
		argv = append(argv, "--appstore")
	}
	if r.Shops {
		argv = append(argv, "--shops")
	}
	if r.Indices {
		argv = append(argv, "--indices")
	}
	for _, in := range r.Host.Instances {
		argv = append(argv, "--instance", in.Path, in.WebUser, in.PHP)
	}
	for _, p := range r.Paths {
		argv = append(argv, "--path", p)
	}
	for _, u := range remoteURLs(r.Downloads) {
		argv = append(argv, "--url", u)
	}
	return driver.Command{Argv: argv, Stdin: script(probes), User: "root", Timeout: limit}
}

// script is what is sent on standard input. Everything is inside functions
// until the last line, so that no command of it can eat the rest.
func script(probes []driver.Command) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "FACTS_LIMIT=%s\nFACTS_PHP=", seconds(factsLimit))
	b.WriteString(nextcloud.Quote(strings.TrimPrefix(factsPHP, "<?php\n")))
	b.WriteByte('\n')
	for i, p := range probes {
		writeProbe(&b, i, p)
	}
	b.WriteString(hostSh)
	b.WriteString(webSh)
	b.WriteString(updatersSh)
	b.WriteString(instanceSh)
	b.WriteString(frameSh)
	b.WriteString("main \"$@\" </dev/null\nexit $?\n")
	return []byte(b.String())
}

// writeProbe writes the shell function of one probe. Its environment and its
// input are in the script and so in no process's arguments.
func writeProbe(b *strings.Builder, i int, p driver.Command) {
	fmt.Fprintf(b, "probe_%d() (\n", i)
	if p.Dir != "" {
		fmt.Fprintf(b, "cd %s || exit 126\n", nextcloud.Quote(p.Dir))
	} else {
		b.WriteString("cd / || exit 126\n")
	}
	names := make([]string, 0, len(p.Env))
	for k := range p.Env {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		if shellName(k) {
			fmt.Fprintf(b, "%s=%s; export %s\n", k, nextcloud.Quote(p.Env[k]), k)
		}
	}
	input := ""
	if len(p.Stdin) > 0 {
		fmt.Fprintf(b, "printf '%%s' %s >\"$T/.stdin-%d\"\n", nextcloud.Quote(string(p.Stdin)), i)
		input = fmt.Sprintf(" <\"$T/.stdin-%d\"", i)
	}
	fmt.Fprintf(b, "within %s %s%s\n)\n", seconds(probeTime(p)), nextcloud.QuoteArgv(p.Argv), input)
}

func shellName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func probeTime(p driver.Command) time.Duration {
	if p.Timeout <= 0 {
		return probeLimit
	}
	return min(p.Timeout, probesLimit)
}

func probesTime(probes []driver.Command) time.Duration {
	all := 10 * time.Second
	for _, p := range probes {
		all += probeTime(p)
	}
	return min(all, probesLimit)
}

// seconds rounds up, to at least 1.
func seconds(d time.Duration) string {
	return strconv.FormatInt(max(1, int64((d+time.Second-1)/time.Second)), 10)
}

// remoteURLs keeps what a host must fetch over a network. A folder or a file
// URL is read by the controller and sent.
func remoteURLs(all []string) []string {
	var out []string
	for _, u := range all {
		if strings.HasPrefix(u, "https://") || strings.HasPrefix(u, "http://") {
			out = append(out, u)
		}
	}
	return out
}
