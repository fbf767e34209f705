package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"runtime"
	"runtime/debug"
	"strings"

	"google.golang.org/grpc"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// recoverUnary and recoverStream keep one bad call from ending the process and
// with it every other call in flight. A panic in a goroutine that a driver
// started itself is beyond their reach.
func recoverUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (answer any, err error) {
	defer func() {
		if v := recover(); v != nil {
			answer, err = nil, panicError(info.FullMethod, v)
		}
	}()
	answer, err = next(ctx, req)
	if !strings.HasPrefix(info.FullMethod, "/ncfleet.") {
		return answer, err // go-plugin's own services
	}
	return answer, toStatus(err)
}

func recoverStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicError(info.FullMethod, v)
		}
	}()
	return next(srv, ss)
}

func panicError(method string, v any) error {
	where := panicSite()
	slog.Error("panic", "call", path.Base(method), "panic", fmt.Sprint(v), "at", where, "stack", string(debug.Stack()))
	return toStatus(driver.Errorf(driver.Panicked,
		"the driver panicked in %s: %v (at %s); this is a bug of the driver and the outcome is unknown", path.Base(method), v, where))
}

// panicSite finds the frame that panicked: the first one below the runtime's
// own. It must be called from a deferred function.
func panicSite() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	seen := false
	for {
		f, more := frames.Next()
		inRuntime := strings.HasPrefix(f.Function, "runtime.")
		if seen && !inRuntime {
			return fmt.Sprintf("%s, %s:%d", path.Base(f.Function), path.Base(f.File), f.Line)
		}
		seen = seen || f.Function == "runtime.gopanic"
		if !more {
			return "unknown place"
		}
	}
}
