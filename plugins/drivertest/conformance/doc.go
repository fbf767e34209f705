// Package conformance tries every promise of the driver contract on a driver
// and says which of them it keeps, and how to mend the ones it breaks.
//
// It is what drivertest runs in a driver's own tests and what `ncfleet driver
// test` runs on an executable, and may be used by any other program:
//
//	r := conformance.NewReport(ctx, 5*time.Minute, nil)
//	conformance.Snapshotter(r, conformance.Snapshots{New: …, Subject: …})
//	if !r.OK() { … r.Lines … }
//
// The suite asks for promises of the contract only: it refuses to know how a
// driver keeps them, and to know package testing.
package conformance

import "context"

// T is what the suite needs of a test: what *testing.T has, but for Try. All
// but Fatalf and Skipf may be called from any goroutine.
type T interface {
	Helper()
	Context() context.Context // ends right before the functions of Cleanup run
	Cleanup(f func())
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
	// Try tries one promise to its end, with a T of its own.
	Try(p Promise, f func(t T))
}

// Promise is one thing that the contract demands.
type Promise struct {
	Name string
	Fix  string // how drivers keep it, for whoever must mend one
}
