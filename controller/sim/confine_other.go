//go:build !linux

package sim

// confine is known on Linux only.
func (p *process) confine() int { return 126 }

func confinable() bool { return false }
