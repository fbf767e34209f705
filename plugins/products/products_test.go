package products

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

func ExampleTable_ProductOf() {
	t := Shipped()
	fmt.Println(t.ProductOf("mariadb-server", "1:10.11.6-0+deb12u1"))
	fmt.Println(t.ProductOf("php82-php-fpm", "8.2.20-1.el9.remi"))
	fmt.Println(t.ProductOf("postgresql16-server", "16.4-150600.16.5.1"))
	// Output:
	// mariadb 10.11
	// php 8.2
	// postgresql 16
}

// TestNames has, for each family of distributions, the names its packages have.
func TestNames(t *testing.T) {
	for _, tc := range []struct{ name, version, product, major string }{
		// Debian, Ubuntu
		{"mariadb-server", "1:10.11.6-0+deb12u1", "mariadb", "10.11"},
		{"mariadb-server-core-10.5", "1:10.5.1-1", "mariadb", "10.5"},
		{"mariadb-client:amd64", "1:11.4.2-1", "mariadb", "11.4"},
		{"mysql-server-core-8.0", "8.0.39-0ubuntu0.24.04.2", "mysql", "8.0"},
		{"mysql-common", "5.8+1.1.0", "", ""},
		{"default-mysql-server", "1.1.0", "", ""},
		{"postgresql", "15+248", "postgresql", "15"},
		{"postgresql-client-16", "16.4-1", "postgresql", "16"},
		{"postgresql-plpython3-16", "16.4-1", "postgresql", "16"},
		{"postgresql-15-cron", "1.6.2-1", "postgresql", "15"},
		{"postgresql-9.6", "9.6.24-1", "postgresql", "9.6"},
		{"postgresql-common", "248", "", ""},
		{"postgresql-client-common", "248", "", ""},
		{"php", "2:8.2+93", "php", "8.2"},
		{"php8.2-fpm", "8.2.24-1~deb12u1", "php", "8.2"},
		{"php8.2-redis", "6.0.2-1", "php", "8.2"},
		{"libapache2-mod-php8.3", "8.3.6-0ubuntu0.24.04.5", "php", "8.3"},
		{"php-redis", "5.3.7", "", ""},
		{"php-common", "2:93", "php", ""},
		{"redis-server", "5:7.0.15-1~deb12u1", "redis", "7"},
		{"nodejs", "20.1.0", "nodejs", "20"},
		{"base-files", "12.4+deb12u11", OS, "12"},
		{"ubuntu-release-upgrader-core", "1:24.04.26", OS, "24.04"},
		{"coolwsd", "24.04.10.1-1", "collabora", "24.04"},
		// Fedora, Enterprise Linux and third parties
		{"mariadb-server", "3:10.5.22-1.el9_2", "mariadb", "10.5"},
		{"mariadb-errmsg", "3:10.11.8-1.fc40", "mariadb", "10.11"},
		{"mariadb11.8-server", "3:11.8.1-1.fc42", "mariadb", "11.8"},
		{"MariaDB-server", "11.4.3-1.el9", "mariadb", "11.4"},
		{"mariadb-connector-c", "3.2.6-1.el9_0", "", ""},
		{"mysql-server", "8.0.36-1.el9_3", "mysql", "8.0"},
		{"mysql8.4-server", "8.4.2-1.fc41", "mysql", "8.4"},
		{"mysql-community-server", "8.0.39-1.el9", "mysql", "8.0"},
		{"percona-server-server", "8.0.37-29.1.el9", "mysql", "8.0"},
		{"postgresql-server", "15.6-1.module+el9.4.0+21252+b5f7b8a4", "postgresql", "15"},
		{"postgresql-private-libs", "13.14-1.el9_3", "postgresql", "13"},
		{"postgresql16-server", "16.4-1PGDG.rhel9", "postgresql", "16"},
		{"postgresql96-server", "9.6.24-1PGDG.rhel7", "postgresql", "9.6"},
		{"php", "8.0.30-1.el9_2", "php", "8.0"},
		{"php-mysqlnd", "8.1.27-1.module_el9.2.0+3267+37f4b2c4", "php", "8.1"},
		{"php-pecl-apcu", "5.1.23-1.el9", "", ""},
		{"php-pear", "1:1.10.14-1.el9", "", ""},
		{"php82-php-fpm", "8.2.20-1.el9.remi", "php", "8.2"},
		{"php82-php-pecl-apcu", "5.1.23-1.el9.remi", "php", "8.2"},
		{"php74u-fpm", "7.4.33-1.ius.el7", "php", "7.4"},
		{"valkey", "8.0.1-1.el9", "redis", "8"},
		{"redis6", "6.2.14-1.amzn2023", "redis", "6"},
		{"nodejs20", "1:20.12.2-1.amzn2023", "nodejs", "20"},
		{"rocky-release", "9.3-1.2.el9", OS, "9"},
		{"fedora-release", "40-39", OS, "40"},
		// SUSE
		{"php8", "8.2.20-150600.3.3.1", "php", "8.2"},
		{"php8-fpm", "8.0.30-150400.4.43.1", "php", "8.0"},
		{"php8-APCu", "5.1.22-bp156.3.1", "", ""},
		{"apache2-mod_php8", "8.2.20-150600.3.3.1", "php", "8.2"},
		{"mariadb", "10.11.9-150600.4.6.1", "mariadb", "10.11"},
		{"mariadb-errormessages", "10.11.9-1", "mariadb", "10.11"},
		{"mariadb104", "10.4.30-1", "mariadb", "10.4"},
		{"postgresql16", "16.4-150600.16.5.1", "postgresql", "16"},
		{"postgresql-server", "16-150600.15.2", "postgresql", "16"},
		{"redis7", "7.0.8-150600.8.3.1", "redis", "7"},
		{"Leap-release", "15.6-lp156.421.3", OS, "15.6"},
		{"openSUSE-release", "20240901-2843.1", OS, ""},
		// Alpine
		{"php82", "8.2.22-r0", "php", "8.2"},
		{"php83-pecl-apcu", "5.1.24-r0", "php", "8.3"},
		{"php82-fpm", "8.2.22-r0", "php", "8.2"},
		{"postgresql15-client", "15.8-r0", "postgresql", "15"},
		{"mariadb-client", "10.11.8-r0", "mariadb", "10.11"},
		{"valkey-cli", "7.2.7-r0", "redis", "7"},
		{"alpine-release", "3.20.3-r0", OS, "3.20"},
		// not products
		{"openssl", "3.0.15-1~deb12u1", "", ""},
		{"linux-image-amd64", "6.1.90-1", "", ""},
		{"kernel-core", "5.14.0-427.el9", "", ""},
		{"nginx", "1.22.1-9", "", ""},
		{"httpd", "2.4.57-8.el9", "", ""},
		{"phpmyadmin", "4:5.2.1", "", ""},
		{"redis-exporter", "1.0", "", ""},
	} {
		product, major := Shipped().ProductOf(tc.name, tc.version)
		if product != tc.product || major != tc.major {
			t.Errorf("%s %s is %q %q, want %q %q", tc.name, tc.version, product, major, tc.product, tc.major)
		}
	}
}

