package executor

import (
	"context"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/controller/plan"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// TestPackagesWhy has what the package managers really print.
func TestPackagesWhy(t *testing.T) {
	for _, tc := range []struct{ output, want string }{
		{"E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 207 (apt-get)\nN: Be aware that removing the lock file is not a solution and may break your system.\nE: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?\n",
			"still locked by process 207 (apt-get)"},
		{"Waiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 207 (apt-get)...\ndpkg: error processing package lab-bad (--configure):\n installed lab-bad package post-installation script subprocess returned error exit status 1\nErrors were encountered while processing:\n lab-bad\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n",
			"package lab-bad failed (--configure)"},
		{"Waiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 206 (dpkg)...\nWaiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 207 (unattended-upgr)...\nE: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?\n",
			"still locked by process 207 (unattended-upgr)"},
		{"dpkg: error: dpkg frontend lock was locked by another process with pid 207\n", "still locked by process 207"},
		{"System management is locked by the application with pid 411 (zypper).\nClose this application before trying again.\n", "still locked by process 411 (zypper)"},
		{"RPMDB already locked by 132\n  The application with PID 132 is: python3\n", "still locked by process 132"},
		{"error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)\n", "still locked by another process (can't create transaction lock on /var/lib/rpm/.rpm.lock)"},
		{"ERROR: Unable to lock database: Resource temporarily unavailable\nERROR: Failed to open apk database: Resource temporarily unavailable\n", "still locked by another process (Resource temporarily unavailable)"},
		{"E: Version '2.0' for 'lab-plain' was not found\n", "no longer offers version 2.0 of lab-plain"},
		{"E: Unable to locate package nosuchpkg\n", "no longer offers nosuchpkg"},
		{"E: Failed to fetch http://deb.debian.org/debian/pool/main/o/openssl/openssl_3.0.15-1_amd64.deb  404  Not Found [IP: 151.101.2.132 80]\nE: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?\n",
			"no longer offers http://deb.debian.org/debian/pool/main/o/openssl/openssl_3.0.15-1_amd64.deb"},
		{"E: Failed to fetch file:/srv/cur/pool/lab-plain_2.0_all.deb  File not found - /srv/cur/pool/lab-plain_2.0_all.deb (2: No such file or directory)\n", "no longer offers file:/srv/cur/pool/lab-plain_2.0_all.deb"},
		{"No match for argument: lab-plain-2.0-1.noarch\nError: Unable to find a match: lab-plain-2.0-1.noarch\n", "no longer offers lab-plain-2.0-1.noarch"},
		{"No provider of 'lab-plain = 2.0' found.\n", "no longer offers lab-plain = 2.0"},
		{"dpkg: error processing archive /var/cache/apt/archives/x.deb (--unpack):\n cannot copy extracted data: No space left on device\n", "/var/cache/apt/archives/x.deb failed (--unpack)"},
		{"E: You don't have enough free space in /var/cache/apt/archives/.\n", "You don't have enough free space in /var/cache/apt/archives/.: make room"},
		{"E: Packages need to be removed but remove is disabled.\n", "cannot be installed beside what is there"},
		{"E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. \n", "dpkg was interrupted"},
		{"Something else\n", ""},
	} {
		if got := packagesWhy(tc.output); !strings.Contains(got, tc.want) || tc.want == "" && got != "" {
			t.Errorf("%q\n got %q\nwant %q", tc.output, got, tc.want)
		}
	}
}

func packagesStep(manager, script string) plan.Step {
	return plan.Step{ID: "canary/cloud-07/packages", Kind: plan.KindPackages, Host: "cloud-07", Driver: manager, Timeout: 60e9,
		Commands: []driver.Command{{Argv: []string{"sh", "-c", script}, User: "root"}}}
}

// TestPackagesFailTellingly: the outcome names the cause, not the last line.
func TestPackagesFailTellingly(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ script, want string }{
		"lock":      {`echo "E: Could not get lock /x. It is held by process 9 (apt-get)" >&2; echo "E: Unable to acquire the lock" >&2; exit 100`, "still locked by process 9 (apt-get)"},
		"own words": {`echo "ncfleet: error the driver's own words"; echo "E: something" >&2; exit 1`, "the driver's own words"},
		"unknown":   {`echo "it went wrong" >&2; exit 3`, "exit status 3: it went wrong"},
	} {
		b := newBench(t)
		o := b.exec.Perform(context.Background(), b.plan, b.target, packagesStep("apt", tc.script), b.memory)
		if o.Status != Failed || !strings.Contains(o.Detail, tc.want) {
			t.Errorf("%s: %s: %q, want %q", name, o.Status, o.Detail, tc.want)
		}
	}
}

// TestPackagesReadFromTheState: dnf ends with 0 though a scriptlet failed; what
// is still pending says so.
func TestPackagesReadFromTheState(t *testing.T) {
	t.Parallel()
	pending := func(broken []string, list ...driver.PackageChange) plan.Facts {
		return plan.Facts{Packages: &driver.PackageFacts{Pending: list, Broken: broken}}
	}
	for name, tc := range map[string]struct {
		facts  plan.Facts
		status Status
		want   string
	}{
		"done":          {pending(nil, driver.PackageChange{Name: "other", From: "1", To: "2"}), Succeeded, ""},
		"newer since":   {pending(nil, driver.PackageChange{Name: "lab-plain", From: "2.0-1", To: "3.0-1"}), Succeeded, ""},
		"not done":      {pending(nil, driver.PackageChange{Name: "lab-plain", From: "1.0-1", To: "2.0-1"}), Failed, "lab-plain is 1.0-1, planned 2.0-1"},
		"not installed": {pending(nil, driver.PackageChange{Name: "lab-plain", To: "2.0-1"}), Failed, "lab-plain is not installed, planned 2.0-1"},
		"broken":        {pending([]string{"lab-bad"}), Failed, "half installed: lab-bad"},
		"unreadable":    {plan.Facts{Problems: []string{"packages: no answer"}}, Failed, "packages: no answer"},
		"unreachable":   {plan.Facts{Unreachable: "no route"}, Failed, "no route"},
	} {
		b := newBench(t)
		b.exec.Surveyor = surveyed(tc.facts)
		b.target.Expect.PackagesTo = map[string]string{"lab-plain": "2.0-1"}
		o := b.exec.Perform(context.Background(), b.plan, b.target, packagesStep("dnf", "true"), b.memory)
		if o.Status != tc.status || !strings.Contains(o.Detail, tc.want) {
			t.Errorf("%s: %s: %q, want %s with %q", name, o.Status, o.Detail, tc.status, tc.want)
		}
	}
}

// TestPackagesTellStaleServices: what a command reports reaches the operator.
func TestPackagesTellStaleServices(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.exec.Perform(context.Background(), b.plan, b.target, packagesStep("apt", `echo "ncfleet: degraded still running old code: nginx.service"`), b.memory)
	if o.Status != Succeeded || o.Detail != "done, but: still running old code: nginx.service" {
		t.Errorf("%s: %q", o.Status, o.Detail)
	}
}
