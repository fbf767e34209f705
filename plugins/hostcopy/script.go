package hostcopy

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

//go:embed scripts/lib.sh
var libScript string

//go:embed scripts/tree.sh
var treeScript string

//go:embed scripts/db.sh
var dbScript string

// VolumeScript is what stores share that keep trees in snapshots of volumes. It
// goes ahead of such a store's own functions.
//
//go:embed scripts/volumes.sh
var VolumeScript string

//go:embed scripts/facts.php
var factsPHP string

//go:embed scripts/cover.sh
var coverScript string

//go:embed scripts/prepare.sh
var prepareScript string

//go:embed scripts/create.sh
var createScript string

//go:embed scripts/verify.sh
var verifyScript string

//go:embed scripts/restore.sh
var restoreScript string

//go:embed scripts/delete.sh
var deleteScript string

//go:embed scripts/list.sh
var listScript string

// Bounds of one call on the host. They only end a call that hangs: dumping and
// loading a database of several hundred GB must fit in.
const (
	lookTimeout = 10 * time.Minute
	workTimeout = 12 * time.Hour
)

// Exit statuses of the scripts.
const (
	exitPermanent = 65
	exitNotFound  = 66
	exitNoRoom    = 74
	exitBusy      = 75
)

// compose joins what a script needs. The store's functions come after those
// that they override. The PHP code goes in as a quoted word.
func (a *copier) compose(operation string) []byte {
	php := strings.TrimPrefix(factsPHP, "<?php\n")
	return []byte(libScript + treeScript + dbScript + a.store.Script + "php_code=" + quote(php) + "\n" + operation)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// call runs one script as root and returns its output.
func (a *copier) call(ctx context.Context, run driver.Runner, what, script string, timeout time.Duration, args []string) ([]byte, error) {
	shell := a.store.Shell
	if shell == nil {
		shell = []string{"sh"}
	}
	r, err := run.Run(ctx, driver.Command{
		Argv:    slices.Concat(shell, []string{"-s", "--", "driver=" + a.store.Name}, a.own, args),
		Stdin:   a.compose(script),
		User:    "root",
		Timeout: timeout,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot %s: %w", what, err)
	}
	if r.Exit == 0 {
		return r.Stdout, nil
	}
	return nil, failure(what, r)
}

// failure turns a script's end into a typed error.
func failure(what string, r driver.Result) error {
	message := lastLine(r.Stderr)
	for _, line := range strings.Split(string(r.Stderr), "\n") {
		if m, ok := strings.CutPrefix(line, "ncfleet: "); ok {
			message = m
			break
		}
	}
	if message == "" {
		message = fmt.Sprintf("the script ended with status %d and said nothing", r.Exit)
	}
	class := driver.Permanent
	var after time.Duration
	switch r.Exit {
	case exitPermanent:
	case exitNotFound:
		class = driver.NotFound
	case exitNoRoom:
		class = driver.Quota
	case exitBusy:
		class, after = driver.Retryable, 10*time.Second
	default:
		// Killed or unknown: what was begun is found again by its key.
		if r.Exit < 0 || r.Exit > 128 {
			class, after = driver.Retryable, time.Second
		}
		message = fmt.Sprintf("%s (exit status %d)", message, r.Exit)
	}
	e := driver.Errorf(class, "cannot %s: %s", what, message)
	e.After = after
	return e
}

func lastLine(b []byte) string {
	b = bytes.TrimSpace(b)
	return string(b[bytes.LastIndexByte(b, '\n')+1:])
}

// fields reads name=value lines.
func fields(out []byte) map[string]string {
	m := map[string]string{}
	for _, line := range strings.Split(string(out), "\n") {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.Contains(name, "\t") {
			m[name] = value
		}
	}
	return m
}

// maxName leaves room for the longest suffix within a file name's 255 bytes.
const maxName = 150

// NameOf writes a key as one file name, without collisions.
func NameOf(key string) (string, error) {
	for _, r := range key {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune("._/-", r) {
			return "", driver.Errorf(driver.Permanent, "the snapshot key %q has characters other than letters, digits and ._/-", key)
		}
	}
	name := strings.ReplaceAll(key, "/", "+")
	if name == "" || name[0] == '.' || name[0] == '-' {
		return "", driver.Errorf(driver.Permanent, "the snapshot key %q is empty or starts with . or -", key)
	}
	if len(name) > maxName {
		sum := sha256.Sum256([]byte(key))
		name = name[:maxName-33] + "=" + hex.EncodeToString(sum[:16])
	}
	return name, nil
}
