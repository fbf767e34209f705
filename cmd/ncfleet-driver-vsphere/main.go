// The program ncfleet-driver-vsphere is the snapshot driver "vsphere".
package main

import (
	"github.com/ncfleet/ncfleet/plugins/rpc"
	"github.com/ncfleet/ncfleet/plugins/vsphere"
)

func main() { rpc.Serve(vsphere.New()) }
