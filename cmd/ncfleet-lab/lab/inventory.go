package lab

import (
	"fmt"
	"slices"
	"strings"
)

// WriteInventory writes the inventory of the lab that is up, in the language
// that people write theirs in.
func (l *Lab) WriteInventory() error {
	st, err := l.load()
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, inventoryHead, l.KeyFile(), l.KnownHosts())
	if slices.ContainsFunc(st.Hosts, func(h hostState) bool { return h.Disk == "btrfs" }) {
		b.WriteString(inventoryBtrfs)
	}
	b.WriteString("locals {\n  hosts = {\n")
	for i, h := range st.Hosts {
		ring := "production"
		if i == 0 {
			ring = "canary"
		}
		fmt.Fprintf(&b, "    %s = { address = %q, ring = %q, db = %q, packages = %q, snapshot = %q }\n",
			h.Name, h.Address, ring, h.DB, packageTools[h.Distro], snapshotDriver(h))
	}
	b.WriteString(inventoryHosts)
	b.WriteString(st.rollout())
	if err := writeFile(l.Inventory(), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("cannot write the inventory: %w", err)
	}
	return nil
}

const inventoryHead = `# The fleet of a lab. Its hosts are reached from inside the lab's network only:
# put "ncfleet-lab run" before each command that contacts them.

ssh {
  user        = "ops"
  keys        = [%q]
  known_hosts = [%q]
}

# Snapshots lie on the data disk, beside what they hold a copy of.
driver "snapshot" "archive" {
  directory = "/srv/ncfleet"
  keep      = 2
}

`

const inventoryBtrfs = `# Of a disk that is btrfs, the trees are kept in snapshots of their subvolumes.
driver "snapshot" "btrfs" {
  directory = "/srv/ncfleet"
  keep      = 2
}

`

// snapshotDriver is the best that the host's disk allows.
func snapshotDriver(h hostState) string {
	if h.Disk == "btrfs" {
		return "btrfs"
	}
	return "archive"
}

const inventoryHosts = `  }
}

host "lab" {
  for_each = local.hosts
  name     = each.key
  address  = each.value.address
  labels   = { ring = each.value.ring, db = each.value.db }
  packages = each.value.packages
  snapshot = each.value.snapshot

  nextcloud "main" {
    path = "/srv/nextcloud/html"
    url  = "http://${each.value.address}"
  }
}
`

// rollout writes the rollout "monthly": package updates, then the next major.
func (st *state) rollout() string {
	var b strings.Builder
	b.WriteString(`
# Updates within a major, then the next major of Nextcloud. What is an upgrade of
# another product (mysql 5.6 → 5.7) waits until a rollout names it.
rollout "monthly" {
  system {
    level  = "update"
    reboot = "if_required"
  }
  core {
`)
	fmt.Fprintf(&b, "    to     = %q\n    source = %q\n", st.Goal, webBase+"/releases")
	if st.Official {
		b.WriteString("    integrity = \"warn\" # a copy may lack files\n")
	} else {
		b.WriteString("    integrity = \"warn\" # the stand-in's releases carry no signature\n")
	}
	fmt.Fprintf(&b, "  }\n  apps {\n    update    = \"all\"\n    catalogue = %q\n  }\n", webBase+"/store/apps.json")
	b.WriteString("\n  wave \"canary\" { hosts = host.labels.ring == \"canary\" }\n")
	if len(st.Hosts) >= 4 {
		b.WriteString("  wave \"second\" { count = 2 }\n")
	}
	if len(st.Hosts) >= 2 {
		b.WriteString("  wave \"rest\" { rest = true }\n")
	}
	b.WriteString("\n  max_unavailable = 3\n  failures { budget = 1 }\n")
	if st.Official {
		b.WriteString("  gate { ignore_checks = [\"CodeIntegrity\"] }\n")
	}
	b.WriteString("}\n")
	return b.String()
}
