// The program ncfleet-driver-proxmox is the snapshot driver "proxmox".
package main

import (
	"github.com/ncfleet/ncfleet/plugins/proxmox"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

func main() { rpc.Serve(proxmox.New()) }
