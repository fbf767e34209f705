package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// book keeps what was written and calls each after every entry.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
	each func(Entry)
}

func (b *book) Write(line []byte) (int, error) {
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return 0, fmt.Errorf("not one whole line: %w", err)
	}
	b.mu.Lock()
	b.text.Write(line)
	b.mu.Unlock()
	if b.each != nil {
		b.each(e)
	}
	return len(line), nil
}

// dav is a site in memory whose behaviour a test changes.
type dav struct {
	*httptest.Server
	mu      sync.Mutex
	files   map[string]string
	answers func(method, path string) int // 0: as a good site would
}

func newDAV(t *testing.T) *dav {
	t.Helper()
	d := &dav{files: map[string]string{}, answers: func(string, string) int { return 0 }}
	d.Server = httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(d.Close)
	return d
}

func (d *dav) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/remote.php/dav/files/u/")
	if code := d.answers(r.Method, path); code != 0 {
		w.WriteHeader(code)
		return
	}
	switch r.Method {
	case "MKCOL":
		w.WriteHeader(http.StatusCreated)
	case http.MethodPut:
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		d.files[path] = b.String()
		w.WriteHeader(http.StatusCreated)
	default:
		text, ok := d.files[path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(text))
	}
}

func (d *dav) site(name string) Site {
	return Site{Name: name, URL: d.URL, User: "u", Password: "p"}
}

// until runs over the sites until enough says so.
func until(t *testing.T, b *book, sites []Site, enough func(Entry) bool) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	each := b.each
	b.each = func(e Entry) {
		if each != nil {
			each(e)
		}
		if enough(e) {
			stop()
		}
	}
	if err := Run(ctx, sites, time.Millisecond, b); err != nil {
		t.Fatal(err)
	}
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		t.Fatal("what the test waited for did not come")
	}
}

// writes says when so many writes were acknowledged.
func writes(n int) func(Entry) bool {
	var mu sync.Mutex
	return func(e Entry) bool {
		mu.Lock()
		defer mu.Unlock()
		if e.Acknowledged {
			n--
		}
		return n <= 0
	}
}

