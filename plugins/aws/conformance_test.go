package aws

import (
	"context"
	"strings"
	"testing"

	"github.com/ncfleet/ncfleet/plugins/cloud/cloudtest"
	"github.com/ncfleet/ncfleet/plugins/driver"
	"github.com/ncfleet/ncfleet/plugins/drivertest"
)

// host answers as an instance with its root on /dev/xvda and data on /dev/xvdf.
type host struct{}

const hostAnswer = `path	/var/www/nextcloud	/var/www/nextcloud
path	/srv/data	/srv/data
mount	self	25 1 202:1 / / rw - ext4 /dev/xvda1 rw
mount	self	26 25 202:80 / /srv rw - ext4 /dev/xvdf rw
disk	xvda	202:0	16777216				
disk	xvda1	202:1	16775168		xvda		
disk	xvdf	202:80	209715200				
end
`

func (host) Run(_ context.Context, c driver.Command) (driver.Result, error) {
	if c.Argv[0] == "sh" {
		return driver.Result{Stdout: []byte(hostAnswer)}, nil
	}
	return driver.Result{}, nil
}

func subject(name string) driver.Subject {
	return driver.Subject{Host: name, Instance: "nextcloud", Labels: map[string]string{"cloud_id": name}, Places: []driver.Place{
		{Part: driver.PartCode, Path: "/var/www/nextcloud"}, {Part: driver.PartData, Path: "/srv/data"},
	}}
}

func config(endpoint string) driver.Config {
	return driver.Config{"region": "eu-central-1", "endpoint": endpoint, "access_key_id": "AKIAGOOD", "secret_access_key": "s3cret", "poll": "2ms", "wait": "1m"}
}

func inProcess(*testing.T) driver.Snapshotter { return New() }

func TestConformance(t *testing.T) {
	for name, newOne := range map[string]func(*testing.T) driver.Snapshotter{
		"in process": inProcess,
		"binary":     cloudtest.Binary(t, "../../cmd/ncfleet-driver-aws"),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.slow, f.late = 2, 1
			drivertest.Snapshotter(t, drivertest.Snapshots{
				New: newOne, Config: config(f.URL), Subject: subject("cloud-07"), Runner: host{},
				Change: func(*testing.T) { f.write(" upgraded") },
				State:  func(t *testing.T) string { return f.state(t) },
				Damage: func(_ *testing.T, h driver.Handle) {
					f.mu.Lock()
					defer f.mu.Unlock()
					for _, s := range f.snapshots {
						s.state, s.then = "error", ""
					}
				},
			})
			if volumes, snapshots := f.left(); len(volumes)+len(snapshots) > 0 {
				t.Errorf("left behind: volumes %v, snapshots %v", volumes, snapshots)
			}
			if !strings.Contains(f.state(t), `"cloud-08 root"`) {
				t.Errorf("the other instance was touched:\n%s", f.state(t))
			}
		})
	}
}
