// Command ncfleet-driver-digitalocean serves the snapshot driver "digitalocean".
package main

import (
	"github.com/ncfleet/ncfleet/plugins/digitalocean"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

func main() { rpc.Serve(digitalocean.New()) }
