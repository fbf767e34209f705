package cloudtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// Host answers a driver's commands as the host on a machine of the world would.
// While the machine is not running it cannot be reached.
type Host struct {
	World   *World
	Machine string
	// Points says where the disks are mounted: "sda" or the volume's device to
	// "/", "/srv". A disk that is not named is not mounted.
	Points map[string]string
	// Serial makes the serial number of a volume's disk; nil for none.
	Serial func(v *Volume) string
	// Database is the host in config.php, "localhost" by default.
	Database string
	// Server is the device on which the database server's data lies.
	Server string
	// More is added to what the host says of itself: lines of the core's script.
	More string
}

// Run implements driver.Runner for the commands of the core.
func (h *Host) Run(ctx context.Context, c driver.Command) (driver.Result, error) {
	if err := ctx.Err(); err != nil {
		return driver.Result{Exit: -1}, err
	}
	state := "gone"
	h.World.Look(func() {
		if m := h.World.Machines[h.Machine]; m != nil {
			state = m.State
		}
	})
	if state != "running" {
		return driver.Result{Exit: -1}, driver.Errorf(driver.Retryable, "cannot reach the host: its machine is %s", state)
	}
	switch {
	case len(c.Argv) == 0:
		return driver.Result{Exit: -1}, driver.Errorf(driver.Permanent, "an empty command")
	case c.Argv[0] == "sync":
		return driver.Result{}, nil
	case slices.Contains(c.Argv, "ncfleet-db-facts"):
		db := h.Database
		if db == "" {
			db = "localhost"
		}
		return driver.Result{Stdout: []byte("host=" + db + "\n")}, nil
	case c.Argv[0] == "sh" && len(c.Argv) > 3 && strings.Contains(string(c.Stdin), "mountinfo"):
		return driver.Result{Stdout: []byte(h.facts(c.Argv[4:]))}, nil
	}
	return driver.Result{Exit: 127, Stderr: []byte("the fake host does not know " + c.Argv[0])}, nil
}

func (h *Host) facts(places []string) string {
	var b strings.Builder
	for _, p := range places {
		fmt.Fprintf(&b, "path\t%s\t%s\n", p, p)
	}
	h.World.Look(func() {
		m := h.World.Machines[h.Machine]
		disks := map[string]string{} // name to serial
		if m.GiB > 0 {
			disks["sda"] = ""
		}
		for device, id := range m.Attached {
			name := device[strings.LastIndex(device, "/")+1:]
			disks[name] = ""
			if h.Serial != nil {
				disks[name] = h.Serial(h.World.Volumes[id])
			}
		}
		for i, name := range slices.Sorted(maps.Keys(disks)) {
			fmt.Fprintf(&b, "disk\t%s\t8:%d\t20971520\t%s\t\t\t\n", name, 16*i, disks[name])
			point := h.Points[name]
			if point == "" {
				continue
			}
			line := fmt.Sprintf("%d 1 8:%d / %s rw - ext4 /dev/%s rw", i+20, 16*i, point, name)
			fmt.Fprintf(&b, "mount\tself\t%s\n", line)
			if name == h.Server {
				fmt.Fprintf(&b, "mount\t700\t%s\nserver\t700\t%s\n", line, point)
			}
		}
	})
	return b.String() + h.More + "end\n"
}

// Subject is a target on that host: code and config on /, data and the database
// where Points has them.
func (h *Host) Subject(host, label string) driver.Subject {
	s := driver.Subject{Host: host, Instance: "cloud", WebUser: "www-data", PHP: "/usr/bin/php", DatabaseKind: "mysql", StateDir: "/var/lib/ncfleet",
		Labels: map[string]string{label: h.Machine},
		Places: []driver.Place{
			{Part: driver.PartCode, Path: "/var/www/nextcloud"}, {Part: driver.PartConfig, Path: "/var/www/nextcloud/config"},
			{Part: driver.PartDatabase, Detail: "MariaDB nextcloud@localhost"}, {Part: driver.PartSystem, Path: "/"}}}
	for _, device := range slices.Sorted(maps.Keys(h.Points)) {
		if point := h.Points[device]; point != "/" {
			s.Places = append(s.Places, driver.Place{Part: driver.PartData, Path: point + "/data"})
		}
	}
	return s
}
