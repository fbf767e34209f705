package cloudtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Fault is what the proxy does to one call.
type Fault string

// The faults. "Before" means that the provider never sees the call; "after"
// that the call had its effect and its answer is spoiled.
const (
	TooMany  Fault = "429 before"           // with Retry-After: 0
	Conflict Fault = "409 before"           // something else works on it
	Broken   Fault = "500 before"           //
	Gateway  Fault = "502 after"            // the effect happened
	Down     Fault = "503 before"           //
	Lost     Fault = "answer lost after"    // the connection ends without an answer
	Cut      Fault = "answer cut after"     // half of the body
	Slow     Fault = "slow answer"          // comes late, whole
	Refused  Fault = "connection lost"      // before the call is read
	Killed   Fault = "driver killed after"  // the effect happened; another process goes on
	KilledAt Fault = "driver killed before" // without the effect
	Hidden   Fault = "new things invisible" // in lists, for some reads; needs Target.Hide
)

// Faults is every fault of one call.
func Faults() []Fault {
	return []Fault{TooMany, Conflict, Broken, Gateway, Down, Lost, Cut, Slow, Refused, Killed, KilledAt}
}

// Call is one request that passed the proxy.
type Call struct {
	Method, Path string
	Fault        Fault // "" for none
	Status       int   // that the caller got; 0 for none
}

// numbers and ids in paths are not part of a route.
var ids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|\bUPID:[^/]+|\b(vol|snap|i|ami|eni)-[0-9a-f]+|\b(task|session|vm)-[0-9]+|\b[0-9]+\b|ncfleet[:][A-Za-z0-9_-]+`)

// Route is the call with ids replaced, "POST /servers/*/actions/poweroff".
func (c Call) Route() string { return c.Method + " " + ids.ReplaceAllString(c.Path, "*") }

// Proxy stands before a provider's endpoint.
type Proxy struct {
	URL string

	// Answer, when set, writes the provider's own form of an injected error.
	// Nil writes a plain JSON body.
	Answer func(w http.ResponseWriter, status int)
	// Action returns more of a route than its path, such as the Action
	// parameter of a form; nil for nothing.
	Action func(r *http.Request, body string) string

	mu     sync.Mutex
	decide func(n int, c Call) Fault // n counts from 0 since the last Reset
	always func(c Call) int          // status for every call, 0 to pass
	after  string                    // Retry-After of always and TooMany
	calls  []Call
	slow   time.Duration
	kill   func() // ends the driver's call
}

// onKill sets what Killed and KilledAt do.
func (p *Proxy) onKill(kill func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kill = kill
}

func (p *Proxy) killDriver() {
	p.mu.Lock()
	kill := p.kill
	p.mu.Unlock()
	if kill != nil {
		kill()
	}
}

// NewProxy starts a proxy before target; it ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatalf("cannot read the endpoint %q: %v", target, err)
	}
	p := &Proxy{slow: 30 * time.Millisecond, after: "0"}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: to.Scheme, Host: to.Host})
	forward.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, "the proxy cannot reach the provider: "+err.Error(), http.StatusBadGateway)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, forward) }))
	t.Cleanup(s.Close)
	p.URL = s.URL + to.Path
	return p
}

// Reset forgets calls and faults.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide, p.always, p.calls, p.after = nil, nil, nil, "0"
}

// Inject sets what happens to the calls from now on, the first being number 0.
func (p *Proxy) Inject(decide func(n int, c Call) Fault) {
	p.Reset()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.decide = decide
}

// Always answers with a status, 0 to let the call pass.
func (p *Proxy) Always(after string, status func(c Call) int) {
	p.Reset()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.always, p.after = status, after
}

// Calls returns the calls since the last Reset.
func (p *Proxy) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Call(nil), p.calls...)
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	c := Call{Method: r.Method, Path: r.URL.Path}
	if p.Action != nil {
		c.Path += p.Action(r, string(body))
	}
	p.mu.Lock()
	n, status := len(p.calls), 0
	if p.decide != nil {
		c.Fault = p.decide(n, c)
	}
	if p.always != nil {
		status = p.always(c)
	}
	after := p.after
	p.calls = append(p.calls, c)
	p.mu.Unlock()
	got := &recorder{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if n < len(p.calls) {
			p.calls[n].Status = got.status
		}
	}()
	if status != 0 {
		w.Header().Set("Retry-After", after)
		p.answer(got, status)
		return
	}
	p.spoil(got, r, forward, c.Fault)
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// spoil answers one call with its fault. What the provider is asked for happens
// even though the caller is gone.
func (p *Proxy) spoil(w *recorder, r *http.Request, forward http.Handler, f Fault) {
	r = r.WithContext(context.WithoutCancel(r.Context()))
	switch f {
	case Killed, KilledAt:
		if f == Killed {
			forward.ServeHTTP(httptest.NewRecorder(), r)
		}
		p.killDriver()
		w.status = 0
		panic(http.ErrAbortHandler)
	case TooMany:
		w.Header().Set("Retry-After", "0")
		p.answer(w, http.StatusTooManyRequests)
	case Conflict:
		p.answer(w, http.StatusConflict)
	case Broken:
		p.answer(w, http.StatusInternalServerError)
	case Down:
		p.answer(w, http.StatusServiceUnavailable)
	case Gateway:
		forward.ServeHTTP(httptest.NewRecorder(), r)
		p.answer(w, http.StatusBadGateway)
	case Lost:
		forward.ServeHTTP(httptest.NewRecorder(), r)
		w.status = 0
		panic(http.ErrAbortHandler)
	case Refused:
		w.status = 0
		panic(http.ErrAbortHandler)
	case Cut:
		whole := httptest.NewRecorder()
		forward.ServeHTTP(whole, r)
		for k, v := range whole.Header() {
			w.Header()[k] = v
		}
		body := whole.Body.Bytes()
		if len(body) == 0 {
			w.status = 0
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+1))
		w.WriteHeader(whole.Code)
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	case Slow:
		time.Sleep(p.slow)
		forward.ServeHTTP(w, r)
	default:
		forward.ServeHTTP(w, r)
	}
}

func (p *Proxy) answer(w http.ResponseWriter, status int) {
	if p.Answer != nil {
		p.Answer(w, status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"id":"injected","message":"injected by the fault proxy","error":{"code":%d,"message":"injected by the fault proxy"}}`, status)
}
