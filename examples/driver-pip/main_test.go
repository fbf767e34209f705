package main

import (
	"testing"

	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

func TestMain(m *testing.M) { drivertest.Main(m, func() driver.Driver { return &pip{} }) }

// outdated is what pip list --outdated --format=json printed on a host.
const outdated = `[{"name": "certifi", "version": "2024.7.4", "latest_version": "2026.1.4", "latest_filetype": "wheel"},
 {"name": "idna", "version": "3.6", "latest_version": "3.11", "latest_filetype": "wheel"},
 {"name": "urllib3", "version": "1.26.18", "latest_version": "2.6.3", "latest_filetype": "wheel"}]`

func TestConformance(t *testing.T) {
	c := drivertest.Packages{
		Results:   []driver.Result{{Stdout: []byte(outdated)}, {Stdout: []byte("No broken requirements found.\n")}},
		Selection: driver.Selection{Changes: []driver.PackageChange{{Name: "idna", From: "3.6", To: "3.11", Change: driver.ChangeUpdate}}},
	}
	c.New = func(*testing.T) driver.PackageManager { return &pip{} }
	t.Run("in process", func(t *testing.T) { drivertest.PackageManager(t, c) })
	c.New = func(t *testing.T) driver.PackageManager { return drivertest.Subprocess(t, nil).PackageManager() }
	t.Run("subprocess", func(t *testing.T) { drivertest.PackageManager(t, c) })
}

func TestFacts(t *testing.T) {
	facts, err := (&pip{}).Facts(t.Context(), driver.ProbeRequest{}, []driver.Result{
		{Stdout: []byte(outdated)},
		{Exit: 1, Stdout: []byte("requests 2.31.0 has requirement urllib3<2, but you have urllib3 2.0.1.\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(facts.Pending) != 3 || facts.Pending[1].To != "3.11" || facts.Pending[1].Held {
		t.Errorf("pending %+v", facts.Pending)
	}
	if last := facts.Pending[2]; !last.Held || last.Change != driver.ChangeUpgrade || last.Reason == "" {
		t.Errorf("a new major version is not held: %+v", last)
	}
	if len(facts.Broken) != 1 {
		t.Errorf("broken %q", facts.Broken)
	}
}
