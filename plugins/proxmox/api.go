package proxmox

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/cloud"
	"github.com/ncfleet/ncfleet/plugins/driver"
)

// The driver needs a dozen calls of the API, and the text of its errors, which
// Proxmox VE tells in the status line. Client libraries hide that line, so the
// calls are made here.

const (
	requestLimit = time.Minute
	answerLimit  = 64 << 20
	retryAfter   = 5 * time.Second
)

// api speaks to one node of a cluster; it passes on calls about the others.
type api struct {
	base, token string
	client      *http.Client
}

func newAPI(base, token string, t *tls.Config) *api {
	dialer := &net.Dialer{Timeout: 20 * time.Second}
	return &api{base: base, token: token, client: &http.Client{Timeout: requestLimit, Transport: &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: t, TLSHandshakeTimeout: 20 * time.Second, MaxIdleConns: 10, IdleConnTimeout: 30 * time.Second,
	}}}
}

func (a *api) get(ctx context.Context, what, path string, query url.Values, into any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return a.call(ctx, what, http.MethodGet, path, nil, into)
}

// call makes one call; what says what for. The answer's data goes to into.
func (a *api) call(ctx context.Context, what, method, path string, form url.Values, into any) error {
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return driver.Errorf(driver.Permanent, "cannot %s: %v", what, err)
	}
	r.Header.Set("Authorization", a.token)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := a.client.Do(r)
	if err != nil {
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) {
			return driver.Errorf(driver.Permanent, "cannot %s: %v: set ca to the cluster's certificate or fingerprint to that of the node", what, err)
		}
		return cloud.Refusal(what, 0, 0, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerLimit))
	if res.StatusCode >= 400 {
		return refuse(what, res, body)
	}
	var answer struct {
		Data json.RawMessage `json:"data"`
	}
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err == nil {
		err = json.Unmarshal(answer.Data, into)
	}
	if err != nil { // half an answer
		return cloud.Refusal(what, 0, 0, fmt.Errorf("the answer is not understood: %w", err))
	}
	return nil
}

// refuse types an answer that is an error.
func refuse(what string, res *http.Response, body []byte) error {
	_, said, _ := strings.Cut(res.Status, " ")
	var more struct {
		Message string            `json:"message"`
		Errors  map[string]string `json:"errors"`
	}
	if json.Unmarshal(body, &more) == nil {
		if more.Message != "" && !strings.Contains(said, strings.TrimSpace(more.Message)) {
			said += ": " + strings.TrimSpace(more.Message)
		}
		for name, problem := range more.Errors {
			said += fmt.Sprintf("; %s: %s", name, strings.TrimSpace(problem))
		}
	}
	if err := known(what, said); err != nil {
		return err
	}
	return cloud.Refusal(what, res.StatusCode, cloud.RetryAfter(res.Header, time.Now()), fmt.Errorf("status %d: %s", res.StatusCode, said))
}

// phrases says what Proxmox VE's own words mean: it answers most refusals with
// the status 500, and tasks end with nothing but words.
var phrases = []struct {
	part   string
	class  driver.Class
	remedy string
}{
	{"is not most recent snapshot", driver.Permanent, ": on ZFS only the newest snapshot can be rolled back; delete the newer ones first"},
	{"is locked", driver.Retryable, ""},
	{"got timeout", driver.Retryable, ""},
	{"got lock timeout", driver.Retryable, ""},
	{"does not exist", driver.NotFound, ""},
	{"unable to find", driver.NotFound, ""},
	{"snapshot feature is not available", driver.Permanent, ": one of its disks lies on a storage without snapshots"},
	{"out of space", driver.Quota, ": free space on the storage"},
	{"no space left", driver.Quota, ": free space on the storage"},
	{"not enough free space", driver.Quota, ": free space on the storage"},
	{"permission check failed", driver.Auth, ": give the token the privileges that the documentation of the driver lists"},
}

func known(what, said string) error {
	lower := strings.ToLower(said)
	for _, p := range phrases {
		if strings.Contains(lower, p.part) {
			e := driver.Errorf(p.class, "cannot %s: %s%s", what, said, p.remedy)
			if p.class == driver.Retryable {
				e.After = retryAfter
			}
			return e
		}
	}
	return nil
}

func missing(err error) bool { return driver.ClassOf(err) == driver.NotFound }

// number reads a number that Proxmox VE writes as one, as a string or as a
// boolean, which differs between versions and calls.
type number int64

func (n *number) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	switch text {
	case "", "null", "false":
		*n = 0
		return nil
	case "true":
		*n = 1
		return nil
	}
	v, err := strconv.ParseFloat(text, 64)
	*n = number(v)
	return err
}
