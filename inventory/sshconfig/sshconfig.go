// Package sshconfig asks the OpenSSH client what its configuration says of a
// host, by "ssh -G". It parses no ssh_config itself: what Match, Include and
// the order of blocks mean only ssh knows. Asking connects to nothing, but like
// ssh it runs the programs of "Match exec".
package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of asking.
const (
	patience = 20 * time.Second // for one host; Match exec may run programs
	atOnce   = 8                // processes of one Asker
)

// Files that are none.
const (
	Usual = ""     // what ssh itself reads: the user's and the system's
	None  = "none" // no file at all: ssh's defaults
)

// Query says whom to ask about.
type Query struct {
	File string // an ssh_config, Usual or None
	Host string // as one would write it after "ssh"
	User string // "" leaves it to ssh
	Port int    // 0 leaves it to ssh
}

// Answer is what ssh would use, by option in lower case, in ssh's order.
type Answer map[string][]string

// First returns an option's first value, "" when there is none.
func (a Answer) First(option string) string {
	if len(a[option]) == 0 {
		return ""
	}
	return a[option][0]
}

// What may stand for a host or a user: both become words of a command line,
// and Match exec may give them to a shell.
var (
	hostWord = regexp.MustCompile(`^[A-Za-z0-9_:\[][A-Za-z0-9_.:%\[\]-]{0,254}$`)
	userWord = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,127}\$?$`)
)

// Ask asks ssh once.
func Ask(ctx context.Context, q Query) (Answer, error) {
	if !hostWord.MatchString(q.Host) {
		return nil, fmt.Errorf("cannot ask ssh about %q: that is not a host's name", q.Host)
	}
	if q.User != "" && !userWord.MatchString(q.User) {
		return nil, fmt.Errorf("cannot ask ssh about %s: %q is not a user's name", q.Host, q.User)
	}
	argv := []string{"-G"}
	if q.File != Usual {
		argv = append(argv, "-F", q.File)
	}
	if q.User != "" {
		argv = append(argv, "-l", q.User)
	}
	if q.Port != 0 {
		argv = append(argv, "-p", strconv.Itoa(q.Port))
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	cmd := exec.CommandContext(ctx, "ssh", append(argv, "--", q.Host)...)
	cmd.WaitDelay = time.Second // a program of Match exec may hold the output open
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("cannot ask ssh what its configuration means: there is no ssh on this machine; install the OpenSSH client")
	case ctx.Err() != nil:
		return nil, fmt.Errorf("cannot ask ssh about %s: no answer within %s: %w", q.Host, patience, ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("cannot ask ssh about %s: %w: %s", q.Host, err, strings.TrimSpace(stderr.String()))
	}
	told := Answer{}
	for line := range strings.Lines(string(out)) {
		if option, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), " "); ok {
			told[option] = append(told[option], value)
		}
	}
	return told, nil
}

// Asker asks about each host once and keeps the answers. The zero value is
// ready; it is safe for concurrent use.
type Asker struct {
	mu    sync.Mutex
	slots chan struct{}
	kept  map[Query]*kept
}

type kept struct {
	done   chan struct{}
	answer Answer
	err    error
}

// Ask returns what ssh said about the host. Callers that ask the same at the
// same time wait for one process; what ended with an error is asked anew.
func (k *Asker) Ask(ctx context.Context, q Query) (Answer, error) {
	for {
		k.mu.Lock()
		if k.kept == nil {
			k.kept, k.slots = map[Query]*kept{}, make(chan struct{}, atOnce)
		}
		known := k.kept[q]
		if known == nil {
			mine := &kept{done: make(chan struct{})}
			k.kept[q] = mine
			k.mu.Unlock()
			k.ask(ctx, q, mine)
			return mine.answer, mine.err
		}
		k.mu.Unlock()
		select {
		case <-known.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		// One that ended with its own caller says nothing.
		if known.err == nil || !errors.Is(known.err, context.Canceled) {
			return known.answer, known.err
		}
	}
}

func (k *Asker) ask(ctx context.Context, q Query, mine *kept) {
	defer close(mine.done)
	select {
	case k.slots <- struct{}{}:
		mine.answer, mine.err = Ask(ctx, q)
		<-k.slots
	case <-ctx.Done():
		mine.err = ctx.Err()
	}
	if mine.err != nil {
		k.mu.Lock()
		delete(k.kept, q)
		k.mu.Unlock()
	}
}
