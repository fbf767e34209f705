package inventory_test

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/ncfleet/ncfleet/inventory"
)

func TestBastions(t *testing.T) {
	fleet := mustLoad(t, `
ssh {
  user   = "ops"
  jump   = ["gate"]
  config = true
}
bastion "outer" { address = "outer.example.org" }
bastion "gate" {
  address  = "gate.example.org"
  channels = 50
  ssh {
    user = "jump"
    port = 2222
    jump = ["outer", "root@middle"]
  }
}
host "a" {
  address = "a"
  ssh { config = "ssh_config" }
}
host "b" {
  address = "b"
  ssh {
    jump           = ["root@gate", "gate"]
    config         = false
    agent_socket   = "none"
    host_key_alias = "b.example.org"
  }
}
host "c" {
  address = "c"
  ssh { jump = [] }
}
group "berlin" {
  hosts    = ["a", "b"]
  parallel = 20
}
group "all" {
  hosts    = true
  parallel = 100
}
`)
	a, b, c := fleet.Host("a"), fleet.Host("b"), fleet.Host("c")
	if len(fleet.Bastions) != 2 || fleet.Bastions[0].SSH.User != "ops" || fleet.Bastions[0].SSH.Config != inventory.UsualSSHConfig || len(fleet.Bastions[0].SSH.Jump) != 0 {
		t.Errorf("bastions: %+v", fleet.Bastions)
	}
	way := a.SSH.Jump
	if len(way) != 3 || way[0].Bastion == nil || way[0].Bastion.Name != "outer" || way[1] != (inventory.Jump{Address: "middle", User: "root"}) {
		t.Fatalf("the way to a: %+v", way)
	}
	if g := way[2]; g.Bastion == nil || g.Bastion.Channels != 50 || g.Address != "gate.example.org" || g.Port != 2222 || g.User != "jump" {
		t.Errorf("the last bastion on the way to a: %+v", g)
	}
	if filepath.Base(a.SSH.Config) != "ssh_config" || !filepath.IsAbs(a.SSH.Config) {
		t.Errorf("ssh_config of a: %q", a.SSH.Config)
	}
	if way = b.SSH.Jump; len(way) != 2 || way[0] != (inventory.Jump{Address: "gate", User: "root"}) || way[1].Bastion == nil {
		t.Errorf("the way to b: %+v", way)
	}
	if b.SSH.Config != "" || b.SSH.AgentSocket != "none" || b.SSH.HostKeyAlias != "b.example.org" {
		t.Errorf("ssh of b: %+v", b.SSH)
	}
	if c.SSH.Jump == nil || len(c.SSH.Jump) != 0 || c.SSH.Config != inventory.UsualSSHConfig {
		t.Errorf("ssh of c: %+v", c.SSH)
	}
	if want := []inventory.Site{{"all", 100}, {"berlin", 20}}; !reflect.DeepEqual(a.Sites, want) || len(c.Sites) != 1 {
		t.Errorf("sites: %+v, %+v", a.Sites, c.Sites)
	}
}
