host "a" {
  address = "192.0.2.1"
  labels  = { site = "fra" }
}
host "b" {
  address  = "192.0.2.2"
  labels   = { site = "fra", tier = "host" }
  packages = "apt"
  ssh { port = 1 }
}
group "one" {
  hosts     = host.labels.site == "fra"
  packages  = "apt"
  state_dir = "/srv/one"
  labels    = { tier = "one" }
  ssh { port = 2 }
}
group "two" {
  hosts     = ["a", "b"]
  packages  = "own"
  state_dir = "/srv/two"
  labels    = { tier = "two" }
  ssh { port = 3 }
}
group "nobody" { hosts = host.labels.site == "ams" }
group "selfish" { hosts = contains(host.groups, "one") }
group "unknown" { hosts = ["c"] }
group "typo" { hosts = host.lables.site == "fra" }
group "typo_label" { hosts = host.labels.sit != "fra" }
group "number" { hosts = 3 }
group "text" { hosts = host.name }
group "null" { hosts = null }
group "fails" { hosts = host.labels.site > 3 }
driver "packages" "own" {}
