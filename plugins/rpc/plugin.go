package rpc

import (
	"context"

	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/ncfleet/ncfleet/plugins/driver"
)

// driverPlugin ties service and client to go-plugin. impl is nil on the
// controller's side.
type driverPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	impl driver.Driver
}

func (p *driverPlugin) GRPCServer(broker *plugin.GRPCBroker, g *grpc.Server) error {
	return (&service{impl: p.impl, broker: broker}).register(g)
}

func (p *driverPlugin) GRPCClient(_ context.Context, broker *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return newClient(broker, conn), nil
}

func handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{MagicCookieKey: cookieKey, MagicCookieValue: cookieValue}
}

// versions lists every protocol version that this build speaks.
func versions(impl driver.Driver) map[int]plugin.PluginSet {
	return map[int]plugin.PluginSet{
		driver.ProtocolVersion: {pluginName: &driverPlugin{impl: impl}},
	}
}
