package main

import "path/filepath"

// withTheInventory are the commands that read the inventory alone.
func (s *scene) withTheInventory() {
	away, bad := s.with("away.hcl"), s.with("bad.hcl")
	for _, verb := range [][]string{{"inventory", "list"}, {"inventory", "show", "a"}, {"inventory", "graph"}, {"sudoers"},
		{"inventory", "export", "ansible"}, {"inventory", "export", "json"}, {"inventory", "export", "prometheus"}, {"inventory", "export", "ssh-config"}} {
		away.both(exitOK, verb...)
		bad.both(exitError, verb...)
	}
	s.both(exitOK, "inventory", "schema")
	s.unwritten("inventory", "schema")
	odd := s.write("odd.hcl", "host  \"a\" {\naddress=\"192.0.2.7\"\n}\n")
	for _, form := range []string{outputJSON, outputNDJSON} {
		s.want(exitError, "fmt", "--check", odd, "--output", form)
	}
	s.both(exitOK, "fmt", odd)
	s.both(exitOK, "fmt", filepath.Join(s.dir, "away.hcl"))
}
