// Package examples holds the driver programs that `ncfleet driver new` begins
// with: the same files that people read here, and that the tests try.
package examples

import "embed"

// Drivers are the sources of one driver of each kind.
//
//go:embed driver-go/main.go driver-go/main_test.go driver-go/host.sh
//go:embed driver-pip/main.go driver-pip/main_test.go
var Drivers embed.FS
