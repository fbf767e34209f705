package main

import (
	"path/filepath"
	"testing"
)

// TestDoctor looks at two sound hosts, and again when one is ill.
func TestDoctor(t *testing.T) {
	f := newFleet(t, 2)
	f.want(exitOK, []string{"doctor", "monthly"}, "Nothing wrong was found on 2 targets")
	f.want(exitOK, []string{"doctor", "monthly", "--output", "json"}, `"problems": []`)
	before := f.onHosts()
	tree := f.Host("cloud-02").Tree
	f.edit(filepath.Join(tree, "config", "config.php"), "'maintenance' => false", "'maintenance' => true")
	f.want(exitError, []string{"doctor", "monthly"}, "where: cloud-02", "on 2 targets")
	f.want(exitError, []string{"doctor", "nope"}, `the inventory has no rollout "nope"`)
	if after := f.onHosts(); len(after) > len(before) {
		t.Errorf("doctor left %d files", len(after)-len(before))
	}
}
