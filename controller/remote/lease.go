package remote

import (
	"context"
	_ "embed" // for the script
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

//go:embed scripts/lease.sh
var leaseScript string

// LeaseState is the lease of a host; without a token there is none.
type LeaseState struct {
	Token  string
	Holder string
	Age    time.Duration // by the host's clock
}

// Lease takes the host's lease, or finds that it is the token's already. A
// lease under another token is reported as LeaseHeld. A lease does not end by
// itself: whoever takes over releases it by its token.
func (h *Host) Lease(ctx context.Context, holder, token string) (LeaseState, error) {
	return h.lease(ctx, "take", holder, token)
}

// Release gives the lease up. Releasing a lease that is gone is no error; one
// under another token is LeaseHeld.
func (h *Host) Release(ctx context.Context, token string) error {
	_, err := h.lease(ctx, "release", "", token)
	return err
}

// LookLease returns the lease as it is.
func (h *Host) LookLease(ctx context.Context) (LeaseState, error) {
	s, err := h.lease(ctx, "look", "", "")
	var held *LeaseHeld
	if errors.As(err, &held) {
		return LeaseState{Token: held.Token, Holder: held.Holder, Age: held.Age}, nil
	}
	return s, err
}

func (h *Host) lease(ctx context.Context, verb, holder, token string) (LeaseState, error) {
	fail := func(err error) (LeaseState, error) {
		return LeaseState{}, fmt.Errorf("cannot %s the lease of host %s: %w", verb, h.config.label(), err)
	}
	if strings.ContainsAny(holder+token, "\n\x00") || verb != "look" && token == "" {
		return fail(errors.New("holder and token must be one line each, the token not empty"))
	}
	if _, err := h.connection(ctx); err != nil {
		return LeaseState{}, err
	}
	ctx, stop := context.WithTimeout(ctx, helperTimeout)
	defer stop()
	argv := []string{"sh", "-c", compact(libScript + leaseScript), "ncfleet", h.config.stateDir(), "x", verb, token, holder}
	r, err := h.Run(ctx, driver.Command{Argv: argv, User: h.config.root()})
	if err != nil {
		return LeaseState{}, retitle(err, "the script about the lease")
	}
	lines := strings.Split(strings.TrimSuffix(string(r.Stdout), "\n"), "\n")
	if lines[len(lines)-1] != "end" {
		return fail(fmt.Errorf("the host's answer is incomplete (exit status %d, %s)", r.Exit, strings.TrimSpace(string(r.Stderr))))
	}
	l := readLease(lines[1:])
	reason, failed := strings.CutPrefix(lines[0], "fail ")
	switch {
	case failed:
		return fail(errors.New(reason))
	case lines[0] == "free":
		return LeaseState{}, nil
	case lines[0] == "yours":
		return LeaseState{Token: l.token, Holder: l.holder, Age: l.age()}, nil
	case lines[0] == "held":
		e := l.held()
		e.Host = h.config.label()
		return LeaseState{}, e
	default:
		return fail(fmt.Errorf("the host's answer makes no sense: %q", lines[0]))
	}
}
