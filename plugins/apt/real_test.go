package apt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// box is a Debian of its own below a directory: dpkg's database, apt's lists
// and a repository on disk. Compiled commands run in it unchanged; only the
// environment leads the tools there.
type box struct {
	t    *testing.T
	dir  string
	env  []string
	pool map[string][]string // control stanzas by suite
}

func newBox(t *testing.T) *box {
	t.Helper()
	for _, tool := range []string{"apt-get", "apt-mark", "dpkg", "dpkg-deb", "dpkg-query"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("installing packages, even below a directory, needs root")
	}
	b := &box{t: t, dir: t.TempDir(), pool: map[string][]string{}}
	// apt drops to its own user for downloads.
	for d := b.dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		b.must(os.Chmod(d, 0o755))
	}
	for _, d := range []string{"etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d",
		"var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "repo"} {
		b.must(os.MkdirAll(filepath.Join(b.dir, d), 0o755))
	}
	b.must(os.WriteFile(filepath.Join(b.dir, "var/lib/dpkg/status"), nil, 0o644))
	b.must(os.WriteFile(filepath.Join(b.dir, "var/lib/dpkg/available"), nil, 0o644))
	var sources strings.Builder
	for _, suite := range []string{"lab", "lab-security"} {
		fmt.Fprintf(&sources, "deb [trusted=yes] file:%s/repo %s main\n", b.dir, suite)
	}
	b.must(os.WriteFile(filepath.Join(b.dir, "etc/apt/sources.list"), []byte(sources.String()), 0o644))
	conf := fmt.Sprintf(`Dir %q; Dir::State::status "%s/var/lib/dpkg/status"; Dir::Bin::dpkg "/usr/bin/dpkg";
APT::Architecture "amd64"; APT::Sandbox::User "root"; Acquire::Languages "none"; DPkg::Options { "--root=%s"; "--force-not-root"; "--force-script-chrootless"; "--force-unsafe-io"; "--log=/dev/null"; };
APT::Update::Post-Invoke {}; DPkg::Post-Invoke {}; DPkg::Pre-Install-Pkgs {};
`, b.dir+"/", b.dir, b.dir)
	b.must(os.WriteFile(filepath.Join(b.dir, "apt.conf"), []byte(conf), 0o644))
	b.env = append(os.Environ(), "APT_CONFIG="+filepath.Join(b.dir, "apt.conf"), "DPKG_ROOT="+b.dir, "DPKG_ADMINDIR="+filepath.Join(b.dir, "var/lib/dpkg"))
	// A dpkg that a script calls must not touch this machine's log.
	b.must(os.MkdirAll(filepath.Join(b.dir, "bin"), 0o755))
	b.must(os.WriteFile(filepath.Join(b.dir, "bin/dpkg"), []byte("#!/bin/sh\nexec /usr/bin/dpkg --root="+b.dir+" --force-script-chrootless --log=/dev/null \"$@\"\n"), 0o755))
	b.env = append(b.env, "PATH="+filepath.Join(b.dir, "bin")+":"+os.Getenv("PATH"))
	return b
}

func (b *box) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// deb builds one package and puts it into a suite. files are added by name.
func (b *box) deb(suite, name, version, depends string, files map[string]string) {
	b.t.Helper()
	src := filepath.Join(b.dir, "build", name+"_"+version)
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Lab <lab@example.invalid>\nSection: misc\nPriority: optional\n", name, version)
	if depends != "" {
		control += "Depends: " + depends + "\n"
	}
	control += "Description: lab package\n"
	put := func(file, text string, mode os.FileMode) {
		p := filepath.Join(src, file)
		b.must(os.MkdirAll(filepath.Dir(p), 0o755))
		b.must(os.WriteFile(p, []byte(text), mode))
	}
	put("DEBIAN/control", control, 0o644)
	put("usr/share/"+name+"/version", version+"\n", 0o644)
	for file, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(file, "inst") {
			mode = 0o755
		}
		put(file, text, mode)
	}
	rel := filepath.Join("pool", suite, name+"_"+strings.ReplaceAll(version, ":", "%3a")+"_all.deb")
	out := filepath.Join(b.dir, "repo", rel)
	b.must(os.MkdirAll(filepath.Dir(out), 0o755))
	if text, err := exec.Command("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", src, out).CombinedOutput(); err != nil {
		b.t.Fatalf("dpkg-deb: %v: %s", err, text)
	}
	data, err := os.ReadFile(out)
	b.must(err)
	stanza := fmt.Sprintf("%sFilename: %s\nSize: %d\nSHA256: %x\n", control, rel, len(data), sha256.Sum256(data))
	b.pool[suite] = append(b.pool[suite], stanza)
}

