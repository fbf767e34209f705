// Command ncfleet-driver-openstack is the snapshot driver for servers of
// OpenStack; ncfleet starts it. See plugins/openstack.
package main

import (
	"github.com/ncfleet/ncfleet/plugins/openstack"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

func main() { rpc.Serve(openstack.New()) }
