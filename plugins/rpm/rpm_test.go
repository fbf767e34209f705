package rpm

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/products"
)

func ExampleSplitNEVRA() {
	p, ok := SplitNEVRA("openssl-libs-1:3.0.7-28.el9_4.x86_64")
	fmt.Println(p.Name, p.EVR, p.Arch, ok)
	// Output: openssl-libs 1:3.0.7-28.el9_4 x86_64 true
}

func TestSplitNEVRA(t *testing.T) {
	for _, text := range []string{"", "x", "x.y", "a-1.noarch", "-1-1.noarch", "$(x)-1-1.noarch", "LAB-2026:0001", "Important/Sec."} {
		if p, ok := SplitNEVRA(text); ok {
			t.Errorf("%q is no package, got %+v", text, p)
		}
	}
	if p, ok := SplitNEVRA("java-1.8.0-openjdk-0:1.8.0.422.b05-2.el9.x86_64"); !ok || p.Name != "java-1.8.0-openjdk" || p.EVR != "1.8.0.422.b05-2.el9" {
		t.Errorf("%+v, %v", p, ok)
	}
}

func TestCompare(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"1.0-1", "1.0-1", 0}, {"1.0-1", "1.0-2", -1}, {"1.10-1", "1.9-1", 1}, {"1:1.0-1", "2.0-1", 1}, {"0:1.0-1", "1.0-1", 0},
		{"1.0~rc1-1", "1.0-1", -1}, {"1.0^git1-1", "1.0-1", 1}, {"1.0-1.el9", "1.0-1.el9_4", -1}, {"5.14.0-70.el9", "5.14.0-427.el9", -1},
	} {
		if got := Compare(tc.a, tc.b); got != tc.want {
			t.Errorf("Compare(%s, %s) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}

func TestWords(t *testing.T) {
	words, fresh, err := Words(driver.Selection{Changes: []driver.PackageChange{
		{Name: "php", From: "8.2.1-1", To: "8.2.2-1", Change: driver.ChangeUpdate},
		{Name: "glibc:i686", From: "2.34-1", To: "1:2.34-2.el9", Change: driver.ChangeUpdate},
		{Name: "new", To: "1-1", Change: driver.ChangeInstall},
		{Name: "held", From: "1-1", To: "2-1", Change: driver.ChangeUpdate, Held: true},
	}})
	if err != nil || !slices.Equal(words, []string{"glibc:i686=1:2.34-2.el9", "new=1-1", "php=8.2.2-1"}) || !slices.Equal(fresh, []string{"new"}) {
		t.Errorf("%q, %q, %v", words, fresh, err)
	}
	var many []driver.PackageChange
	for i := range 6000 {
		many = append(many, driver.PackageChange{Name: fmt.Sprintf("a-package-%05d", i), From: "1-1", To: "2-1", Change: driver.ChangeUpdate})
	}
	for name, changes := range map[string][]driver.PackageChange{
		"too many":         many,
		"twice":            {{Name: "a", From: "1-1", To: "2-1", Change: driver.ChangeUpdate}, {Name: "a", From: "1-1", To: "3-1", Change: driver.ChangeUpdate}},
		"no release":       {{Name: "a", From: "1-1", To: "2", Change: driver.ChangeUpdate}},
		"an option":        {{Name: "--setopt=x", From: "1-1", To: "2-1", Change: driver.ChangeUpdate}},
		"a command":        {{Name: "a", From: "1-1", To: "2-$(id)", Change: driver.ChangeUpdate}},
		"a wildcard":       {{Name: "a*", From: "1-1", To: "2-1", Change: driver.ChangeUpdate}},
		"a removal":        {{Name: "a", From: "1-1", Change: driver.ChangeRemove}},
		"an unknown class": {{Name: "a", From: "1-1", To: "2-1", Change: "swap"}},
	} {
		if _, _, err := Words(driver.Selection{Changes: changes}); driver.ClassOf(err) != driver.Permanent {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
}

func installed(t *testing.T, lines ...string) Installed {
	t.Helper()
	in, err := ReadInstalled(driver.Result{Stdout: []byte(strings.ReplaceAll(strings.Join(lines, "\n"), " ", "\t") + "\n")})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestReadInstalled(t *testing.T) {
	in := installed(t, "php 8.2.1-1 x86_64", "gpg-pubkey 1-1 (none)", "nonsense", "lab 0:1-1 noarch")
	if want := map[string]string{"php": "8.2.1-1", "lab": "1-1"}; !reflect.DeepEqual(in.Versions(), want) {
		t.Errorf("%v", in.Versions())
	}
	for _, r := range []driver.Result{{}, {Exit: 1, Stdout: []byte("php\t8-1\tnoarch\n")}, {Stdout: []byte("rpm: not found\n")}} {
		if _, err := ReadInstalled(r); driver.ClassOf(err) != driver.Permanent {
			t.Errorf("%+v: %v, want an error", r, err)
		}
	}
}

func TestTwice(t *testing.T) {
	in := installed(t, "a 1-1 noarch", "a 2-1 noarch", "glibc 2-1 i686", "glibc 2-1 x86_64", "kernel-core 5-1 x86_64", "kernel-core 6-1 x86_64", "nvidia-kmp-default 1-1 x86_64", "nvidia-kmp-default 2-1 x86_64")
	if got := in.Twice(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("%q", got)
	}
}

func TestNewerKernel(t *testing.T) {
	el := installed(t, "kernel-core 5.14.0-427.el9 x86_64", "kernel-core 5.14.0-503.11.1.el9_5 x86_64")
	suse := installed(t, "kernel-default 6.4.0-150600.23.25.1 x86_64", "kernel-default 6.4.0-150600.23.30.1 x86_64", "kernel-core 9-1 x86_64")
	uek := installed(t, "kernel-core 5.14.0-503.el9 x86_64", "kernel-uek-core 5.15.0-300.163.18.el9uek x86_64")
	for _, tc := range []struct {
		in            Installed
		running, want string
	}{
		{el, "5.14.0-427.el9.x86_64", "5.14.0-503.11.1.el9_5"},
		{el, "5.14.0-503.11.1.el9_5.x86_64", ""},
		{el, "6.1.0-18-amd64", ""},
		{el, "", ""},
		{suse, "6.4.0-150600.23.25-default", "6.4.0-150600.23.30.1"},
		{suse, "6.4.0-150600.23.30-default", ""},
		{uek, "5.15.0-300.163.18.el9uek.x86_64", ""},
		{uek, "5.15.0-200.1.1.el9uek.x86_64", "5.15.0-300.163.18.el9uek"},
		{uek, "5.14.0-503.el9.x86_64", ""},
	} {
		if got := tc.in.NewerKernel(tc.running); got != tc.want {
			t.Errorf("running %s: %q, want %q", tc.running, got, tc.want)
		}
	}
}

func TestReadHost(t *testing.T) {
	h := ReadHost(driver.Result{Stdout: []byte("lock 12 packagekitd\nlock 13 dnf\nreboot /run/reboot-needed\nkernel 6.4.0-1-default\nsystem opensuse-leap 15.6\nend\n")})
	if want := (Host{Lock: "packagekitd (process 12)", Reboot: true, Kernel: "6.4.0-1-default", ID: "opensuse-leap", Version: "15.6"}); h != want {
		t.Errorf("%+v", h)
	}
	if h := ReadHost(driver.Result{Stdout: []byte("kernel x\n")}); h.Problem == "" {
		t.Error("a probe without an end is no answer")
	}
}

func TestPending(t *testing.T) {
	v := View{
		Installed: installed(t, "glibc 2.34-1 x86_64", "glibc 2.34-1 i686", "php 8.2.1-1 x86_64", "tool 1-1 x86_64", "rocky-release 9.4-1 noarch", "gone 1-1 noarch", "kept 1-1 noarch"),
		Newer: []Package{{"glibc", "2.34-2", "x86_64"}, {"glibc", "2.34-2", "i686"}, {"php", "8.2.2-1", "x86_64"}, {"php", "8.2.3-1", "x86_64"}, {"php", "8.3.1-1", "x86_64"},
			{"tool", "2-1", "noarch"}, {"rocky-release", "9.5-1", "noarch"}, {"kept", "2-1", "noarch"}},
		Changes: []Package{{"glibc", "2.34-2", "x86_64"}, {"glibc", "2.34-2", "i686"}, {"php", "8.3.1-1", "x86_64"}, {"tool", "2-1", "noarch"}, {"rocky-release", "9.5-1", "noarch"},
			{"php83-dep", "1-1", "noarch"}},
		Removed: map[string]string{"gone": "heir"}, Replacing: []Package{{"heir", "1-1", "noarch"}},
		Kept: map[string]string{"kept": "locked"}, Security: map[string]bool{"glibc": true},
	}
	got := map[string]driver.PackageChange{}
	for _, c := range v.Pending(products.Shipped(), nil) {
		got[c.Name] = c
	}
	for _, want := range []driver.PackageChange{
		{Name: "glibc:x86_64", From: "2.34-1", To: "2.34-2", Change: driver.ChangeUpdate, Security: true},
		{Name: "glibc:i686", From: "2.34-1", To: "2.34-2", Change: driver.ChangeUpdate, Security: true},
		{Name: "php", From: "8.2.1-1", To: "8.2.3-1", Change: driver.ChangeUpdate, Product: "php", Reason: "8.3.1-1 is an upgrade, done only when the rollout names php"},
		{Name: "tool", From: "1-1", To: "2-1", Change: driver.ChangeUpdate},
		{Name: "rocky-release", From: "9.4-1", To: "9.5-1", Change: driver.ChangeUpdate, Product: "os"},
		{Name: "kept", From: "1-1", To: "2-1", Change: driver.ChangeUpdate, Held: true, Reason: "locked"},
		{Name: "gone", From: "1-1", Change: driver.ChangeRemove, Held: true, Reason: "heir would replace it, and packages are never removed"},
		{Name: "heir", To: "1-1", Change: driver.ChangeInstall, Held: true, Reason: "it would replace an installed package, and packages are never removed"},
	} {
		if got[want.Name] != want {
			t.Errorf("%s\n got %+v\nwant %+v", want.Name, got[want.Name], want)
		}
	}
	for _, c := range v.Pending(products.Shipped(), []string{"php"}) {
		if c.Name == "php" && (c.To != "8.3.1-1" || c.Held) {
			t.Errorf("php is named: %+v", c)
		}
	}
}