// publish writes the indexes of both suites.
func (b *box) publish() {
	b.t.Helper()
	for suite, label := range map[string]string{"lab": "Lab", "lab-security": "Lab-Security"} {
		dir := filepath.Join(b.dir, "repo/dists", suite)
		b.must(os.MkdirAll(filepath.Join(dir, "main/binary-amd64"), 0o755))
		index := []byte(strings.Join(b.pool[suite], "\n"))
		b.must(os.WriteFile(filepath.Join(dir, "main/binary-amd64/Packages"), index, 0o644))
		release := fmt.Sprintf("Origin: Lab\nLabel: %s\nSuite: %s\nCodename: %s\nArchitectures: amd64 all\nComponents: main\nDate: %s\nSHA256:\n %x %d main/binary-amd64/Packages\n",
			label, suite, suite, time.Now().UTC().Format(time.RFC1123), sha256.Sum256(index), len(index))
		b.must(os.WriteFile(filepath.Join(dir, "Release"), []byte(release), 0o644))
	}
}

func (b *box) run(c driver.Command) driver.Result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	if own := filepath.Join(b.dir, "bin", c.Argv[0]); c.Argv[0] == "dpkg" {
		cmd.Path = own
	}
	cmd.Env = append([]string{}, b.env...)
	for k, v := range c.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Stdin = bytes.NewReader(c.Stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := driver.Result{Stdout: out.Bytes(), Stderr: errs.Bytes()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.Exit = exit.ExitCode()
	} else if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *box) apt(args ...string) {
	b.t.Helper()
	r := b.run(driver.Command{Argv: append([]string{"apt-get", "-y", "-q"}, args...), Env: map[string]string{"DEBIAN_FRONTEND": "noninteractive"}})
	if r.Exit != 0 {
		b.t.Fatalf("apt-get %q: exit %d\n%s%s", args, r.Exit, r.Stdout, r.Stderr)
	}
}

func (b *box) facts(pm driver.PackageManager, req driver.ProbeRequest) driver.PackageFacts {
	b.t.Helper()
	probes, err := pm.Probes(b.t.Context(), req)
	b.must(err)
	var results []driver.Result
	for _, c := range probes {
		results = append(results, b.run(c))
	}
	f, err := pm.Facts(b.t.Context(), req, results)
	b.must(err)
	return f
}

func (b *box) version(name string) string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "usr/share", name, "version"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// conf is a package with a configuration file; the text differs by version.
func conf(version string) map[string]string {
	return map[string]string{"etc/lab.conf": "setting=" + version + "\n", "DEBIAN/conffiles": "/etc/lab.conf\n"}
}

// populated is a box with everything of the first version installed and newer
// versions published.
func populated(t *testing.T) *box {
	b := newBox(t)
	for _, name := range []string{"lab-plain", "lab-sec", "lab-held", "lab-kept", "lab-kernel", "lab-blocked", "lab-rival"} {
		b.deb("lab", name, "1.0", "", nil)
	}
	b.deb("lab", "lab-conf", "1.0", "", conf("1.0"))
	b.deb("lab", "mariadb-server", "1:10.11.6-0+deb12u1", "", nil)
	b.deb("lab", "php", "2:8.2+93", "php8.2", nil)
	b.deb("lab", "php8.2", "8.2.1-1", "", nil)
	b.publish()
	b.apt("update")
	b.apt("install", "lab-plain", "lab-sec", "lab-held", "lab-kept", "lab-kernel", "lab-blocked", "lab-rival", "lab-conf", "mariadb-server", "php")
	for _, name := range []string{"lab-plain", "lab-held"} {
		b.deb("lab", name, "2.0", "", nil)
	}
	b.deb("lab", "lab-kept", "2.0", "lab-newdep", nil)
	b.deb("lab", "lab-newdep", "1.0", "", nil)
	b.deb("lab", "lab-blocked", "2.0", "lab-blocker", nil)
	b.deb("lab", "lab-conf", "2.0", "", conf("2.0"))
	b.deb("lab", "mariadb-server", "1:11.4.2-1", "", nil)
	b.deb("lab", "php", "2:8.3+94", "php8.3", nil)
	b.deb("lab", "php8.3", "8.3.1-1", "", nil)
	b.deb("lab", "php8.2", "8.2.2-1", "", nil)
	b.deb("lab-security", "lab-sec", "1.0+deb12u1", "", nil)
	b.pool["lab"] = append(b.pool["lab"], strings.Replace(b.pool["lab"][0], "Package: lab-plain\nVersion: 1.0", "Package: lab-blocker\nVersion: 1.0\nBreaks: lab-rival", 1))
	b.publish()
	if r := b.run(driver.Command{Argv: []string{"apt-mark", "hold", "lab-held"}}); r.Exit != 0 {
		t.Fatalf("apt-mark hold: %s", r.Stderr)
	}
	return b
}

