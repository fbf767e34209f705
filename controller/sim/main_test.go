package sim

import (
	"os"
	"testing"
)

// TestMain lets the test's own program be the hosts' stand-ins.
func TestMain(m *testing.M) {
	if status, handled := Main(os.Args); handled {
		os.Exit(status)
	}
	os.Exit(m.Run())
}
