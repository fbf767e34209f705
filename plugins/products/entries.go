package products

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// AttributeName is the attribute of a package driver's block that holds the
// inventory's own entries.
const AttributeName = "products"

// Bounds of an inventory's entries.
const (
	maxEntries = 100
	maxEntry   = 500 // bytes
	maxParts   = 4
)

// Attribute is the setting that every package driver declares.
func Attribute() driver.Attribute {
	return driver.Attribute{Name: AttributeName, Type: "list(string)",
		Help: `More software whose next major is an upgrade, each "NAME: REGEXP: PARTS": the packages by name, and how many numbers of their version make the major.`}
}

// FromConfig returns the table for a driver's configuration.
func FromConfig(c driver.Config) (*Table, error) {
	entries, _ := c[AttributeName].([]string)
	return New(entries)
}

var productName = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,39}$`)

// parse reads an inventory's entries. A group of the expression that catches a
// number is the major, as in "^solr(\\d+)$"; any other group only groups.
func parse(entries []string) ([]row, error) {
	if len(entries) > maxEntries {
		return nil, driver.Errorf(driver.Permanent, "%s: %d entries; write %d at most", AttributeName, len(entries), maxEntries)
	}
	var rows []row
	for i, e := range entries {
		r, err := parseEntry(e)
		if err != nil {
			return nil, driver.Errorf(driver.Permanent, `%s[%d] = %q: %v; write "NAME: REGEXP: PARTS", such as "gitlab: ^gitlab-(ce|ee)$: 2"`,
				AttributeName, i, clip(e), err)
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// parseEntry cuts at the first and the last colon: an expression may have some.
func parseEntry(entry string) (row, error) {
	if len(entry) > maxEntry {
		return row{}, fmt.Errorf("it is longer than %d bytes", maxEntry)
	}
	name, rest, ok := strings.Cut(entry, ":")
	last := strings.LastIndex(rest, ":")
	if !ok || last < 0 {
		return row{}, fmt.Errorf("it has not three parts with colons between them")
	}
	name = strings.TrimSpace(name)
	expression, number := strings.TrimSpace(rest[:last]), strings.TrimSpace(rest[last+1:])
	if !productName.MatchString(name) {
		return row{}, fmt.Errorf("the product's name %q is not lower case letters, digits, dots and dashes", name)
	}
	if expression == "" {
		return row{}, fmt.Errorf("the regular expression for the packages' names is missing")
	}
	match, err := regexp.Compile(`^(?:` + expression + `)$`)
	if err != nil {
		return row{}, fmt.Errorf("the regular expression %q cannot be read: %w", expression, err)
	}
	if match.MatchString("") {
		return row{}, fmt.Errorf("the regular expression %q matches an empty name, and so perhaps every package", expression)
	}
	parts, err := strconv.Atoi(number)
	if err != nil || parts < 0 || parts > maxParts {
		return row{}, fmt.Errorf("%q is no count of the version's numbers that make the major: 1 to %d, or 0 when no version of it is an upgrade", number, maxParts)
	}
	return row{product: name, match: match, parts: parts}, nil
}

func clip(s string) string {
	const most = 80
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
