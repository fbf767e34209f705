package rpc_test

import (
	"github.com/ncfleet/ncfleet/plugins/drivertest"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

// A driver's main function.
func ExampleServe() {
	rpc.Serve(drivertest.NewFakeSnapshotter("/var/lib/snapshots"))
}
