package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ncfleet/ncfleet/plugins/driver"
	pb "github.com/ncfleet/ncfleet/plugins/rpc/driverv1"
)

// maxMessageText bounds an error's text: gRPC carries it in a header.
const maxMessageText = 32 << 10

// toStatus packs a driver's error. The code is for foreign tools only; the
// reader goes by the detail.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	code := codes.Unknown
	switch {
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	detail := &pb.Error{Message: clip(text(err.Error()), maxMessageText)}
	var typed *driver.Error
	if errors.As(err, &typed) {
		detail.Class = text(string(typed.Class))
		detail.After = int64(typed.After)
	}
	s, derr := status.New(code, detail.GetMessage()).WithDetails(detail)
	if derr != nil {
		return status.Error(code, detail.GetMessage())
	}
	return s.Err()
}

// errorTrailer carries a serialized Error in place of a status detail.
const errorTrailer = "ncfleet-error-bin"

// errorFromTrailer makes a detail of an error that came in the trailer.
func errorFromTrailer(ctx context.Context, method string, req, answer any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	var trailer metadata.MD
	err := invoke(ctx, method, req, answer, conn, append(opts, grpc.Trailer(&trailer))...)
	raw := trailer.Get(errorTrailer)
	if err == nil || len(raw) != 1 {
		return err
	}
	detail := &pb.Error{}
	s, _ := status.FromError(err)
	if proto.Unmarshal([]byte(raw[0]), detail) != nil {
		return err
	}
	if typed, derr := s.WithDetails(detail); derr == nil {
		return typed.Err()
	}
	return err
}

// clip shortens s to at most n bytes and keeps it valid UTF-8.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return text(s[:n]) + "…"
}

// callError is an error with a cause that callers may branch on.
type callError struct {
	typed *driver.Error
	cause error
}

func (e *callError) Error() string   { return e.typed.Message }
func (e *callError) Unwrap() []error { return []error{e.typed, e.cause} }

// fromDetail unpacks the error that the other side put into a status; ok is
// false when the status is the transport's own.
func fromDetail(err error) (out error, ok bool) {
	s, isStatus := status.FromError(err)
	if !isStatus {
		return nil, false
	}
	for _, d := range s.Details() {
		e, isError := d.(*pb.Error)
		if !isError {
			continue
		}
		e.Message = plain(e.GetMessage())
		cause := causeOf(s.Code())
		if e.GetClass() == "" {
			if cause != nil {
				return fmt.Errorf("%s: %w", e.GetMessage(), cause), true
			}
			return errors.New(e.GetMessage()), true
		}
		typed := &driver.Error{Class: driver.Class(e.GetClass()), Message: e.GetMessage(), After: time.Duration(e.GetAfter())}
		if cause != nil {
			return &callError{typed, cause}, true
		}
		return typed, true
	}
	return nil, false
}

// maskedError replaces the text of an error that said too much.
type maskedError struct {
	text  string
	cause error // nil when nobody can branch on it
}

func (e *maskedError) Error() string { return e.text }
func (e *maskedError) Unwrap() error { return e.cause }

// masked rewrites the texts of an error, and only those.
func masked(err error, mask func(string) string) error {
	switch e := err.(type) {
	case nil:
		return nil
	case *driver.Error:
		return &driver.Error{Class: e.Class, Message: mask(e.Message), After: e.After}
	case *callError:
		return &callError{&driver.Error{Class: e.typed.Class, Message: mask(e.typed.Message), After: e.typed.After}, e.cause}
	default:
		if text := mask(err.Error()); text != err.Error() {
			return &maskedError{text, errors.Unwrap(err)}
		}
		return err
	}
}

func causeOf(c codes.Code) error {
	switch c {
	case codes.Canceled:
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// fromStatus reads the error of a call to the driver. What the driver said
// comes back as it was; what the transport says becomes a typed error that
// names the driver and tells whether the outcome is known. gone tells how the
// driver's process ended, "" when it has not.
func fromStatus(ctx context.Context, name, method string, err error, gone func() string) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil {
		return &callError{driver.Errorf(driver.Retryable,
			"driver %q: %s was given up: %v; its outcome is unknown, what it began is found again by its key", name, method, cause), cause}
	}
	if e, ok := fromDetail(err); ok {
		return e
	}
	s, _ := status.FromError(err)
	said := plain(s.Message())
	switch s.Code() {
	case codes.Unimplemented:
		return driver.Errorf(driver.Permanent,
			"driver %q does not offer %s: it is of another kind or was built for another version of ncfleet; install a matching driver", name, method)
	case codes.ResourceExhausted:
		return driver.Errorf(driver.Permanent, "driver %q: %s sent more than %d MiB in one message: %s", name, method, maxMessage>>20, said)
	case codes.DeadlineExceeded: // the caller's, read a moment before ctx noticed
		return &callError{driver.Errorf(driver.Retryable,
			"driver %q: %s took too long; its outcome is unknown, what it began is found again by its key", name, method), context.DeadlineExceeded}
	default:
		why := "cannot be reached (" + said + ")"
		if exit := gone(); exit != "" {
			why = "ended " + exit
		}
		return driver.Errorf(driver.Retryable,
			"driver %q: its process %s during %s, so the outcome is unknown; what it began is found again by its key", name, why, method)
	}
}
