//go:build race

package rpc

// DefaultMaxMemory is what a driver process may allocate. What the race
// detector keeps for itself counts too, so it is more in a program built with it.
const DefaultMaxMemory = 6 << 30
