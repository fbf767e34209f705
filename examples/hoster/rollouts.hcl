# Nextcloud 29 for every tenant, from a mirror that the hosts reach themselves.
rollout "nc29" {
  core {
    to       = "29"
    source   = "https://mirror.example.net/nextcloud/releases"
    transfer = "fetch"
    timeout  = "3h"
  }
  apps {
    update          = "all"
    on_incompatible = "block"
  }

  # Waves are filled in order; a host goes into the first that takes it.
  wave "early" {
    hosts = host.labels.ring == "early"
    bake  = "24h"
  }
  wave "one-percent" {
    percent = 1 # 3 of 300
    bake    = "24h"
    approve = true
  }
  wave "standard" {
    hosts = host.labels.plan == "standard"
    bake  = "48h"
  }
  wave "enterprise" {
    rest            = true # all that are left
    approvals       = 2    # two people must agree
    approve_expires = "72h"
  }

  max_unavailable = "5%"
  failures { budget = "2%" }
  spread {
    label = "site"
    max   = 10
  }

  window {
    from = "01:00"
    to   = "05:00"
    zone = "UTC"
  }
}

# Security updates for the operating system, each week, one site only.
rollout "os-fra" {
  hosts = contains(host.groups, "fra")
  system {
    level   = "security"
    reboot  = "if_required"
    timeout = "45m"
  }
  wave "first" { count = 2 }
  wave "all" { rest = true }
  max_unavailable = "10%"
  window {
    days = ["sat", "sun"]
    from = "02:00"
    to   = "06:00"
    zone = "Europe/Berlin"
  }
}