func byName(f driver.PackageFacts) map[string]driver.PackageChange {
	m := map[string]driver.PackageChange{}
	for _, c := range f.Pending {
		m[c.Name] = c
	}
	return m
}

func TestRealAptUpdates(t *testing.T) {
	b := populated(t)
	pm := New()
	f := b.facts(pm, driver.ProbeRequest{Refresh: true})
	if len(f.Problems) != 0 || len(f.Broken) != 0 || f.Lock != "" {
		t.Errorf("problems %q, broken %q, lock %q", f.Problems, f.Broken, f.Lock)
	}
	m := byName(f)
	for name, want := range map[string]driver.PackageChange{
		"lab-plain":      {From: "1.0", To: "2.0", Change: driver.ChangeUpdate},
		"lab-sec":        {From: "1.0", To: "1.0+deb12u1", Change: driver.ChangeUpdate, Security: true},
		"lab-held":       {From: "1.0", To: "2.0", Change: driver.ChangeUpdate, Held: true},
		"lab-kept":       {From: "1.0", To: "2.0", Change: driver.ChangeUpdate},
		"lab-newdep":     {To: "1.0", Change: driver.ChangeInstall, Held: true},
		"lab-blocked":    {From: "1.0", To: "2.0", Change: driver.ChangeUpdate, Held: true},
		"mariadb-server": {From: "1:10.11.6-0+deb12u1", To: "1:11.4.2-1", Change: driver.ChangeUpgrade, Product: "mariadb", Held: true},
		"php":            {From: "2:8.2+93", To: "2:8.3+94", Change: driver.ChangeUpgrade, Product: "php", Held: true},
		"php8.3":         {To: "8.3.1-1", Change: driver.ChangeUpgrade, Product: "php", Held: true},
		"php8.2":         {From: "8.2.1-1", To: "8.2.2-1", Change: driver.ChangeUpdate, Product: "php"},
	} {
		got := m[name]
		if got.Held != (got.Reason != "") && got.Change != driver.ChangeUpgrade {
			t.Errorf("%s: held %v with reason %q", name, got.Held, got.Reason)
		}
		want.Name, want.Reason = name, got.Reason
		if got != want {
			t.Errorf("%s\n got %+v\nwant %+v", name, got, want)
		}
	}
	// The operator changed a configuration file.
	b.must(os.WriteFile(filepath.Join(b.dir, "etc/lab.conf"), []byte("setting=mine\n"), 0o644))
	cmds, err := pm.Compile(t.Context(), driver.Selection{Changes: f.Pending})
	b.must(err)
	for _, c := range cmds.Stage {
		if r := b.run(c); r.Exit != 0 || b.version("lab-plain") != "1.0" {
			t.Fatalf("stage %q: %d\n%s%s", c.Argv, r.Exit, r.Stdout, r.Stderr)
		}
	}
	for range 2 {
		for _, c := range cmds.Apply {
			if r := b.run(c); r.Exit != 0 {
				t.Fatalf("apply %q: %d\n%s%s", c.Argv, r.Exit, r.Stdout, r.Stderr)
			}
		}
	}
	for name, want := range map[string]string{"lab-plain": "2.0", "lab-sec": "1.0+deb12u1", "lab-held": "1.0", "lab-kept": "2.0", "lab-newdep": "1.0",
		"lab-blocked": "1.0", "lab-rival": "1.0", "lab-conf": "2.0", "mariadb-server": "1:10.11.6-0+deb12u1", "php": "2:8.2+93", "php8.2": "8.2.2-1", "php8.3": ""} {
		if got := b.version(name); got != want {
			t.Errorf("%s is at %q, want %q", name, got, want)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(b.dir, "etc/lab.conf")); string(text) != "setting=mine\n" {
		t.Errorf("the configuration file has %q", text)
	}
	for _, c := range b.facts(pm, driver.ProbeRequest{}).Pending {
		if !c.Held {
			t.Errorf("still pending: %+v", c)
		}
	}
}

func TestRealAptUpgradeByName(t *testing.T) {
	b := populated(t)
	pm := New()
	f := b.facts(pm, driver.ProbeRequest{Refresh: true, Upgrades: []string{"php"}})
	m := byName(f)
	if m["php"].Held || m["php8.3"].Held || !m["mariadb-server"].Held {
		t.Fatalf("%+v", f.Pending)
	}
	cmds, err := pm.Compile(t.Context(), driver.Selection{Changes: []driver.PackageChange{m["php"], m["php8.3"]}})
	b.must(err)
	for _, c := range cmds.Apply {
		if r := b.run(c); r.Exit != 0 {
			t.Fatalf("apply %q: %d\n%s%s", c.Argv, r.Exit, r.Stdout, r.Stderr)
		}
	}
	if b.version("php") != "2:8.3+94" || b.version("php8.3") != "8.3.1-1" || b.version("mariadb-server") != "1:10.11.6-0+deb12u1" {
		t.Errorf("php %q, php8.3 %q, mariadb %q", b.version("php"), b.version("php8.3"), b.version("mariadb-server"))
	}
	auto := b.run(driver.Command{Argv: []string{"apt-mark", "showauto"}})
	if !strings.Contains(string(auto.Stdout), "php8.3\n") {
		t.Errorf("php8.3 counts as installed by hand: %q", auto.Stdout)
	}
}

func TestRealAptBrokenAndRepaired(t *testing.T) {
	b := newBox(t)
	b.deb("lab", "lab-bad", "1.0", "", nil)
	b.publish()
	b.apt("update")
	b.apt("install", "lab-bad")
	flag := filepath.Join(b.dir, "allow")
	b.deb("lab", "lab-bad", "2.0", "", map[string]string{"DEBIAN/postinst": "#!/bin/sh\ntest -e " + flag + "\n"})
	b.publish()
	pm := New()
	f := b.facts(pm, driver.ProbeRequest{Refresh: true})
	cmds, err := pm.Compile(t.Context(), driver.Selection{Changes: f.Pending})
	b.must(err)
	if r := b.run(cmds.Apply[0]); r.Exit == 0 {
		t.Fatalf("the failing postinst went unnoticed\n%s", r.Stdout)
	}
	if f := b.facts(pm, driver.ProbeRequest{}); len(f.Broken) != 1 || f.Broken[0] != "lab-bad" {
		t.Errorf("broken %q", f.Broken)
	}
	b.must(os.WriteFile(flag, nil, 0o644))
	for _, c := range cmds.Repair {
		if r := b.run(c); r.Exit != 0 {
			t.Fatalf("repair %q: %d\n%s%s", c.Argv, r.Exit, r.Stdout, r.Stderr)
		}
	}
	if f := b.facts(pm, driver.ProbeRequest{}); len(f.Broken) != 0 || len(f.Pending) != 0 {
		t.Errorf("after the repair: broken %q, pending %+v", f.Broken, f.Pending)
	}
}

func TestRealAptUnreachableRepository(t *testing.T) {
	b := newBox(t)
	b.deb("lab", "lab-plain", "1.0", "", nil)
	b.publish()
	b.apt("update")
	b.apt("install", "lab-plain")
	b.must(os.Rename(filepath.Join(b.dir, "repo"), filepath.Join(b.dir, "gone")))
	f := b.facts(New(), driver.ProbeRequest{Refresh: true})
	if len(f.Problems) == 0 || !strings.Contains(f.Problems[0], "cannot be renewed") {
		t.Errorf("problems %q", f.Problems)
	}
}

func TestRealAptLock(t *testing.T) {
	b := newBox(t)
	b.deb("lab", "lab-plain", "1.0", "", nil)
	b.publish()
	b.apt("update")
	b.apt("install", "lab-plain")
	lock, err := os.OpenFile(filepath.Join(b.dir, "var/lib/dpkg/lock-frontend"), os.O_RDWR|os.O_CREATE, 0o640)
	b.must(err)
	defer lock.Close()
	b.must(lockFile(lock))
	f := b.facts(New(), driver.ProbeRequest{})
	if !strings.Contains(f.Lock, fmt.Sprint(os.Getpid())) {
		t.Errorf("lock holder %q, want process %d", f.Lock, os.Getpid())
	}
}
