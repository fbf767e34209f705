package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestDoctor looks at two sound hosts, and again when one is ill. One of them
// has an updater of its own, as images of some hosters do.
func TestDoctor(t *testing.T) {
	f := newFleet(t, 2)
	f.want(exitOK, []string{"doctor", "monthly"}, "1 problem on 2 targets", "cron update-nextcloud updates instance main by itself", "where: cloud-01", "sudo sed -i")
	if err := os.Remove(filepath.Join(f.Host("cloud-01").Tree, "..", "..", "root", "etc", "cron.d", "update-nextcloud")); err != nil {
		t.Fatal(err)
	}
	f.want(exitOK, []string{"doctor", "monthly"}, "Nothing wrong was found on 2 targets")
	f.want(exitOK, []string{"doctor", "monthly", "--output", "json"}, `"rollout": "monthly"`, `"problems": []`)
	f.want(exitOK, []string{"doctor", "--fleet"}, "Nothing wrong was found on 2 targets")
	f.want(exitUsage, []string{"doctor", "--fleet", "monthly"}, "it goes without a rollout")
	before := f.onHosts()
	tree := f.Host("cloud-02").Tree
	f.edit(filepath.Join(tree, "config", "config.php"), "'maintenance' => false", "'maintenance' => true")
	f.want(exitError, []string{"doctor", "monthly"}, "where: cloud-02", "on 2 targets")
	f.want(exitError, []string{"doctor", "--fleet", "--output", "json"}, `"rollout": ""`, `"code": "maintenance_on"`)
	f.want(exitError, []string{"doctor", "nope"}, `the inventory has no rollout "nope"`)
	if after := f.onHosts(); len(after) > len(before) {
		t.Errorf("doctor left %d files", len(after)-len(before))
	}
}
