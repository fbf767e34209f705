package cloud

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// requestLimit bounds one HTTP request of a provider's SDK.
const requestLimit = 2 * time.Minute

// HTTPClient is the client to give to an SDK. It uses no proxy and no other
// setting of the environment, keeps no cookies, and tells Do what each answer
// was.
func HTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{Timeout: requestLimit, Transport: Transport(&http.Transport{
		DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConns: 20, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 20 * time.Second, ExpectContinueTimeout: time.Second,
	})}
}

// Transport tells Do of the answers that pass, for an SDK that needs a client
// of its own making.
func Transport(base http.RoundTripper) http.RoundTripper { return transport{base} }

type transport struct{ base http.RoundTripper }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if a, ok := r.Context().Value(answerKey{}).(*answer); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.requests++
		a.status, a.after = 0, 0
		if err == nil {
			a.status, a.after = resp.StatusCode, RetryAfter(resp.Header, time.Now())
		}
	}
	return resp, err
}

type answerKey struct{}

// answer is what the last request of a call got.
type answer struct {
	mu       sync.Mutex
	requests int
	status   int
	after    time.Duration
}

// Do makes one call through an SDK that uses [HTTPClient] or [Transport], and
// turns its error into a typed one by the last answer's status. what is for
// people, as in Refusal. An error without any request is Permanent: the SDK
// refused the arguments.
func Do(ctx context.Context, what string, call func(context.Context) error) error {
	a := &answer{}
	err := call(context.WithValue(ctx, answerKey{}, a))
	if err == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	status := a.status
	switch {
	case a.requests == 0 && ctx.Err() == nil:
		status = http.StatusBadRequest
	case status < 400: // the answer was good, and was cut
		status = 0
	}
	return Refusal(what, status, a.after, err)
}
