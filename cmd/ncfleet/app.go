package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/ncfleet/ncfleet/controller"
	"github.com/ncfleet/ncfleet/controller/journal"
	"github.com/ncfleet/ncfleet/controller/nextcloud"
	"github.com/ncfleet/ncfleet/controller/remote"
	"github.com/ncfleet/ncfleet/controller/report"
	"github.com/ncfleet/ncfleet/controller/trace"
	"github.com/ncfleet/ncfleet/inventory"
)

// app is one run of the program: its flags, its streams and what it opened.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	inventory []string
	stateDir  string
	vars      []string
	output    string
	noColor   bool
	parallel  int

	fleet *inventory.Fleet
	mu    sync.Mutex
	pool  *remote.Pool
	// metricsAt is where metrics are served while a rollout runs, nil nowhere.
	metricsAt net.Listener
	// reached hears of attempts to connect, once a rollout runs.
	reached func(host string, err error)
	sender  *trace.Sender
	traced  bool // the environment was asked for traces
}

func newApp() *app {
	return &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
}

// color reports whether w is a terminal that shows colour.
func (a *app) color(w io.Writer) bool {
	f := fileOf(w)
	return f != nil && !a.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// width is the terminal's, 80 elsewhere.
func (a *app) width(w io.Writer) int {
	if f := fileOf(w); f != nil {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 20 {
			return n
		}
	}
	return 80
}

// paths are the inventory's files.
func (a *app) paths() ([]string, error) {
	if len(a.inventory) > 0 {
		return a.inventory, nil
	}
	for _, p := range []string{"fleet.hcl", "fleet.hcl.json"} {
		if _, err := os.Stat(p); err == nil {
			return []string{p}, nil
		}
	}
	found, err := filepath.Glob("*.hcl")
	if err != nil || len(found) == 0 {
		return nil, errors.New("no inventory here: give one with --inventory FILE, or write fleet.hcl (examples/small.hcl is a start)")
	}
	return []string{"."}, nil
}

// load reads the inventory once; problems are shown with their place.
func (a *app) load() (*inventory.Fleet, error) {
	if a.fleet != nil {
		return a.fleet, nil
	}
	fleet, diags, err := a.readInventory()
	if err != nil {
		return nil, err
	}
	if diags.HasErrors() {
		return nil, &exitCode{exitError, ""}
	}
	a.fleet = fleet
	return fleet, nil
}

// readInventory reads the inventory and shows what is wrong with it.
func (a *app) readInventory() (*inventory.Fleet, inventory.Diagnostics, error) {
	paths, err := a.paths()
	if err != nil {
		return nil, nil, err
	}
	vars := map[string]string{}
	for _, v := range a.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, nil, &exitCode{exitUsage, fmt.Sprintf("error: --var %s: write NAME=VALUE", v)}
		}
		vars[name] = value
	}
	fleet, diags := inventory.Load(paths, inventory.Options{Vars: vars, KnownDrivers: builtinNames()})
	if len(diags) == 0 {
		return fleet, nil, nil
	}
	return fleet, diags, diags.Render(a.stderr, a.color(a.stderr), a.width(a.stderr))
}

// state is the folder of journal and cache.
func (a *app) state() (string, error) {
	if a.stateDir != "" {
		return a.stateDir, nil
	}
	paths, err := a.paths()
	if err != nil {
		return "", err
	}
	return filepath.Join(folderOf(paths), ".ncfleet"), nil
}

// folderOf is the folder of an inventory: what belongs beside it lies there.
func folderOf(paths []string) string {
	dir := paths[0]
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	return dir
}

// self is how a command line begins that means the same inventory and journal,
// for people to copy. Values of variables are left out: they may be secret.
func (a *app) self() string {
	words := []string{"ncfleet"}
	for _, p := range a.inventory {
		words = append(words, "-i", nextcloud.Quote(p))
	}
	if a.stateDir != "" {
		words = append(words, "--state", nextcloud.Quote(a.stateDir))
	}
	for _, v := range a.vars {
		name, _, _ := strings.Cut(v, "=")
		words = append(words, "--var", name+"=…")
	}
	return strings.Join(words, " ")
}

// look says how text for w looks.
func (a *app) look(w io.Writer) report.Options {
	return report.Options{Width: a.width(w), Color: a.color(w), Command: a.self()}
}

// secret reads the value a reference points to.
func secret(s inventory.Secret) (string, error) {
	return inventory.ResolveSecret(s, os.LookupEnv, func(p string) ([]byte, error) {
		f, err := os.Open(p)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, 1<<20))
	})
}

// who names the operator for journals and leases.
func who() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}

// connect returns the pool of connections.
func (a *app) connect() *remote.Pool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pool == nil {
		a.pool = remote.NewPool(remote.Limits{})
		a.pool.Reached = a.tellReached
		a.pool.Waiting = a.tellWaiting
	}
	return a.pool
}

// tellReached passes on how an attempt to connect ended.
func (a *app) tellReached(host string, err error) {
	a.mu.Lock()
	tell := a.reached
	a.mu.Unlock()
	if tell != nil {
		tell(host, err)
	}
}

// tellWaiting says what a person has to do before a login goes on.
func (a *app) tellWaiting(host, what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(a.stderr, "%s: %s\n", host, what)
}

// hearReached says who hears of attempts to connect from now on.
func (a *app) hearReached(tell func(host string, err error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reached = tell
}

// close ends all connections.
func (a *app) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pool != nil {
		_ = a.pool.Close() // connections go with the process; nothing depends on a clean end
		a.pool = nil
	}
}

// codeOf is the one table from error to exit code.
func codeOf(err error) int {
	var locked *journal.Locked
	if errors.As(err, &locked) || errors.Is(err, controller.ErrFenced) {
		return exitLocked
	}
	return exitError
}

// now is the wall clock, in UTC and without a monotonic part, as stored.
func now() time.Time { return clock().UTC().Round(0) }

// clock is the wall clock. Nothing but tests moves it.
var clock = time.Now
