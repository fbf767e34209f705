//go:build unix && !linux

package rpc

// confine does nothing: only Linux can limit another process.
func confine(int, uint64) {}
