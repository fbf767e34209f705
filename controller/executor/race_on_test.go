//go:build race

package executor

// raced makes the tests that kill at many places take bigger steps: the
// stand-in for PHP is this very binary, and slow to start with the detector.
const raced = true
