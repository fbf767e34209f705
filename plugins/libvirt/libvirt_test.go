package libvirt

import (
	"testing"

	"github.com/digitalocean/go-libvirt"

	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

func (d *daemon) conformance(t *testing.T, newOne func(*testing.T) driver.Snapshotter) {
	drivertest.Snapshotter(t, drivertest.Snapshots{
		New: newOne, Config: d.config(), Subject: d.subject(), Runner: d.host, Change: d.change, State: d.state,
		Damage: func(t *testing.T, h driver.Handle) { // somebody deletes it by hand
			refs, _, err := d.own.DomainListAllSnapshots(d.domain, 1, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range refs {
				if err := d.own.DomainSnapshotDelete(r, libvirt.DomainSnapshotDeleteFlags(0)); err != nil {
					t.Fatal(err)
				}
			}
		},
	})
}

func TestConformance(t *testing.T) {
	newDaemon(t).conformance(t, func(*testing.T) driver.Snapshotter { return New() })
}

// TestConformanceOfTheBinary runs the suite over the program as users get it.
func TestConformanceOfTheBinary(t *testing.T) {
	newDaemon(t).conformance(t, cloudtest.Binary(t, "../../cmd/ncfleet-driver-libvirt"))
}
