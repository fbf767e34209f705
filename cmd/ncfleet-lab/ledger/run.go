package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	folder       = "ledger"
	counterFile  = folder + "/counter.txt"
	requestLimit = 20 * time.Second
	answerBytes  = 1 << 20
	contentBytes = 2048
	recalled     = 512 // acknowledged files that are read back while writing
)

// Run writes and reads on every site, each by itself, once per interval until
// ctx ends; that is no error. Whatever a site answers goes into the book. Run
// fails only when the book cannot be written.
func Run(ctx context.Context, sites []Site, every time.Duration, book io.Writer) error {
	if every <= 0 {
		return fmt.Errorf("cannot write every %v: the interval must be positive", every)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	b := &writer{to: book, broken: stop}
	var wait sync.WaitGroup
	for _, s := range sites {
		wait.Go(func() { (&client{site: s, book: b}).run(ctx, every) })
	}
	wait.Wait()
	return b.err
}

// writer puts whole lines into the book, one at a time.
type writer struct {
	mu     sync.Mutex
	to     io.Writer
	broken context.CancelCauseFunc
	err    error
}

func (w *writer) add(e Entry) {
	line, err := json.Marshal(e)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && w.err == nil {
		_, err = w.to.Write(append(line, '\n'))
	}
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("cannot write the book: %w", err)
		w.broken(w.err)
	}
}

// client works on one site.
type client struct {
	site   Site
	book   *writer
	known  []string // paths that were acknowledged, the latest last
	folder bool
	round  int
}

func (c *client) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	start := time.Now().UTC().Format("20060102T150405.000000000")
	for ctx.Err() == nil {
		c.round++
		c.once(ctx, start)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// once is one round: a new file, the fixed one, and one read.
func (c *client) once(ctx context.Context, start string) {
	if !c.folder {
		e := c.send(ctx, "MKCOL", folder, nil)
		c.folder = e.Code == http.StatusCreated || e.Code == http.StatusMethodNotAllowed
	}
	content := make([]byte, contentBytes)
	_, _ = rand.Read(content) // it never fails
	path := fmt.Sprintf("%s/%s-%06d.bin", folder, start, c.round)
	e := c.send(ctx, http.MethodPut, path, content)
	if e.Code == http.StatusConflict {
		c.folder = false // a rollback may have taken the folder
	}
	if e.Acknowledged {
		c.known = append(c.known, path)
		if len(c.known) > recalled {
			c.known = c.known[1:]
		}
	}
	c.send(ctx, http.MethodPut, counterFile, fmt.Appendf(nil, "%s %d\n", start, c.round))
	if n := len(c.known); n > 0 {
		// Strides over all of them in time, the youngest included.
		c.send(ctx, http.MethodGet, c.known[(c.round*31)%n], nil)
	}
}

// send makes one request on a connection of its own and books it. A request
// that the end of ctx broke is booked too: the site may have carried it out.
func (c *client) send(ctx context.Context, method, path string, body []byte) Entry {
	if ctx.Err() != nil {
		return Entry{}
	}
	e := c.site.do(ctx, method, path, body)
	c.book.add(e)
	return e
}

// newClient makes a connection of its own for each request.
func newClient() *http.Client {
	return &http.Client{
		Timeout:       requestLimit,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// do makes one request. What a GET brought is known by its digest.
func (s Site) do(ctx context.Context, method, path string, body []byte) Entry {
	e := Entry{Time: time.Now().UTC(), Site: s.Name, Method: method, Path: path}
	if method == http.MethodPut {
		e.SHA256 = digest(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.file(path), bytes.NewReader(body))
	if err != nil {
		e.Error = err.Error()
		return e
	}
	req.SetBasicAuth(s.User, s.Password)
	req.Header.Set("User-Agent", "ncfleet-lab ledger")
	resp, err := newClient().Do(req)
	var text []byte
	if err == nil {
		e.Code = resp.StatusCode
		text, err = io.ReadAll(io.LimitReader(resp.Body, answerBytes))
		resp.Body.Close()
	}
	e.Seconds = time.Since(e.Time).Seconds()
	if err != nil {
		e.Error = err.Error()
	}
	switch {
	case method == http.MethodPut:
		e.Acknowledged = e.Code == http.StatusCreated || e.Code == http.StatusNoContent
	case method == http.MethodGet && e.Code == http.StatusOK && err == nil:
		e.SHA256 = digest(text)
	}
	return e
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