func TestClassify(t *testing.T) {
	have := Shipped().Majors(map[string]string{
		"mariadb-server-10.5": "1:10.5.1-1", "postgresql-15": "15.1-1", "php8.2": "8.2.1-1", "php8.2-fpm": "8.2.1-1", "redis-server": "5:7.0.15-1", "base-files": "12.4",
	})
	if got := strings.Join(have["php"], " "); got != "8.2" {
		t.Errorf("majors of php: %q, want 8.2 once", got)
	}
	for _, tc := range []struct {
		name, from, to string
		change         driver.Change
		product        string
	}{
		{"openssl", "1.1.1", "3.0.0", driver.ChangeUpdate, ""},
		{"mariadb-server", "1:10.11.6-0", "1:10.11.9-0", driver.ChangeUpdate, "mariadb"},
		{"mariadb-server", "1:10.11.6-0", "1:11.4.2-1", driver.ChangeUpgrade, "mariadb"},
		{"mariadb-server-10.11", "", "1:10.11.6-1", driver.ChangeUpgrade, "mariadb"},
		{"mysql-server", "5.6.25", "5.6.30", driver.ChangeUpdate, "mysql"},
		{"mysql-server", "5.6.51", "5.7.44", driver.ChangeUpgrade, "mysql"},
		{"postgresql", "15+248", "16+255", driver.ChangeUpgrade, "postgresql"},
		{"postgresql-15", "15.1-1", "15.8-1", driver.ChangeUpdate, "postgresql"},
		{"postgresql-16", "", "16.4-1", driver.ChangeUpgrade, "postgresql"},
		{"postgresql-common", "248", "255", driver.ChangeUpdate, ""},
		{"php", "2:8.2+93", "2:8.3+94", driver.ChangeUpgrade, "php"},
		{"php8.3-fpm", "", "8.3.1-1", driver.ChangeUpgrade, "php"},
		{"php8.2-gd", "", "8.2.1-1", driver.ChangeInstall, "php"},
		{"php8.2-fpm:amd64", "8.2.1-1", "8.2.2-1", driver.ChangeUpdate, "php"},
		{"php-common", "2:93", "2:94", driver.ChangeUpdate, "php"},
		{"redis-server", "5:7.0.15-1", "5:8.0.1-1", driver.ChangeUpgrade, "redis"},
		{"base-files", "12.4+deb12u11", "12.4+deb12u15", driver.ChangeUpdate, OS},
		{"base-files", "12.4+deb12u11", "13.8+deb13u1", driver.ChangeUpgrade, OS},
		{"ubuntu-release-upgrader-core", "", "1:24.04.26", driver.ChangeInstall, OS},
		{"rocky-release", "9.3-1.2.el9", "9.4-1.7.el9", driver.ChangeUpdate, OS},
		{"Leap-release", "15.5-1", "15.6-1", driver.ChangeUpgrade, OS},
		{"openSUSE-release", "20240901-1", "20240915-1", driver.ChangeUpdate, OS},
		{"linux-image-6.1.0-40-amd64", "", "6.1.153-1", driver.ChangeInstall, ""},
	} {
		c := driver.PackageChange{Name: tc.name, From: tc.from, To: tc.to}
		Shipped().Classify(&c, have)
		if c.Change != tc.change || c.Product != tc.product {
			t.Errorf("%s %s → %s is %s of %q, want %s of %q", tc.name, tc.from, tc.to, c.Change, c.Product, tc.change, tc.product)
		}
		if (c.Change == driver.ChangeUpgrade) != (c.Reason != "") {
			t.Errorf("%s is %s with the reason %q", tc.name, c.Change, c.Reason)
		}
	}
}

