//go:build unix

package rpc

import (
	"strings"
	"testing"
	"time"
)

// The end of a process is often seen before its last words have been read.
func TestLastWordsOfADriverThatEndsAtOnce(t *testing.T) {
	_, err := Start(t.Context(), Options{
		Name: "misfit", Path: "/bin/sh",
		Args: []string{"-c", "for i in 1 2 3 4 5; do echo word $i >&2; done; printf 'and the end' >&2; exit 4"},
		Line: func(string) { time.Sleep(30 * time.Millisecond) },
	})
	if err == nil || !strings.Contains(err.Error(), "exit status 4") || !strings.HasSuffix(err.Error(), "its last words: word 1\nword 2\nword 3\nword 4\nword 5\nand the end") {
		t.Errorf("error %v", err)
	}
}

func TestProgramThatCannotBeStarted(t *testing.T) {
	_, err := Start(t.Context(), Options{Name: "misfit", Path: "/no/such/driver"})
	if err == nil || !strings.Contains(err.Error(), "check the file and its permissions") {
		t.Errorf("error %v", err)
	}
}