func check(t *testing.T, b *book, sites ...Site) Report {
	t.Helper()
	r, err := Check(context.Background(), sites, bytes.NewReader(b.text.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGoodSites(t *testing.T) {
	t.Parallel()
	one, two := newDAV(t), newDAV(t)
	b := &book{}
	sites := []Site{one.site("one"), two.site("two")}
	until(t, b, sites, writes(40))
	r := check(t, b, sites...)
	if !r.Clean() || len(r.Sites) != 2 {
		t.Fatalf("two good sites: %+v", r)
	}
	for _, s := range r.Sites {
		if s.Acknowledged < 2 || s.Files < 2 || s.Codes["GET 200"] == 0 || s.Codes["MKCOL 201"] != 1 || len(s.Closed) != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestLoses lets a site lose one file and change another: both are named, and
// nothing else.
func TestLoses(t *testing.T) {
	t.Parallel()
	d := newDAV(t)
	b := &book{}
	until(t, b, []Site{d.site("one")}, writes(20))
	var lost, changed string
	for path := range d.files {
		switch {
		case path == counterFile:
		case lost == "":
			lost = path
		case changed == "":
			changed = path
		}
	}
	delete(d.files, lost)
	d.files[changed] = "something else"
	s := check(t, b, d.site("one")).Sites[0]
	if len(s.Lost) != 1 || s.Lost[0].Path != lost || len(s.Changed) != 1 || s.Changed[0].Path != changed || len(s.Unread) != 0 {
		t.Errorf("lost %s, changed %s; reported %+v", lost, changed, s)
	}
}

// TestCounterGoesBack is what a rollback behind open doors looks like.
func TestCounterGoesBack(t *testing.T) {
	t.Parallel()
	d := newDAV(t)
	b := &book{}
	until(t, b, []Site{d.site("one")}, writes(20))
	fields := strings.Fields(d.files[counterFile])
	d.files[counterFile] = fields[0] + " 1\n"
	s := check(t, b, d.site("one")).Sites[0]
	if len(s.Changed) != 1 || s.Changed[0].Path != counterFile {
		t.Errorf("reported %+v", s)
	}
}

func TestUnread(t *testing.T) {
	t.Parallel()
	d := newDAV(t)
	b := &book{}
	until(t, b, []Site{d.site("one")}, writes(2))
	d.answers = func(string, string) int { return 503 }
	if s := check(t, b, d.site("one")).Sites[0]; len(s.Unread) != s.Files || s.Files == 0 || len(s.Lost) != 0 {
		t.Errorf("a closed site: %+v", s)
	}
}

func TestFolderComesBack(t *testing.T) {
	t.Parallel()
	d := newDAV(t)
	gone := 0
	d.answers = func(method, path string) int {
		if method == http.MethodPut && path != counterFile {
			gone++
			if gone == 3 {
				return 409
			}
		}
		return 0
	}
	b := &book{}
	until(t, b, []Site{d.site("one")}, writes(12))
	if s := check(t, b, d.site("one")).Sites[0]; s.Codes["MKCOL 201"] != 2 {
		t.Errorf("answers %v, want the folder made twice", s.Codes)
	}
}

// TestHistory judges books that were written by hand.
func TestHistory(t *testing.T) {
	t.Parallel()
	put := func(sum string, code int) Entry {
		return Entry{Method: "PUT", Path: "a", Code: code, SHA256: sum, Acknowledged: code == 201 || code == 204}
	}
	get := func(sum string, code int) Entry { return Entry{Method: "GET", Path: "a", Code: code, SHA256: sum} }
	for name, c := range map[string]struct {
		book   []Entry
		holds  []string
		wrong  int
		closed int
	}{
		"rewritten":                          {[]Entry{put("1", 201), put("2", 204)}, []string{"2"}, 0, 0},
		"no answer":                          {[]Entry{put("1", 201), put("2", 0)}, []string{"1", "2"}, 0, 0},
		"a gateway's answer":                 {[]Entry{put("1", 201), put("2", 502)}, []string{"1", "2"}, 0, 0},
		"closed":                             {[]Entry{put("1", 201), put("2", 503)}, []string{"1"}, 0, 1},
		"no answer, then a good one":         {[]Entry{put("1", 201), put("2", 0), put("3", 204)}, []string{"3"}, 0, 0},
		"read the last":                      {[]Entry{put("1", 201), put("2", 204), get("2", 200)}, []string{"2"}, 0, 0},
		"read an old one":                    {[]Entry{put("1", 201), put("2", 204), get("1", 200)}, []string{"2"}, 1, 0},
		"read nothing":                       {[]Entry{put("1", 201), get("", 404)}, []string{"1"}, 1, 0},
		"read while closed":                  {[]Entry{put("1", 201), get("", 503), get("", 503), get("1", 200), get("", 503)}, []string{"1"}, 0, 2},
		"read what was never acknowledged":   {[]Entry{put("1", 500), get("", 404)}, nil, 0, 0},
		"closed and closed without good one": {[]Entry{put("1", 503), put("2", 0), put("3", 503)}, nil, 0, 1},
	} {
		h := newHistory("one")
		for i, e := range c.book {
			e.Time = time.Unix(int64(i+1), 0)
			h.add(e)
		}
		f := h.files["a"]
		for _, sum := range []string{"1", "2", "3"} {
			want := strings.Contains(strings.Join(c.holds, " "), sum)
			if got := f.last.Acknowledged && f.holds(sum); got != want {
				t.Errorf("%s: holds %s: %v, want %v", name, sum, got, want)
			}
		}
		if len(h.report.WrongReads) != c.wrong || len(h.report.Closed) != c.closed {
			t.Errorf("%s: %d wrong reads, %d times closed; want %d, %d", name, len(h.report.WrongReads), len(h.report.Closed), c.wrong, c.closed)
		}
	}
}

// full is a disk without room for the third line.
type full struct{ lines int }

func (f *full) Write(line []byte) (int, error) {
	f.lines++
	if f.lines > 2 {
		return 0, errors.New("no space left on device")
	}
	return len(line), nil
}

func TestBookCannotBeWritten(t *testing.T) {
	t.Parallel()
	d := newDAV(t)
	if err := Run(context.Background(), []Site{d.site("one")}, time.Millisecond, &full{}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a book on a full disk: %v", err)
	}
	if err := Run(context.Background(), nil, 0, &full{}); err == nil {
		t.Error("an interval of nothing was accepted")
	}
}

func TestBadBooks(t *testing.T) {
	t.Parallel()
	good := `{"site":"one","method":"PUT","path":"a","code":503}` + "\n"
	for text, want := range map[string]string{
		good + "{}{\n" + good:                         "line 2",
		good + strings.Replace(good, "one", "two", 1): `site "two" is not among the sites`,
	} {
		if _, err := Check(context.Background(), []Site{{Name: "one"}}, strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("book %q: %v, want %q", text, err, want)
		}
	}
	if _, err := Check(context.Background(), []Site{{Name: "one"}}, strings.NewReader(good+`{"site":"o`)); err != nil {
		t.Errorf("a last line cut off: %v", err)
	}
}

func TestReadSites(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[{"name":"a","url":"http://h","user":"u","password":"p"}]`: "",
		`[]`: "empty",
		`{}`: "expected a list",
		`[{"name":"a","url":"ftp://h","user":"u"}]`:                                           "http(s)://HOST",
		`[{"name":"a","url":"http://h"}]`:                                                     "a name and a user",
		`[{"name":"a","url":"http://h","user":"u","x":1}]`:                                    "unknown field",
		`[{"name":"a","url":"http://h","user":"u"},{"name":"a","url":"http://h","user":"u"}]`: "twice",
	} {
		_, err := ReadSites(strings.NewReader(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	d := newDAV(t)
	dir := t.TempDir()
	sites, path := filepath.Join(dir, "sites.json"), filepath.Join(dir, "book.ndjson")
	text, err := json.Marshal([]Site{d.site("one")})
	if err == nil {
		err = os.WriteFile(sites, text, 0o600)
	}
	if err == nil {
		err = os.WriteFile(path, []byte(`{"site":"one","cut o`), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		c := Command()
		var out bytes.Buffer
		c.SetOut(&out)
		c.SetErr(&out)
		c.SetArgs(append(args, "--sites", sites, "--book", path))
		err := c.ExecuteContext(context.Background())
		return out.String(), err
	}
	if out, err := run("run", "--every", "1ms", "--for", "500ms"); err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	out, err := run("check")
	if err != nil || !strings.Contains(out, "0 lost, 0 changed") {
		t.Errorf("check: %v\n%s", err, out)
	}
	d.files = map[string]string{}
	out, err = run("check")
	if err == nil || !strings.Contains(out, "LOST ledger/") {
		t.Errorf("check of an emptied site: %v\n%s", err, out)
	}
	out, _ = run("check", "--output", "json")
	var r Report
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&r); err != nil || len(r.Sites) != 1 || len(r.Sites[0].Lost) == 0 {
		t.Errorf("check as JSON: %v\n%s", err, out)
	}
	if out, err := run("check", "--output", "xml"); err == nil {
		t.Errorf("an unknown output was accepted: %s", out)
	}
}