func TestLeading(t *testing.T) {
	for _, tc := range []struct {
		version string
		parts   int
		want    string
	}{
		{"1:10.11.6-0+deb12u1", 2, "10.11"}, {"2:8.2+93", 2, "8.2"}, {"15+248", 1, "15"}, {"12ubuntu4.6", 1, "12"},
		{"8", 2, ""}, {"", 1, ""}, {"x1", 1, ""}, {"5:7.0.15-1~deb12u1", 1, "7"}, {"1:", 1, ""}, {"8.2.22-r0", 0, ""},
	} {
		if got := Leading(tc.version, tc.parts); got != tc.want {
			t.Errorf("Leading(%q, %d) = %q, want %q", tc.version, tc.parts, got, tc.want)
		}
	}
}

func TestEntries(t *testing.T) {
	table, err := New([]string{"gitlab: ^gitlab-(ce|ee)$: 2", `solr:solr(\d+):1`, "redis: redis-server: 0", "os: acme-(?:linux-)?release: 1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, version, product, major string }{
		{"gitlab-ce", "17.3.1-ce.0", "gitlab", "17.3"},
		{"gitlab-cerberus", "1.0", "", ""},
		{"solr9", "1.2", "solr", "9"},
		{"redis-server", "5:7.0.15-1", "redis", ""}, // before the shipped row
		{"acme-linux-release", "4.2", OS, "4"},
		{"php8.2", "8.2.1", "php", "8.2"},
	} {
		if product, major := table.ProductOf(tc.name, tc.version); product != tc.product || major != tc.major {
			t.Errorf("%s %s is %q %q, want %q %q", tc.name, tc.version, product, major, tc.product, tc.major)
		}
	}
	if product, _ := Shipped().ProductOf("gitlab-ce", "17.3"); product != "" {
		t.Errorf("the shipped table took over an inventory's entry: %q", product)
	}
}

func TestEntriesRefused(t *testing.T) {
	for entry, want := range map[string]string{
		"gitlab":                                 "three parts",
		"gitlab: ^gitlab$":                       "three parts",
		"GitLab: ^gitlab$: 2":                    "product's name",
		"gitlab: ^gitlab-(ce$: 2":                "cannot be read",
		"gitlab: : 2":                            "is missing",
		"gitlab: .*: 2":                          "matches an empty name",
		"gitlab: ^gitlab$: two":                  "is no count",
		"gitlab: ^gitlab$: 9":                    "is no count",
		"a: " + strings.Repeat("x", 600) + ": 1": "longer than",
	} {
		_, err := New([]string{"fine: ^fine$: 1", entry})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "products[1] = ") || !strings.Contains(err.Error(), "NAME: REGEXP: PARTS") {
			t.Errorf("%q: %v, want %q with place and remedy", entry, err, want)
		}
		if driver.ClassOf(err) != driver.Permanent {
			t.Errorf("%q: class %s", entry, driver.ClassOf(err))
		}
	}
	if _, err := New(slices.Repeat([]string{"fine: ^fine$: 1"}, maxEntries+1)); err == nil || !strings.Contains(err.Error(), "100 at most") {
		t.Errorf("too many entries: %v", err)
	}
	if _, err := FromConfig(driver.Config{AttributeName: []string{"x"}}); err == nil {
		t.Error("FromConfig took a bad entry")
	}
	if table, err := FromConfig(driver.Config{}); err != nil || len(table.rows) != len(shipped) {
		t.Errorf("FromConfig without entries: %v", err)
	}
}

