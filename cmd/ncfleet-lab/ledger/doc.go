// Package ledger proves that no acknowledged write is lost: a client writes and
// reads small files over WebDAV and keeps a book of what the site acknowledged,
// and afterwards the book is compared with what the site still has.
//
// A write counts as acknowledged on HTTP 201 and 204 alone. A file that was
// rewritten must read as its last acknowledged content, or as that of a later
// write of which nobody knows how it ended: one without an answer, or with an
// answer that refused it only after it could have been carried out (a 5xx other
// than 503). The package refuses to repair, to retry and to judge why a site
// was closed; it tells when, and for how long.
//
// The book is one JSON object a line, written whole before the next request to
// that site. A last line that was cut off is left out. End a run by its context:
// one that is killed may have made one write per site that is not in the book.
//
//	err := ledger.Run(ctx, sites, time.Second, book) // until ctx ends
//	report, err := ledger.Check(ctx, sites, book)
package ledger

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// Site is one Nextcloud and a user of it.
type Site struct {
	Name     string `json:"name"`
	URL      string `json:"url"`
	User     string `json:"user"`
	Password string `json:"password"`
}

// Entry is one request in the book.
type Entry struct {
	Time         time.Time `json:"time"`
	Site         string    `json:"site"`
	Method       string    `json:"method"`
	Path         string    `json:"path"` // below the user's files
	Code         int       `json:"code,omitempty"`
	Error        string    `json:"error,omitempty"`
	SHA256       string    `json:"sha256,omitempty"` // of what was sent, or came back
	Acknowledged bool      `json:"acknowledged"`
	Seconds      float64   `json:"seconds"`
}

// isWrite tells the writes of files from the rest.
func (e Entry) isWrite() bool { return e.Method == "PUT" }

// mayHold is a write without acknowledgement that may have been carried out.
func (e Entry) mayHold() bool {
	return e.isWrite() && !e.Acknowledged && (e.Code == 0 || e.Code >= 500 && e.Code != 503)
}

// ReadSites reads a JSON array of sites. Names must be unique: the book knows
// sites by name.
func ReadSites(r io.Reader) ([]Site, error) {
	var sites []Site
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&sites); err != nil {
		return nil, fmt.Errorf("cannot read the sites: %w; expected a list of {\"name\", \"url\", \"user\", \"password\"}", err)
	}
	seen := map[string]bool{}
	for i, s := range sites {
		u, err := url.Parse(s.URL)
		switch {
		case s.Name == "" || s.User == "":
			return nil, fmt.Errorf("cannot use site %d: it needs a name and a user", i+1)
		case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			return nil, fmt.Errorf("cannot use site %s: its url is not http(s)://HOST", s.Name)
		case seen[s.Name]:
			return nil, fmt.Errorf("cannot use site %s: the name stands there twice", s.Name)
		}
		seen[s.Name] = true
	}
	if len(sites) == 0 {
		return nil, fmt.Errorf("cannot use the sites: the list is empty")
	}
	return sites, nil
}

// file is the URL of a path below the user's files.
func (s Site) file(path string) string {
	return strings.TrimSuffix(s.URL, "/") + "/remote.php/dav/files/" + url.PathEscape(s.User) + "/" + path
}
