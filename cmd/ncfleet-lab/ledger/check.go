package ledger

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	lineBytes  = 1 << 20
	readers    = 4 // requests at once to one site
	readTries  = 3
	retryAfter = 2 * time.Second
)

// Report is what became of the acknowledged writes.
type Report struct {
	Sites []SiteReport `json:"sites"`
}

// Clean reports whether every acknowledged write was found, now and while it
// was written.
func (r Report) Clean() bool {
	for _, s := range r.Sites {
		if len(s.Lost)+len(s.Changed)+len(s.Unread)+len(s.WrongReads) > 0 {
			return false
		}
	}
	return true
}

// SiteReport is the report of one site.
type SiteReport struct {
	Name         string         `json:"name"`
	Acknowledged int            `json:"acknowledged"` // writes
	Files        int            `json:"files"`        // that were read back
	Lost         []Finding      `json:"lost,omitempty"`
	Changed      []Finding      `json:"changed,omitempty"`
	Unread       []Finding      `json:"unread,omitempty"` // the site did not say
	WrongReads   []Finding      `json:"wrong_reads,omitempty"`
	Closed       []Interval     `json:"closed,omitempty"`
	Codes        map[string]int `json:"codes"` // "PUT 201" to how often; "PUT error" without an answer
}

// Finding is one file that is not as it should be.
type Finding struct {
	Path string    `json:"path"`
	Time time.Time `json:"time"` // of the write, or of a wrong read
	Want string    `json:"want"` // sha256
	Got  string    `json:"got"`  // sha256, or what was said instead
}

// Interval goes from the first 503 to the next good answer. To is zero when
// none came.
type Interval struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Check reads every acknowledged file of the book back and says what is lost or
// changed. It fails when the book cannot be read, or names a site that is not
// among sites.
func Check(ctx context.Context, sites []Site, book io.Reader) (Report, error) {
	histories := map[string]*history{}
	for _, s := range sites {
		histories[s.Name] = newHistory(s.Name)
	}
	if err := read(book, histories); err != nil {
		return Report{}, err
	}
	var r Report
	for _, s := range sites {
		h := histories[s.Name]
		h.readBack(ctx, s)
		if err := ctx.Err(); err != nil {
			return Report{}, fmt.Errorf("cannot check %s: %w", s.Name, err)
		}
		r.Sites = append(r.Sites, h.report)
	}
	return r, nil
}

func read(book io.Reader, histories map[string]*history) error {
	in := bufio.NewReaderSize(book, lineBytes)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil // whoever wrote was stopped within this line
		}
		if err != nil {
			return fmt.Errorf("cannot read the book, line %d: %w", n, err)
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("cannot read the book, line %d: %w", n, err)
		}
		h := histories[e.Site]
		if h == nil {
			return fmt.Errorf("cannot read the book, line %d: site %q is not among the sites", n, e.Site)
		}
		h.add(e)
	}
}

// file is what the book knows of one path.
type file struct {
	last Entry           // the last acknowledged write
	may  map[string]bool // contents that later writes may have left
}

// history is one site's part of the book.
type history struct {
	report SiteReport
	files  map[string]*file
	paths  []string // in order of first write
}

func newHistory(name string) *history {
	return &history{report: SiteReport{Name: name, Codes: map[string]int{}}, files: map[string]*file{}}
}

func (h *history) add(e Entry) {
	r := &h.report
	code := strconv.Itoa(e.Code)
	if e.Code == 0 {
		code = "error"
	}
	r.Codes[e.Method+" "+code]++
	h.interval(e)
	f := h.files[e.Path]
	switch {
	case e.isWrite():
		if f == nil {
			f = &file{may: map[string]bool{}}
			h.files[e.Path] = f
			h.paths = append(h.paths, e.Path)
		}
		if e.Acknowledged {
			r.Acknowledged++
			f.last, f.may = e, map[string]bool{}
		} else if e.mayHold() {
			f.may[e.SHA256] = true
		}
	case e.Method == http.MethodGet && f != nil && f.last.Acknowledged:
		h.seen(e, f)
	}
}

// seen judges a read that was made between writes.
func (h *history) seen(e Entry, f *file) {
	switch {
	case e.Code == http.StatusNotFound:
		h.report.WrongReads = append(h.report.WrongReads, Finding{e.Path, e.Time, f.last.SHA256, "HTTP 404"})
	case e.Code == http.StatusOK && e.Error == "" && !f.holds(e.SHA256):
		h.report.WrongReads = append(h.report.WrongReads, Finding{e.Path, e.Time, f.last.SHA256, e.SHA256})
	}
}

func (f *file) holds(sum string) bool { return sum == f.last.SHA256 || f.may[sum] }

// interval keeps the times at which the site was closed.
func (h *history) interval(e Entry) {
	n := len(h.report.Closed)
	open := n == 0 || !h.report.Closed[n-1].To.IsZero()
	switch {
	case e.Code == http.StatusServiceUnavailable && open:
		h.report.Closed = append(h.report.Closed, Interval{From: e.Time})
	case e.Code >= 200 && e.Code < 300 && !open:
		h.report.Closed[n-1].To = e.Time
	}
}

// readBack reads every acknowledged file of a site.
func (h *history) readBack(ctx context.Context, s Site) {
	var mu sync.Mutex
	var wait sync.WaitGroup
	places := make(chan struct{}, readers)
	found := make([]func(*SiteReport), len(h.paths))
	for i, path := range h.paths {
		f := h.files[path]
		if !f.last.Acknowledged {
			continue
		}
		h.report.Files++
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			judge := f.now(ctx, s)
			mu.Lock()
			found[i] = judge
			mu.Unlock()
		})
	}
	wait.Wait()
	for _, judge := range found {
		if judge != nil {
			judge(&h.report)
		}
	}
}

// now reads a file and returns where in the report it belongs, nil when it is
// as it should be. What is no answer about the file is asked again, three times.
func (f *file) now(ctx context.Context, s Site) func(*SiteReport) {
	finding := Finding{Path: f.last.Path, Time: f.last.Time, Want: f.last.SHA256}
	for try := 1; ; try++ {
		e := s.do(ctx, http.MethodGet, f.last.Path, nil)
		switch {
		case e.Code == http.StatusOK && e.Error == "" && f.holds(e.SHA256):
			return nil
		case e.Code == http.StatusOK && e.Error == "":
			finding.Got = e.SHA256
			return func(r *SiteReport) { r.Changed = append(r.Changed, finding) }
		case e.Code == http.StatusNotFound:
			finding.Got = "HTTP 404"
			return func(r *SiteReport) { r.Lost = append(r.Lost, finding) }
		case try == readTries || ctx.Err() != nil:
			finding.Got = fmt.Sprintf("HTTP %d", e.Code)
			if e.Error != "" {
				finding.Got = e.Error
			}
			return func(r *SiteReport) { r.Unread = append(r.Unread, finding) }
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}
