variable "domain" {
  type    = string
  default = "example.org"
}
variable "ports" {
  type    = map(number)
  default = { a = 2201 }
}
variable "sudo" {
  secret  = true
  default = "file:sudo.txt"
}
locals {
  zone  = "Europe/${local.city}"
  city  = "Berlin"
  sites = { b = "fra", c = "ams" }
}
ssh {
  user            = "ops"
  keys            = ["~/.ssh/id", "keys/id"]
  key_passphrase  = secret("env:PASS")
  certificates    = "cert.pub"
  agent           = true
  known_hosts     = ["known_hosts"]
  host_keys       = "accept-new"
  jump            = ["ops@outer.example.org:2222", "[2001:db8::1]:22"]
  connect_timeout = "15s"
  keepalive       = "20s"
  sudo            = "auto"
  sudo_password   = var.sudo
}
driver "packages" "own" {
  text    = "x"
  number  = 1.5
  flag    = true
  list    = ["a", "b"]
  token   = secret("env:TOKEN")
  nothing = null
}
host "a" {
  address   = "a.${var.domain}"
  labels    = { ring = "canary", n = 1, on = true }
  packages  = "apt"
  snapshot  = "archive"
  state_dir = "/srv/state/"
  ssh {
    port = var.ports["a"]
    jump = []
  }
  nextcloud "one" {
    path           = "/srv/one"
    url            = "https://one.example.org/"
    web_user       = "www-data"
    php            = "/usr/bin/php8.2"
    reload         = ["systemctl", "reload", "php8.2-fpm"]
    probe_user     = "probe"
    probe_password = secret("file:/etc/probe")
  }
  nextcloud "two" {
    path = "/srv/two"
    url  = "http://one.example.org:8080/two"
  }
}
host "t" {
  for_each = local.sites
  name     = "t-${upper(each.key)}"
  address  = "${each.key}.${each.value}.example.org"
  labels   = { site = each.value }
}
host "s" {
  for_each = toset(["1"])
  address  = "192.0.2.${each.value}"
}
group "sited" {
  hosts  = host.labels.site != ""
  labels = { kind = "tenant", site = "none" }
  ssh { port = 2222 }
}
group "all" {
  hosts     = true
  packages  = "own"
  state_dir = "/var/lib/all"
}
rollout "full" {
  hosts           = contains(host.groups, "sited") || host.name == "a"
  max_unavailable = "25%"
  system {
    level    = "update"
    upgrades = ["php"]
    refresh  = false
    reboot   = "if_required"
    timeout  = "45m"
  }
  core {
    to        = 29
    source    = "releases"
    transfer  = "push"
    integrity = "warn"
    timeout   = "3h"
  }
  apps {
    update          = "none"
    on_incompatible = "disable"
    catalogue       = "https://apps.example.org/apps.json"
    critical        = ["calendar"]
  }
  wave "canary" {
    hosts = host.labels.ring == "canary"
    bake  = "1h30m"
  }
  wave "part" {
    percent         = 40
    approvals       = 2
    approve_expires = "24h"
  }
  wave "rest" { rest = true }
  spread {
    label = "site"
    max   = 2
  }
  failures { budget = "10%" }
  window {
    days = ["sun", "mon"]
    from = "22:00"
    to   = "04:00"
    zone = local.zone
  }
  window {
    days = ["last sun", "second sat"]
    from = "06:00"
    to   = "18:00"
    zone = "UTC"
  }
  blackout {
    from   = "2026-12-20"
    to     = "2027-01-06"
    reason = "Christmas"
  }
  window_reserve = "10m"
  gate {
    webdav         = "off"
    setup_checks   = "off"
    log            = "off"
    pages          = ["/login"]
    timeout        = "90s"
    ignore_checks  = ["X"]
    outside_verify = "off"
    on_hold        = "rollback"
  }
}
blackout {
  from   = "2027-05-01"
  zone   = "America/New_York"
  reason = "audit"
}
rollout "defaults" {
  core { to = "29.0.1" }
}
rollout "named" {
  hosts = ["t-C", "a"]
  system { level = "security" }
  wave "first" { count = 1 }
  wave "second" { hosts = true }
}
