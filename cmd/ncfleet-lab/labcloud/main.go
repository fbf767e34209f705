// Command labcloud is the snapshot driver "labcloud": it takes the hosts of a
// lab for the machines of a cloud, and images of their disks for its snapshots,
// so that the restore of whole machines can be rehearsed. It is built as
// ncfleet-driver-labcloud, put on the driver path and accepted like any driver.
//
//	driver "snapshot" "labcloud" {
//	  directory = "/var/lib/ncfleet-lab"
//	  poll      = "200ms"
//	}
//
// It must run as root on the machine of the lab. It refuses hosts whose data is
// in memory.
package main

import (
	"os"

	"github.com/ncfleet/ncfleet/plugins/rpc"
)

func main() {
	// A driver inherits no environment, and the lab's verbs call programs.
	_ = os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") // the name is sound
	rpc.Serve(newDriver())
}
