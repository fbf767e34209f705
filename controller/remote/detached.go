package remote

import (
	"context"
	"crypto/sha256"
	_ "embed" // for the scripts
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

var (
	//go:embed scripts/lib.sh
	libScript string
	//go:embed scripts/fence.sh
	fenceScript string
	//go:embed scripts/start.sh
	startScript string
	//go:embed scripts/keeper.sh
	keeperScript string
	//go:embed scripts/watch.sh
	watchScript string
	//go:embed scripts/abort.sh
	abortScript string
	//go:embed scripts/forget.sh
	forgetScript string
)

const (
	watchSeconds = 20 // one remote command of Wait
	abortGrace   = 10 // seconds between TERM and KILL
	// helperTimeout bounds the short remote commands around detached runs.
	helperTimeout = 2 * time.Minute
	unlimited     = 1 << 50
)

// Start starts the command as the detached run id, or attaches to it when that
// id was claimed before; the state says which. When it sees another start of
// the id give up, whose connection broke say, it tries to claim the id itself,
// up to five times. The command's Timeout is the
// caller's to keep, with Abort. Start fails with LeaseLost or LeaseHeld unless
// the host is leased under the token, and with OutcomeUnknown when the
// connection broke: calling it again with the same id is always safe.
func (h *Host) Start(ctx context.Context, id, token string, c driver.Command) (driver.RunState, error) {
	if err := checkToken(token); err != nil {
		return driver.RunState{}, fmt.Errorf("cannot start run %s: %w", id, err)
	}
	if err := h.settle(ctx); err != nil {
		return driver.RunState{}, err
	}
	inner := h.config.detachable(c)
	w, err := inner.config.compose(inner.command)
	if err != nil {
		return driver.RunState{}, fmt.Errorf("host %s: %w", h.config.label(), err)
	}
	argv, err := quoteAll(c.Argv)
	if err != nil {
		return driver.RunState{}, fmt.Errorf("host %s: cannot start %s: %w", h.config.label(), w.title, err)
	}
	mark := randomMark()
	stdin := "# user " + orElse(c.User, h.config.User) + ", folder " + orElse(c.Dir, "/") + "\n" + argv + "\n" + mark + "\n" + string(w.head) + string(c.Stdin)
	size := len(w.head) + len(c.Stdin)
	folder := folderName(id)
	unit := "ncfleet-" + strings.NewReplacer("%", "_", ":", "-").Replace(folder) + "-" + mark[:8]
	return h.script(ctx, id, fenceScript+startScript, stdin, nil,
		token, mark, unit, w.line, compact(keeperScript), strconv.Itoa(h.pool.limits.Output+1), strconv.Itoa(size))
}

// detached is a command as the keeper, which is root already, runs it.
type detached struct {
	config  Config
	command driver.Command
}

func (c *Config) detachable(cmd driver.Command) detached {
	d := detached{config: *c, command: cmd}
	if d.command.User == "" {
		d.command.User = c.User
	}
	d.config.SudoPassword = nil
	if c.Sudo != SudoNone {
		d.config.User = "root"
	}
	if d.config.User != "root" || d.command.User == d.config.User {
		d.command.User = ""
	}
	return d
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Look returns the state of a run with its outputs up to the pool's limit.
func (h *Host) Look(ctx context.Context, id string) (driver.RunState, error) {
	limit := strconv.Itoa(h.pool.limits.Output + 1)
	return h.script(ctx, id, watchScript, "", nil, "0", "0", "0", limit, limit)
}

// Abort ends a run: TERM to all its processes, after ten seconds KILL. The
// run then counts as exited. Aborting an ended run changes nothing. Without the
// token's lease it fails, as Start does.
func (h *Host) Abort(ctx context.Context, id, token string) error {
	if err := checkToken(token); err != nil {
		return fmt.Errorf("cannot abort run %s: %w", id, err)
	}
	_, err := h.script(ctx, id, fenceScript+abortScript, "", nil, strconv.Itoa(abortGrace), token)
	return err
}

// Forget removes what an ended run left on the host, so that its id may be
// started anew. Without the token's lease it fails, as Start does.
func (h *Host) Forget(ctx context.Context, id, token string) error {
	if err := checkToken(token); err != nil {
		return fmt.Errorf("cannot forget run %s: %w", id, err)
	}
	_, err := h.script(ctx, id, fenceScript+forgetScript, "", nil, token)
	return err
}

// Wait returns when the run ended, is lost or never was. It survives lost
// connections and goes on where it was, until ctx ends. Output goes to out as
// it comes, about once a second; out may be nil.
func (h *Host) Wait(ctx context.Context, id string, out func(stdout, stderr []byte)) (driver.RunState, error) {
	// A host that goes down kills the script, one that boots refuses logins.
	const strangeTries = 8
	limit := h.pool.limits.Output
	follow := &follower{stdout: buffer{limit: limit}, stderr: buffer{limit: limit}, out: out}
	backoff, strange := 500*time.Millisecond, 0
	for {
		seenOut, seenErr := follow.nOut, follow.nErr
		maxOut, maxErr := unlimited, unlimited
		if out == nil {
			maxOut, maxErr = max(0, limit+1-seenOut), max(0, limit+1-seenErr)
		}
		state, err := h.script(ctx, id, watchScript, "", follow, strconv.Itoa(watchSeconds),
			strconv.Itoa(seenOut), strconv.Itoa(seenErr), strconv.Itoa(maxOut), strconv.Itoa(maxErr))
		if err == nil {
			backoff, strange = 500*time.Millisecond, 0
			if state.Phase == driver.RunRunning {
				continue
			}
			follow.fill(&state)
			return state, nil
		}
		var auth *AuthError
		if errors.As(err, &auth) || errors.Is(err, errIncomplete) {
			strange++
		}
		if ctx.Err() != nil || permanent(err) || strange >= strangeTries {
			return driver.RunState{ID: id}, fmt.Errorf("cannot wait for run %s: %w", id, err)
		}
		if err := pause(ctx, jitter(backoff)); err != nil {
			return driver.RunState{ID: id}, fmt.Errorf("cannot wait for run %s: %w", id, err)
		}
		backoff = min(2*backoff, 15*time.Second)
	}
}

// permanent reports whether trying again cannot help.
func permanent(err error) bool {
	var unknown *OutcomeUnknown
	var unreachable *Unreachable
	var auth *AuthError
	switch {
	case errors.As(err, &unreachable):
		return unreachable.Reason == ReasonClosedPool
	case errors.As(err, &unknown), errors.As(err, &auth), errors.Is(err, errIncomplete):
		return false
	default:
		return true
	}
}

// script runs one of the scripts about runs as root and reads its answer.
func (h *Host) script(ctx context.Context, id, script, stdin string, follow *follower, args ...string) (driver.RunState, error) {
	if id == "" {
		return driver.RunState{}, errors.New("cannot use a run without an id")
	}
	if _, err := h.connection(ctx); err != nil {
		return driver.RunState{ID: id}, err
	}
	ctx, stop := context.WithTimeout(ctx, helperTimeout)
	defer stop()
	argv := append([]string{"sh", "-c", compact(libScript + script), "ncfleet", h.config.stateDir(), folderName(id)}, args...)
	if follow == nil {
		limit := h.pool.limits.Output
		follow = &follower{stdout: buffer{limit: limit}, stderr: buffer{limit: limit}}
	}
	answer := &frames{out: follow.add}
	errs := &buffer{limit: peekLimit}
	exit, err := h.stream(ctx, driver.Command{Argv: argv, User: h.config.root()},
		&streams{stdin: strings.NewReader(stdin), stdout: answer, stderr: errs})
	answer.stop()
	if err != nil {
		return driver.RunState{ID: id}, retitle(err, "the script about run "+id)
	}
	state, err := answer.state(id)
	if err != nil {
		if refused := h.config.refused(err); refused != nil {
			return driver.RunState{ID: id}, refused
		}
		return driver.RunState{ID: id}, fmt.Errorf("host %s: run %s: %w (exit status %d, %s)",
			h.config.label(), id, err, exit, strings.TrimSpace(string(errs.bytes())))
	}
	follow.fill(&state)
	return state, nil
}

// retitle names the purpose instead of a long script in an error.
func retitle(err error, title string) error {
	var unknown *OutcomeUnknown
	var notStarted *NotStarted
	var sudo *SudoError
	var cut *OutputTruncated
	switch {
	case errors.As(err, &unknown):
		unknown.Command = title
	case errors.As(err, &notStarted):
		notStarted.Command = title
	case errors.As(err, &sudo):
		sudo.Command = title
	case errors.As(err, &cut):
		cut.Command = title
	}
	return err
}

// root is the user that owns runs: the login user where there is no sudo.
func (c *Config) root() string {
	if c.Sudo == SudoNone {
		return ""
	}
	return "root"
}

// folderName turns an id into one file name, different for different ids.
// Slashes become colons, for reading.
func folderName(id string) string {
	var b strings.Builder
	for i := 0; i < len(id); i++ {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.' && i > 0:
			b.WriteByte(c)
		case c == '/':
			b.WriteByte(':')
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	const limit = 160
	name := b.String()
	if len(name) <= limit {
		return name
	}
	sum := sha256.Sum256([]byte(id))
	return name[:limit-33] + "%" + hex.EncodeToString(sum[:16])
}

// follower collects outputs and passes them on; it remembers how far it got.
type follower struct {
	stdout, stderr buffer
	nOut, nErr     int
	out            func(stdout, stderr []byte)
}

func (f *follower) add(stream byte, p []byte) {
	if stream == 'o' {
		f.nOut += len(p)
		f.stdout.Write(p)
		if f.out != nil {
			f.out(p, nil)
		}
		return
	}
	f.nErr += len(p)
	f.stderr.Write(p)
	if f.out != nil {
		f.out(nil, p)
	}
}

// fill puts the collected outputs into the state and says when they were cut.
func (f *follower) fill(s *driver.RunState) {
	s.Stdout, s.Stderr = f.stdout.bytes(), f.stderr.bytes()
	if s.Detail == "" && (f.stdout.cut() || f.stderr.cut()) {
		s.Detail = fmt.Sprintf("output cut at %d bytes, the host has it whole", f.stdout.limit)
	}
}
