package remote

import (
	"context"
	_ "embed" // for the scripts
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

var (
	//go:embed scripts/lease.sh
	leaseScript string
	//go:embed scripts/do.sh
	doScript string
)

// LeaseState is the lease of a host; without a token there is none.
type LeaseState struct {
	Token  string
	Holder string
	Age    time.Duration // by the host's clock
}

// Token is "ROLLOUT EPOCH NONCE": the epoch is higher for whichever controller
// of the rollout came later, and the nonce is one process's own.
var tokenForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]* [1-9][0-9]{0,17} [A-Za-z0-9]+$`)

func checkToken(token string) error {
	if !tokenForm.MatchString(token) {
		return fmt.Errorf("%q is no lease token: it must be ROLLOUT EPOCH NONCE", token)
	}
	return nil
}

// ReadToken returns what a token says; a lease of an older ncfleet has no epoch.
func ReadToken(token string) (rollout string, epoch int64) {
	words := strings.Fields(token)
	if len(words) > 1 {
		epoch, _ = strconv.ParseInt(words[1], 10, 64) // what is no number is no epoch
	}
	if len(words) > 0 {
		rollout = words[0]
	}
	return rollout, epoch
}

// Lease takes the host's lease, or finds that it is the token's already. What
// an earlier controller of the same rollout holds is taken over. It fails with
// LeaseHeld when another rollout has the lease, and with LeaseLost when a later
// controller of this one came or the token's lease was broken. A lease does not
// end by itself.
func (h *Host) Lease(ctx context.Context, holder, token string) (LeaseState, error) {
	if err := checkToken(token); err != nil {
		return LeaseState{}, fmt.Errorf("cannot take the lease of host %s: %w", h.config.label(), err)
	}
	return h.lease(ctx, "take", token, holder, "")
}

// Release gives up what the token or an earlier controller of its rollout
// holds. Where there is no such lease there is nothing to give up. It fails
// with LeaseLost when a later controller came.
func (h *Host) Release(ctx context.Context, token string) error {
	if err := checkToken(token); err != nil {
		return fmt.Errorf("cannot release the lease of host %s: %w", h.config.label(), err)
	}
	_, err := h.lease(ctx, "release", token, "", "")
	return err
}

// LookLease returns the lease as it is. It changes nothing.
func (h *Host) LookLease(ctx context.Context) (LeaseState, error) {
	s, err := h.lease(ctx, "look", "", "", "")
	var held *LeaseHeld
	if errors.As(err, &held) {
		return LeaseState{Token: held.Token, Holder: held.Holder, Age: held.Age}, nil
	}
	return s, err
}

// BreakLease takes the lease away from the token that has it. The host keeps
// who did it, when and why, and refuses that token from then on. It fails with
// LeaseHeld when another token has the lease by now.
func (h *Host) BreakLease(ctx context.Context, token, who, reason string) error {
	if token == "" || reason == "" {
		return fmt.Errorf("cannot break the lease of host %s: a token and a reason are needed", h.config.label())
	}
	_, err := h.lease(ctx, "break", token, who, reason)
	return err
}

func (h *Host) lease(ctx context.Context, verb, token, who, reason string) (LeaseState, error) {
	fail := func(err error) (LeaseState, error) {
		return LeaseState{}, fmt.Errorf("cannot %s the lease of host %s: %w", verb, h.config.label(), err)
	}
	if strings.ContainsAny(token+who+reason, "\r\n\x00") {
		return fail(errors.New("token, holder and reason must be one line each"))
	}
	if _, err := h.connection(ctx); err != nil {
		return LeaseState{}, err
	}
	ctx, stop := context.WithTimeout(ctx, helperTimeout)
	defer stop()
	argv := []string{"sh", "-c", compact(libScript + fenceScript + leaseScript), "ncfleet", h.config.stateDir(), "x", verb, token, who, reason}
	r, err := h.Run(ctx, driver.Command{Argv: argv, User: h.config.root()})
	if err != nil {
		return LeaseState{}, retitle(err, "the script about the lease")
	}
	lines := strings.Split(strings.TrimSuffix(string(r.Stdout), "\n"), "\n")
	if lines[len(lines)-1] != "end" {
		return fail(fmt.Errorf("the host's answer is incomplete (exit status %d, %s)", r.Exit, strings.TrimSpace(string(r.Stderr))))
	}
	if err := h.config.refused(refusal(lines)); err != nil {
		return LeaseState{}, err
	}
	cause, failed := strings.CutPrefix(lines[0], "fail ")
	switch {
	case failed:
		return fail(errors.New(cause))
	case lines[0] == "free":
		return LeaseState{}, nil
	case lines[0] == "yours":
		l := readLease(lines[1:])
		return LeaseState{Token: l.token, Holder: l.holder, Age: l.since(l.taken)}, nil
	default:
		return fail(fmt.Errorf("the host's answer makes no sense: %q", lines[0]))
	}
}

// Do runs a command that changes the host, as Run does, but only under the
// token's lease: the host itself checks it just before, and refuses with
// LeaseLost or LeaseHeld.
func (h *Host) Do(ctx context.Context, token string, c driver.Command) (driver.Result, error) {
	fail := func(err error) (driver.Result, error) {
		return driver.Result{Exit: -1}, fmt.Errorf("host %s: %w", h.config.label(), err)
	}
	if err := checkToken(token); err != nil {
		return fail(fmt.Errorf("cannot run %s: %w", title(c.Argv), err))
	}
	if err := h.settle(ctx); err != nil {
		return driver.Result{Exit: -1}, err
	}
	inner := h.config.detachable(c)
	w, err := inner.config.compose(inner.command)
	if err != nil {
		return fail(err)
	}
	mark := randomMark()
	r, err := h.Run(ctx, driver.Command{
		Argv:  []string{"sh", "-c", compact(libScript + fenceScript + doScript), "ncfleet", h.config.stateDir(), "x", token, mark, w.line},
		Stdin: append(w.head, c.Stdin...), User: h.config.root(), Timeout: c.Timeout,
	})
	if err != nil {
		return r, retitle(err, w.title)
	}
	if _, said, found := strings.Cut(string(r.Stderr), mark+"\n"); found && r.Exit == 126 {
		if err := h.config.refused(refusal(strings.Split(strings.TrimSuffix(said, "\n"), "\n"))); err != nil {
			return driver.Result{Exit: -1}, err
		}
		return fail(fmt.Errorf("cannot run %s: the host's answer about the lease makes no sense: %q", w.title, said))
	}
	return r, nil
}

// lease is what a script says of the lease and of what came before.
type lease struct {
	token, holder, how, who, why string
	taken, at, now               int64
}

func readLease(lines []string) lease {
	var l lease
	for _, line := range lines {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "token":
			l.token = value
		case "holder":
			l.holder = value
		case "taken":
			l.taken, _ = strconv.ParseInt(value, 10, 64) // an unreadable time is none
		case "how":
			l.how = value
		case "at":
			l.at, _ = strconv.ParseInt(value, 10, 64)
		case "who":
			l.who = value
		case "why":
			l.why = value
		case "now":
			l.now, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return l
}

func (l *lease) since(t int64) time.Duration {
	if t == 0 || l.now < t {
		return 0
	}
	return time.Duration(l.now-t) * time.Second
}

// refusal is the error that an answer stands for, nil when it is none.
func refusal(lines []string) error {
	if len(lines) == 0 || lines[len(lines)-1] != "end" {
		return nil
	}
	l := readLease(lines[1:])
	switch lines[0] {
	case "held":
		return &LeaseHeld{Holder: l.holder, Token: l.token, Age: l.since(l.taken)}
	case LeaseStale, LeaseOlder, LeaseGone:
		return &LeaseLost{Reason: lines[0], Holder: l.holder, Token: l.token, Age: l.since(l.taken),
			How: l.how, Who: l.who, Why: l.why, Ago: l.since(l.at)}
	}
	return nil
}

// refused puts the host into an error that refusal gave; others give nil.
func (c *Config) refused(err error) error {
	var held *LeaseHeld
	var lost *LeaseLost
	switch {
	case errors.As(err, &held):
		held.Host, held.Name = c.label(), orElse(c.Name, c.label())
		return held
	case errors.As(err, &lost):
		lost.Host = c.label()
		return lost
	}
	return nil
}
