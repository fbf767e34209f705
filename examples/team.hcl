# A dozen hosts of one team, upgraded in three waves: one canary that nobody
# depends on, a quarter of the rest, and then everybody else at night.

# A variable is given with --var release=29.0.1; without it, the default holds.
variable "release" {
  description = "The Nextcloud release to go to: a major, or one release."
  default     = "29"
}

# Secrets are references. The value is read when it is needed, by the
# controller, and is printed nowhere.
variable "sudo" {
  description = "Where the password for sudo is found."
  secret      = true
  default     = "env:NCFLEET_SUDO"
}

locals {
  domain = "example.org"

  # Who has which address. The key becomes the host's name.
  clouds = {
    for n in range(1, 11) : format("%02d", n) => {
      address = "192.0.2.${10 + n}"
      site    = n <= 5 ? "berlin" : "hamburg"
    }
  }
}

# What holds for all hosts. Groups and hosts may say otherwise.
ssh {
  user          = "ops"
  keys          = ["~/.ssh/id_ed25519"]
  jump          = "ops@bastion.example.org"
  sudo_password = var.sudo
}

# A driver block configures a driver. "archive" keeps three copies in a folder
# of the host that has the room.
driver "snapshot" "archive" {
  directory = "/srv/ncfleet"
  keep      = 3
}

# Ten production hosts from one block: cloud-01 … cloud-10.
host "cloud" {
  for_each = local.clouds
  name     = "cloud-${each.key}"
  address  = each.value.address
  labels = {
    ring = "production"
    site = each.value.site
  }

  nextcloud "main" {
    path = "/var/www/nextcloud"
    url  = "https://cloud-${each.key}.${local.domain}"
  }
}

# A host with two installations.
host "lab" {
  address = "192.0.2.10"
  labels  = { ring = "canary", site = "berlin" }

  nextcloud "next" {
    path = "/var/www/next"
    url  = "https://next.${local.domain}"
  }
  nextcloud "docs" {
    path   = "/var/www/docs"
    url    = "https://docs.${local.domain}"
    php    = "/usr/bin/php8.2"
    reload = ["systemctl", "reload", "php8.2-fpm"]
  }
}

# A database host without Nextcloud: only its packages are updated.
host "db" {
  address = "192.0.2.9"
  labels  = { ring = "production", site = "berlin", role = "database" }
  ssh { jump = [] } # reached directly
}

# A group sets things for the hosts it selects.
group "all" {
  hosts    = true
  packages = "apt"
  snapshot = "archive"
}

group "databases" {
  hosts = host.labels.role == "database" # "" for hosts without the label
  ssh { port = 2222 }
}

rollout "spring" {
  hosts = !contains(host.groups, "databases")

  system { level = "security" }
  core { to = var.release }
  apps {
    on_incompatible = "block" # refuse rather than lose an app
    critical        = ["calendar", "contacts"]
  }

  wave "canary" {
    hosts = host.labels.ring == "canary"
    bake  = "2h" # must stay healthy that long
  }
  wave "few" {
    percent = 25 # of all hosts of the rollout, rounded down, at least 1
    bake    = "12h"
    approve = true # then a person says go
  }
  wave "everybody" {
    rest = true
  }

  max_unavailable = 2       # out of service at one instant
  spread { label = "site" } # never two hosts of one site
  failures { budget = 1 }   # the second failure halts the rollout

  window {
    days = ["mon", "tue", "wed", "thu"]
    from = "22:00"
    to   = "04:00" # of the next day
    zone = "Europe/Berlin"
  }
  window {
    days = ["second sat"] # of the month
    from = "06:00"
    to   = "18:00"
    zone = "Europe/Berlin"
  }
  window_reserve = "20m" # nothing starts that would leave less for a way back

  blackout {
    from   = "2026-12-18"
    to     = "2027-01-06"
    reason = "end of the year: nobody is in"
  }

  gate {
    pages = ["/index.php/login", "/ocs-provider/"]
  }
}

# Packages of the database hosts, on their own.
rollout "databases" {
  hosts = contains(host.groups, "databases")
  system {
    level  = "update"
    reboot = "if_required"
  }
}
