package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"

	"github.com/ncfleet/ncfleet/controller/sim"
)

// TestMain lets the test's own program be what ncfleet starts of itself:
// drivers, and the stand-ins of simulated hosts. By the name of ncfleet it is
// ncfleet, which tests start, and kill, as a process.
func TestMain(m *testing.M) {
	if status, handled := sim.Main(os.Args); handled {
		os.Exit(status)
	}
	if len(os.Args) > 3 && os.Args[1] == "driver" && os.Args[2] == "serve" {
		if file := os.Getenv("TEST_COUNT_STARTS"); file != "" {
			if f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
				fmt.Fprintf(f, "started %s\n", os.Args[3])
				f.Close()
			}
		}
		os.Exit(run(context.Background(), os.Args[1:], newApp()))
	}
	testscript.Main(m, map[string]func(){"ncfleet": atItsTime, "ncfleet-driver-idle": serveIdle})
}

// atItsTime is ncfleet by a clock that a test moves: the file that
// TEST_CLOCK names says how far it is from the machine's.
func atItsTime() {
	if file := os.Getenv("TEST_CLOCK"); file != "" {
		clock = func() time.Time {
			text, err := os.ReadFile(file)
			if err != nil {
				panic(err)
			}
			by, err := time.ParseDuration(string(text))
			if err != nil {
				panic(err)
			}
			return time.Now().Add(by)
		}
	}
	main()
}

func privateKey() string {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(block))
}
