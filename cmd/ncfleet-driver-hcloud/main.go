// Command ncfleet-driver-hcloud serves the snapshot driver "hcloud".
package main

import (
	"github.com/ncfleet/ncfleet/plugins/hcloud"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

func main() { rpc.Serve(hcloud.New()) }
