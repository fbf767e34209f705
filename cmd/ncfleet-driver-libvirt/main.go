// The program ncfleet-driver-libvirt is the snapshot driver "libvirt".
package main

import (
	"github.com/ncfleet/ncfleet/plugins/libvirt"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

func main() { rpc.Serve(libvirt.New()) }
