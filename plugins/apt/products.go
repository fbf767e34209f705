package apt

import (
	"regexp"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// product is software whose major is moved on purpose only. name finds its
// packages; a submatch is the major that the package's own name carries.
type product struct {
	name  string
	match *regexp.Regexp
	parts int // how many numbers of the version make the major
}

// products are matched in order. Kernels, nginx and Apache httpd are left out:
// their next version is an update within one release of the system.
var products = []product{
	{"mariadb", regexp.MustCompile(`^mariadb-(?:server|client|backup)(?:-core)?(?:-(\d+\.\d+))?$`), 2},
	{"mysql", regexp.MustCompile(`^(?:mysql|mysql-community|percona-server)-(?:server|client)(?:-core)?(?:-(\d+\.\d+))?$`), 2},
	{"postgresql", regexp.MustCompile(`^postgresql(?:-client|-contrib)?(?:-(\d+(?:\.\d)?)(?:-.*)?)?$`), 1},
	{"php", regexp.MustCompile(`^(?:libapache2-mod-|libphp-?)?php(\d+\.\d+)(?:-.*)?$`), 2},
	{"php", regexp.MustCompile(`^(?:libapache2-mod-)?php(?:-(?:cli|fpm|cgi|common|bcmath|bz2|curl|dev|gd|gmp|imap|intl|ldap|mbstring|mysql|pgsql|soap|sqlite3|xml|zip|pear|phpdbg|opcache|readline|apcu|redis|imagick))?$`), 2},
	{"redis", regexp.MustCompile(`^(?:redis|valkey)(?:-server|-tools|-sentinel)?$`), 1},
	{"nodejs", regexp.MustCompile(`^nodejs$`), 1},
	{"elasticsearch", regexp.MustCompile(`^(?:elasticsearch|opensearch)$`), 1},
	{"onlyoffice", regexp.MustCompile(`^onlyoffice-documentserver(?:-..)?$`), 1},
	{"collabora", regexp.MustCompile(`^coolwsd$`), 2},
	{osProduct, regexp.MustCompile(`^base-files$`), 1},
}

// osProduct is the operating system's release.
const osProduct = "os"

// peclNames are metapackage names of extensions with a version of their own:
// their number says nothing about PHP's major.
var peclNames = regexp.MustCompile(`^php-(?:apcu|redis|imagick|pear)$`)

// productOf returns the product and the major of a package at a version; the
// product is "" for most packages, the major "" when it cannot be told.
func productOf(name, version string) (string, string) {
	name, _, _ = strings.Cut(name, ":")
	if peclNames.MatchString(name) {
		return "", ""
	}
	for _, p := range products {
		m := p.match.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		if len(m) > 1 && m[1] != "" {
			return p.name, m[1]
		}
		return p.name, leading(version, p.parts)
	}
	return "", ""
}

var numbers = regexp.MustCompile(`^\d+`)

// leading returns the first n numbers of a version's upstream part, "10.11" of
// "1:10.11.6-0+deb12u1", or "" when there are fewer.
func leading(version string, n int) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	var got []string
	for len(got) < n {
		number := numbers.FindString(version)
		if number == "" {
			return ""
		}
		got = append(got, number)
		version = version[len(number):]
		if len(got) < n {
			if !strings.HasPrefix(version, ".") {
				return ""
			}
			version = version[1:]
		}
	}
	return strings.Join(got, ".")
}

// classify sets Change, Product and Reason. majors are the installed majors by
// product, from the installed packages.
func classify(c *driver.PackageChange, majors map[string]map[string]bool) {
	product, to := productOf(c.Name, c.To)
	c.Product = product
	if c.From == "" {
		c.Change = driver.ChangeInstall
		have := majors[product]
		if product != "" && to != "" && len(have) > 0 && !have[to] {
			c.Change = driver.ChangeUpgrade
			c.Reason = product + " " + to + " is not installed yet"
		}
		return
	}
	c.Change = driver.ChangeUpdate
	if product == "" {
		return
	}
	if _, from := productOf(c.Name, c.From); from != to {
		c.Change = driver.ChangeUpgrade
		c.Reason = product + " moves from " + from + " to " + to
	}
}
