// Command ncfleet-driver-aws is the snapshot driver for instances of Amazon
// EC2; ncfleet starts it. See plugins/aws.
package main

import (
	"github.com/ncfleet/ncfleet/plugins/aws"
	"github.com/ncfleet/ncfleet/plugins/rpc"
)

func main() { rpc.Serve(aws.New()) }
