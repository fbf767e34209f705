package vsphere

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/cloud"
)

// answerLimit is the longest answer that is read; an inventory of ten thousand
// machines has a few megabytes.
const answerLimit = 256 << 20

// typing is a transport that gives answers which are not the API's own, such as
// those of a proxy before the server, their class while their headers are at
// hand. The API tells its faults in an XML body with the status 500. It reads
// answers whole: the library stops at the end of the XML, and a connection with
// an answer half read is not used again.
type typing struct{ next http.RoundTripper }

func (t typing) RoundTrip(r *http.Request) (*http.Response, error) {
	what := "call " + r.URL.Host
	res, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, answerLimit))
	ours := res.StatusCode < 400 || res.StatusCode == http.StatusInternalServerError && strings.Contains(res.Header.Get("Content-Type"), "xml")
	switch {
	case !ours:
		return nil, cloud.Refusal(what, res.StatusCode, cloud.RetryAfter(res.Header, time.Now()), errors.New(res.Status))
	case err != nil:
		return nil, cloud.Refusal(what, 0, 0, err)
	}
	read := *res
	read.Body = io.NopCloser(bytes.NewReader(body))
	return &read, nil
}
