package sim

import (
	"fmt"
	"os"
	"strings"
)

// The rollouts of a simulated fleet's inventory.
const (
	// RolloutMonthly updates packages and goes to the newest release of 29.
	RolloutMonthly = "monthly"
	// RolloutFar goes to 31 by way of every major between.
	RolloutFar = "far"
	// RolloutFetch lets the hosts fetch the release from the mirror.
	RolloutFetch = "fetch"
)

// WriteInventory writes an inventory of the fleet in the language that people
// write theirs in.
func (f *Fleet) WriteInventory(path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, inventoryHead, quoteHCL(f.User), quoteHCL(f.KeyFile()), quoteHCL(f.KnownHosts()))
	for _, h := range f.Hosts {
		fmt.Fprintf(&b, "    %-10s = { ssh = %d, web = %d, ring = %-12s site = %s }\n",
			h.Name, h.SSHPort, webPort(h.URL), quoteHCL(h.Labels["ring"])+",", quoteHCL(h.Labels["site"]))
	}
	folder := "${local.folder}/${each.key}"
	if f.sameFolder != "" {
		folder = "${local.folder}/" + f.sameFolder
	}
	fmt.Fprintf(&b, inventoryHosts, quoteHCL(f.Dir+"/hosts"), folder, folder)
	b.WriteString(f.rollout(RolloutMonthly, "Package updates, then the newest release of 29.",
		"\n  # Updates within a major. MariaDB 10.6 → 10.11 is an upgrade: it waits until\n  # a rollout names it with upgrades = [\"mariadb\"].\n  system { level = \"update\" }\n",
		"29", f.MirrorDir(), "push"))
	b.WriteString(f.rollout(RolloutFar, "Several majors in one go: each is a hop of its own.", "", "31", f.MirrorDir(), "push"))
	b.WriteString(f.rollout(RolloutFetch, "As \"monthly\", but the hosts fetch the release themselves.", "", "29", f.Mirror, "fetch"))
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("cannot write the inventory: %w", err)
	}
	return nil
}

func webPort(url string) int {
	var port int
	fmt.Sscanf(url, "http://127.0.0.1:%d", &port)
	return port
}

// quoteHCL writes a text of HCL.
func quoteHCL(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "${", "$${", "%{", "%%{").Replace(s) + `"`
}

const inventoryHead = `# A simulated fleet: every host is a folder and an SSH server of this machine.
# The language is the one for real fleets; only the addresses are unusual.

ssh {
  user        = %s
  keys        = [%s]
  known_hosts = [%s]
  sudo        = "none" # nothing here needs root
}

locals {
  # name = SSH port, port of the web server, labels
  hosts = {
`

const inventoryHosts = `  }
  folder = %s
}

host "cloud" {
  for_each  = local.hosts
  name      = each.key
  address   = "127.0.0.1"
  labels    = { ring = each.value.ring, site = each.value.site }
  packages  = "apt"
  snapshot  = "archive"
  state_dir = "%s/state"

  ssh { port = each.value.ssh }

  nextcloud "main" {
    path   = "%s/srv/nextcloud"
    url    = "http://127.0.0.1:${each.value.web}"
    reload = ["systemctl", "reload", "php8.2-fpm.service"]
  }
}
`

func (f *Fleet) rollout(name, what, system, to, source, transfer string) string {
	waves := "\n  wave \"canary\" {\n    hosts = host.labels.ring == \"canary\"\n    bake  = \"1s\"\n  }\n"
	if len(f.Hosts) >= 4 {
		waves += "  wave \"few\" { percent = 25 }\n"
	}
	if len(f.Hosts) >= 2 {
		waves += "  wave \"everybody\" { rest = true }\n"
	}
	return fmt.Sprintf(`
# %s
rollout %s {%s
  core {
    to        = %s
    source    = %s
    transfer  = %s
    integrity = "warn" # the simulated releases carry no signature
  }
  apps { update = "all" }
%s
  max_unavailable = 4
  failures { budget = 1 } # the second failure halts the rollout
}
`, what, quoteHCL(name), system, quoteHCL(to), quoteHCL(source), quoteHCL(transfer), waves)
}
