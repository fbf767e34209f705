# One host, one Nextcloud: the smallest inventory that is of use.
#
# `ncfleet plan monthly` shows what would happen and touches nothing.

host "cloud" {
  # An IP address or a DNS name. 192.0.2.* are placeholders; write your own.
  address = "192.0.2.7"

  ssh {
    user = "ops"
    keys = ["~/.ssh/id_ed25519"]
    # The host's key must be in ~/.ssh/known_hosts already. To trust it at the
    # first contact, write host_keys = "accept-new".
  }

  # Where snapshots are taken. "archive" works on every host: it copies code,
  # config and database into a folder on the host.
  snapshot = "archive"

  # One block per installation on the host.
  nextcloud "main" {
    path = "/var/www/nextcloud" # the folder that holds occ
    url  = "https://cloud.example.org"
  }
}

# A rollout is a goal: security updates for the host, then the newest release
# of Nextcloud 29. Nothing else is upgraded.
rollout "monthly" {
  system {
    level  = "security"
    reboot = "if_required"
  }
  core {
    to = "29"
  }
}
