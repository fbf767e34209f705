//go:build !race

package rpc

// DefaultMaxMemory is what a driver process may allocate. One that wants more
// gets no more: most then end, and the calls in flight fail.
const DefaultMaxMemory = 2 << 30
