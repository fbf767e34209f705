//go:build unix

package rpc

import (
	"os"
	"strings"
	"testing"

	plugin "github.com/hashicorp/go-plugin"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// table is what a build speaks that knows these versions. Version 2 is made
// up; its messages are those of version 1.
func table(d driver.Driver, known ...int) map[int]plugin.PluginSet {
	t := map[int]plugin.PluginSet{}
	for _, v := range known {
		t[v] = versions(d)[driver.ProtocolVersion]
	}
	return t
}

// ServeVersions is a driver of another time, for the test binary's TestMain.
func ServeVersions(d driver.Driver, known string) {
	var list []int
	for _, digit := range known {
		list = append(list, int(digit-'0'))
	}
	serve(d, table(d, list...))
}

func TestVersionsAreNegotiated(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		controller []int
		driver     string
		speak      int
		says       string
	}{
		"a driver of the first version under a newer controller": {[]int{1, 2}, "1", 1, ""},
		"both of the next version":                               {[]int{1, 2}, "12", 2, ""},
		"a driver that also speaks the next one":                 {[]int{1}, "12", 1, ""},
		"a driver that is too new":                               {[]int{1}, "2", 0, "it speaks version 2 of the driver protocol and this ncfleet version 1; install a newer ncfleet, or an older release of the driver"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := start(t.Context(), Options{Name: "mirror", Path: self, Env: map[string]string{"SPEAKS": c.driver}}, table(nil, c.controller...))
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %v, want %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if got := p.plugin.NegotiatedVersion(); got != c.speak {
				t.Errorf("they speak version %d, want %d", got, c.speak)
			}
			if i, err := p.Driver().Info(t.Context()); err != nil || i.Name != "mirror" {
				t.Errorf("%+v, %v", i, err)
			}
			if err := p.Bind(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTooOldDriversAreTold(t *testing.T) {
	what, remedy := incompatible("incompatible API version with plugin. Plugin version: 1, Client versions: [2]", 2)
	if !strings.Contains(what, "version 1 ") || !strings.Contains(remedy, "newer release of the driver") {
		t.Errorf("%s; %s", what, remedy)
	}
}

// TestFirstDriver runs a driver that was built from the first release, named by
// NCFLEET_TEST_FIRST_DRIVER, under this controller with a version added.
func TestFirstDriver(t *testing.T) {
	path := os.Getenv("NCFLEET_TEST_FIRST_DRIVER")
	if path == "" {
		t.Skip("NCFLEET_TEST_FIRST_DRIVER names no driver that was built from the first release")
	}
	p, err := start(t.Context(), Options{Name: "first", Path: path}, table(nil, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	i, err := p.Driver().Info(t.Context())
	if err != nil || p.plugin.NegotiatedVersion() != 1 || p.Bind(t.Context()) != nil {
		t.Errorf("version %d, %+v, %v", p.plugin.NegotiatedVersion(), i, err)
	}
	t.Logf("%s: driver %q %s speaks version %d", path, i.Name, i.Version, p.plugin.NegotiatedVersion())
}
