package rpc

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

func alive() string { return "" }

func TestErrorsThereAndBack(t *testing.T) {
	typed := &driver.Error{Class: driver.Quota, Message: "no room in cloud", After: time.Minute}
	tests := map[string]struct {
		err   error
		class driver.Class
		cause error
	}{
		"typed":                {typed, driver.Quota, nil},
		"plain":                {errors.New("plain"), driver.Permanent, nil},
		"cancelled":            {context.Canceled, driver.Permanent, context.Canceled},
		"typed and cancelled":  {&callError{typed, context.DeadlineExceeded}, driver.Quota, context.DeadlineExceeded},
		"another grpc's error": {status.Error(codes.Unavailable, "cloud is down"), driver.Permanent, nil},
		"bad UTF-8":            {errors.New("a\xffb"), driver.Permanent, nil},
	}
	for name, c := range tests {
		got := fromStatus(t.Context(), "x", "Create", toStatus(c.err), alive)
		if driver.ClassOf(got) != c.class || (c.cause != nil && !errors.Is(got, c.cause)) || !strings.Contains(got.Error(), text(c.err.Error())) {
			t.Errorf("%s: %v of class %s", name, got, driver.ClassOf(got))
		}
	}
	if toStatus(nil) != nil || fromStatus(t.Context(), "x", "Create", nil, alive) != nil {
		t.Error("no error becomes one")
	}
	long := fromStatus(t.Context(), "x", "Create", toStatus(errors.New(strings.Repeat("é", 1<<20))), alive)
	if len(long.Error()) > maxMessageText+8 {
		t.Errorf("an error of %d bytes crossed", len(long.Error()))
	}
}

func TestTransportErrors(t *testing.T) {
	tests := map[codes.Code]driver.Class{
		codes.Unavailable: driver.Retryable, codes.Internal: driver.Retryable, codes.Canceled: driver.Retryable, codes.Unknown: driver.Retryable,
		codes.DeadlineExceeded: driver.Retryable, codes.Unimplemented: driver.Permanent, codes.ResourceExhausted: driver.Permanent,
	}
	for code, want := range tests {
		got := fromStatus(t.Context(), "archive", "Create", status.Error(code, "transport"), alive)
		if driver.ClassOf(got) != want || !strings.Contains(got.Error(), `"archive"`) {
			t.Errorf("%s: %v of class %s, want %s", code, got, driver.ClassOf(got), want)
		}
	}
}

func TestMasked(t *testing.T) {
	mask := strings.NewReplacer("s3cret", "***").Replace
	for _, err := range []error{
		driver.Errorf(driver.Auth, "bad s3cret"), errors.New("bad s3cret"),
		&callError{driver.Errorf(driver.Auth, "bad s3cret"), context.Canceled},
	} {
		got := masked(err, mask)
		if got.Error() != "bad ***" || driver.ClassOf(got) != driver.ClassOf(err) || errors.Is(got, context.Canceled) != errors.Is(err, context.Canceled) {
			t.Errorf("%#v became %#v", err, got)
		}
	}
	if masked(nil, mask) != nil {
		t.Error("no error becomes one")
	}
}

func TestLines(t *testing.T) {
	var got []string
	w := &lineWriter{emit: func(l string) { got = append(got, l) }}
	for _, p := range []string{"a", "b\n\nc\r\nd\xff\n", strings.Repeat("x", maxLine), "yyy\nend"} {
		if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
	}
	w.end()
	want := []string{"ab", "c", "d\uFFFD", strings.Repeat("x", maxLine) + " … (3 bytes cut)", "end"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("lines %q", got)
	}
}

func TestKeyLocks(t *testing.T) {
	var locks keyLocks
	var inside, most atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			unlock, err := locks.lock(t.Context(), "k")
			if err != nil {
				t.Error(err)
				return
			}
			most.Store(max(most.Load(), inside.Add(1)))
			inside.Add(-1)
			unlock()
		})
	}
	wg.Wait()
	if most.Load() != 1 || len(locks.held) != 0 {
		t.Errorf("%d holders at once, %d locks left", most.Load(), len(locks.held))
	}
	unlock, err := locks.lock(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	other, err := locks.lock(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	other()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := locks.lock(ctx, "k"); driver.ClassOf(err) != driver.Retryable {
		t.Errorf("a cancelled wait: %v", err)
	}
}

func TestPanicSite(t *testing.T) {
	defer func() {
		_ = recover()
		if site := panicSite(); !strings.Contains(site, "rpc.blowUp, internal_test.go:") {
			t.Errorf("the panic is said to be at %s", site)
		}
	}()
	blowUp(nil)
}

//go:noinline
func blowUp(p *driver.Error) string { return p.Message }