func less(a, b string) bool { return a < b }

func decided(named []string, list ...driver.PackageChange) map[string]driver.PackageChange {
	t := Shipped()
	t.Decide(list, t.Majors(map[string]string{"php8.2": "8.2.1", "mariadb-server": "1:10.11.6", "base-files": "12.4"}), named, less)
	byName := map[string]driver.PackageChange{}
	for _, c := range list {
		byName[c.Name] = c
	}
	return byName
}

func TestDecide(t *testing.T) {
	list := func() []driver.PackageChange {
		return []driver.PackageChange{
			{Name: "openssl", From: "3.0.1", To: "3.0.2"},
			{Name: "php8.3", To: "8.3.1"},
			{Name: "libnew", To: "1"},
			{Name: "mariadb-server", From: "1:10.11.6", To: "1:11.4.2"},
			{Name: "back", From: "2", To: "1"},
			{Name: "gone", From: "1", Change: driver.ChangeRemove},
			{Name: "kept", From: "1", To: "2", Held: true, Reason: "on hold"},
			{Name: "nowhere", From: "1"},
		}
	}
	got := decided(nil, list()...)
	for name, want := range map[string]string{
		"openssl": "", "php8.3": "php 8.3 is not installed yet: an upgrade, done only when the rollout names php",
		"libnew": "new, perhaps for the waiting upgrade of mariadb, php", "back": "it would be a downgrade",
		"mariadb-server": "mariadb moves from 10.11 to 11.4: an upgrade, done only when the rollout names mariadb",
		"gone":           "packages are never removed", "kept": "on hold", "nowhere": "no version to install is known",
	} {
		if c := got[name]; c.Held != (want != "") || c.Reason != want {
			t.Errorf("%s: held %v, %q; want %q", name, c.Held, c.Reason, want)
		}
	}
	got = decided([]string{"php", "mariadb"}, list()...)
	for _, name := range []string{"php8.3", "libnew", "mariadb-server"} {
		if got[name].Held {
			t.Errorf("%s is held although the rollout names its product: %q", name, got[name].Reason)
		}
	}
	if got := decided([]string{"php"}, list()...); got["php8.3"].Held || !got["mariadb-server"].Held || !got["libnew"].Held {
		t.Errorf("only php is named: %+v", got)
	}
}

// A release upgrade is not attempted, whatever the rollout names.
func TestDecideNeverMovesTheRelease(t *testing.T) {
	for _, named := range [][]string{nil, {OS}, {OS, "php"}} {
		got := decided(named,
			driver.PackageChange{Name: "base-files", From: "12.4", To: "13.8"},
			driver.PackageChange{Name: "openssl", From: "3.0.1", To: "3.5.0"},
			driver.PackageChange{Name: "php8.4", To: "8.4.1"},
			driver.PackageChange{Name: "kept", From: "1", To: "2", Held: true, Reason: "on hold"})
		for name, c := range got {
			if !c.Held || c.Reason == "" {
				t.Errorf("named %q: %s is not held: %+v", named, name, c)
			}
		}
		if r := got["base-files"].Reason; r != "os moves from 12 to 13: "+ReleaseReason {
			t.Errorf("base-files: %q", r)
		}
		if r := got["kept"].Reason; r != "on hold" {
			t.Errorf("kept: %q", r)
		}
	}
}
