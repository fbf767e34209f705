package main

import (
	"reflect"
	"testing"

	"github.com/ncfleet/ncfleet/controller/remote"
	"github.com/ncfleet/ncfleet/inventory"
)

// TestRemoteConfig turns inventories into ways to their host.
func TestRemoteConfig(t *testing.T) {
	t.Setenv("HOME", "/home/ops")
	known := []string{"/home/ops/.ssh/known_hosts"}
	gate := &inventory.Bastion{Name: "gate", Address: "gate.example.org", Channels: 50,
		SSH: inventory.SSH{User: "jump", Port: 2222, Keys: []string{"/k/gate"}}}
	for name, c := range map[string]struct {
		host inventory.Host
		want remote.Config
	}{
		"bastion block": {
			inventory.Host{Name: "a", Address: "a.example.org", StateDir: "/s", Sites: []inventory.Site{{Group: "berlin", Parallel: 5}},
				SSH: inventory.SSH{User: "ops", Keys: []string{"/k/a"}, Jump: []inventory.Jump{{Address: "gate.example.org", User: "jump", Port: 2222, Bastion: gate}}}},
			remote.Config{Name: "a", Address: "a.example.org", User: "ops", Keys: []string{"/k/a"}, KnownHosts: known, StateDir: "/s",
				Sites: []remote.Site{{Name: "berlin", Parallel: 5}},
				Jump: []remote.Config{{Name: "gate", Address: "gate.example.org", User: "jump", Port: 2222, Keys: []string{"/k/gate"}, KnownHosts: known,
					Bounds: remote.JumpLimits{Channels: 50}}}},
		},
		"bastion without a block": {
			inventory.Host{Name: "a", Address: "a.example.org",
				SSH: inventory.SSH{User: "ops", Port: 2200, Keys: []string{"/k/a"}, HostKeyAlias: "alias", AgentSocket: "/run/agent", Jump: []inventory.Jump{{Address: "gate"}}}},
			remote.Config{Name: "a", Address: "a.example.org", User: "ops", Port: 2200, Keys: []string{"/k/a"}, HostKeyAlias: "alias", Agent: true, AgentSocket: "/run/agent", KnownHosts: known,
				Jump: []remote.Config{{Name: "gate", Address: "gate", User: "ops", Keys: []string{"/k/a"}, Agent: true, AgentSocket: "/run/agent", KnownHosts: known}}},
		},
		"ssh_config": {
			inventory.Host{Name: "a", Address: "web1",
				SSH: inventory.SSH{User: "ops", Config: "/c", Agent: true, AgentSocket: "none", Jump: []inventory.Jump{{Address: "gate"}}}},
			remote.Config{Name: "a", Address: "web1", User: "ops", SSHConfig: "/c", AgentSocket: "none",
				Jump: []remote.Config{{Name: "gate", Address: "gate", SSHConfig: "/c", AgentSocket: "none"}}},
		},
		"directly, whatever ssh_config says": {
			inventory.Host{Name: "a", Address: "web1", SSH: inventory.SSH{Config: inventory.UsualSSHConfig, Jump: []inventory.Jump{}}},
			remote.Config{Name: "a", Address: "web1", SSHConfig: remote.SSHConfigUsual, Jump: []remote.Config{}},
		},
	} {
		if got := remoteConfig(&c.host); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, c.want)
		}
	}
}
