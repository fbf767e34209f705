package inventory

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// maxName bounds the names of hosts, instances, waves and rollouts.
const maxName = 128

var (
	namePattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	accountPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@\\-]*\$?$`)
	hostPattern    = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)
	digitsAndDots  = regexp.MustCompile(`^[0-9.]+$`)
	versionPattern = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}\.[0-9]{1,3})?$`)
	productPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]*$`)
	timePattern    = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)
)

// checkName judges a name that becomes part of step names, file names and
// reports.
func (l *loader) checkName(name string, rng hcl.Range, what string) bool {
	if namePattern.MatchString(name) && len(name) <= maxName {
		return true
	}
	l.report(rng, what, "Bad name",
		fmt.Sprintf("%q does not fit into file names and reports. Use letters, digits, dots, _ and -, beginning with a letter or digit, at most %d of them.", name, maxName))
	return false
}

func checkAccount(user string) error {
	if user == "" || len(user) > 128 || !accountPattern.MatchString(user) || strings.Contains(user, "@@") {
		return fmt.Errorf("%q is not an account's name", user)
	}
	return nil
}

// account takes the name of a user account on a host.
func (s scope) account(name string) (string, bool) {
	got, ok := s.str(name)
	if !ok {
		return "", false
	}
	if err := checkAccount(got); err != nil {
		s.bad(name, "Bad account name", upperFirst(err.Error())+". Use letters, digits, dots, _ and -.")
		return "", false
	}
	return got, true
}

// checkAddress takes an IP address or a DNS name, without a port.
func checkAddress(a string) error {
	bare, _, _ := strings.Cut(a, "%")
	switch {
	case a == "":
		return errors.New("the address is empty")
	case net.ParseIP(bare) != nil:
		return nil
	case digitsAndDots.MatchString(a):
		return errors.New("this is not an IPv4 address")
	case !hostPattern.MatchString(a) || len(a) > 253:
		return errors.New("this is neither an IP address nor a DNS name")
	}
	return nil
}

// address takes a host's address and says where a port belongs.
func (s scope) address(name string) (string, bool) {
	got, ok := s.str(name)
	if !ok {
		return "", false
	}
	if err := checkAddress(got); err != nil {
		detail := fmt.Sprintf("%q: %s.", got, err)
		if host, port, splitErr := net.SplitHostPort(got); splitErr == nil && checkAddress(host) == nil {
			detail = fmt.Sprintf("%q holds a port. Write address = %q and ssh { port = %s }.", got, host, port)
		} else if _, host, found := strings.Cut(got, "@"); found && checkAddress(host) == nil {
			detail = fmt.Sprintf("%q holds a user. Write address = %q and ssh { user = … }.", got, host)
		}
		s.bad(name, "Bad address", detail)
		return "", false
	}
	return got, true
}

// absolute takes a path on the host: absolute, and not the root.
func (s scope) absolute(name string) (string, bool) {
	got, ok := s.str(name)
	if !ok {
		return "", false
	}
	clean := path.Clean(got)
	switch {
	case !path.IsAbs(got):
		s.bad(name, "Path is not absolute", fmt.Sprintf("%q is a path on the host and must begin with /, such as \"/var/www/nextcloud\".", got))
	case clean == "/":
		s.bad(name, "Path is the root folder", fmt.Sprintf("%q cannot be the whole file system. Name the folder itself.", got))
	default:
		return clean, true
	}
	return "", false
}

// siteURL takes the address users type in: http or https, no trailing slash.
func (s scope) siteURL(name string) (string, bool) {
	got, ok := s.str(name)
	if !ok {
		return "", false
	}
	out, err := checkSiteURL(got)
	if err != nil {
		s.bad(name, "Bad url", fmt.Sprintf("%q: %s. Write it as users reach it, such as \"https://cloud.example.org\".", redactURL(got), err))
		return "", false
	}
	return out, true
}

func checkSiteURL(got string) (string, error) {
	u, err := url.Parse(got)
	switch {
	case err != nil:
		return "", errors.New("this is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("it must begin with http:// or https://")
	case u.Hostname() == "" || checkAddress(u.Hostname()) != nil:
		return "", errors.New("it names no host")
	case u.User != nil:
		return "", errors.New("it must not hold a user or password")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return "", errors.New("it must end with the path, without ? or #")
	}
	return strings.TrimRight(got, "/"), nil
}

// redactURL hides a password inside a URL.
func redactURL(got string) string {
	scheme, rest, ok := strings.Cut(got, "://")
	if !ok {
		return got
	}
	authority, after, _ := strings.Cut(rest, "/")
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		return scheme + "://***@" + authority[i+1:] + "/" + after
	}
	return got
}

// place takes a http(s) URL, or a file or folder on the controller.
func (s scope) place(name string) (string, bool) {
	got, ok := s.str(name)
	if !ok {
		return "", false
	}
	if strings.Contains(got, "://") {
		out, err := checkSiteURL(got)
		if err != nil {
			s.bad(name, "Bad url", fmt.Sprintf("%q: %s.", redactURL(got), err))
			return "", false
		}
		return out, true
	}
	p, err := s.sec.src.path(got)
	if err != nil {
		s.bad(name, "Bad path in "+name, fmt.Sprintf("%q: %s.", got, err))
		return "", false
	}
	return p, true
}
