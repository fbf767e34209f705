package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// failure is a typed error that also tells whether the call may have had its
// effect all the same.
type failure struct {
	typed  *driver.Error
	unsure bool
	cause  error
}

func (f *failure) Error() string   { return f.typed.Message }
func (f *failure) Unwrap() []error { return []error{f.typed, f.cause} }

// Refusal makes the typed error of a failed API call. what says what was asked
// for ("power off server 42"), status is the HTTP status, 0 when no answer came,
// after is what [RetryAfter] read. An error that is of a class already keeps it,
// and the end of ctx passes as it is.
func Refusal(what string, status int, after time.Duration, cause error) error {
	if cause == nil {
		return nil
	}
	var known *driver.Error
	switch {
	case errors.As(cause, &known):
		return cause
	case errors.Is(cause, context.Canceled), errors.Is(cause, context.DeadlineExceeded) && status == 0:
		return &failure{typed: driver.Errorf(driver.Retryable, "cannot %s: %v", what, cause), unsure: true, cause: cause}
	}
	class, remedy := classOf(status)
	e := driver.Errorf(class, "cannot %s: %v%s", what, cause, remedy)
	e.After = after
	return &failure{typed: e, unsure: status == 0 || status >= 500 || status == http.StatusRequestTimeout, cause: cause}
}

func classOf(status int) (driver.Class, string) {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return driver.Auth, "; the credentials in the driver's block are wrong, or may not do this"
	case status == http.StatusPaymentRequired, status == http.StatusRequestEntityTooLarge:
		return driver.Quota, "; ask the provider for a higher limit, or delete old snapshots"
	case status == http.StatusNotFound, status == http.StatusGone:
		return driver.NotFound, ""
	case status == 0, status >= 500, status == http.StatusTooManyRequests, status == http.StatusConflict,
		status == http.StatusLocked, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		return driver.Retryable, ""
	}
	return driver.Permanent, ""
}

// Unsure reports whether the call that failed so may have had its effect: its
// answer was lost, or came from a gateway.
func Unsure(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.unsure
}

// RetryAfter reads how long the provider asks to wait, 0 when it does not say.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil && at.After(now) {
		return at.Sub(now)
	}
	if n, err := strconv.ParseInt(h.Get("RateLimit-Reset"), 10, 64); err == nil && n > now.Unix() {
		return time.Unix(n, 0).Sub(now)
	}
	return 0
}

// again reports whether a failed call may be repeated.
func again(err error) bool { return driver.ClassOf(err) == driver.Retryable }

// missing reports whether a thing is not there.
func missing(err error) bool { return driver.ClassOf(err) == driver.NotFound }

// wrap puts words before an error and keeps its class.
func wrap(err error, format string, a ...any) error {
	return fmt.Errorf(format+": %w", append(a, err)...)
}
