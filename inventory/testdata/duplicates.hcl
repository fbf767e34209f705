variable "v" { default = "" }
variable "v" { default = "" }
locals { l = 1 }
locals { l = 2 }
ssh { port = 22 }
ssh { port = 23 }
driver "snapshot" "archive" { keep = 1 }
driver "snapshot" "archive" { keep = 2 }
driver "packages" "archive" {}
host "a" {
  address = "192.0.2.1"
  ssh { port = 22 }
  ssh { port = 23 }
  nextcloud "one" {
    path = "/srv/one"
    url  = "https://one.example.org"
  }
  nextcloud "one" {
    path = "/srv/two"
    url  = "https://two.example.org"
  }
}
host "a" {
  address = "192.0.2.2"
}
host "each" {
  for_each = toset(["1", "2"])
  name     = "same"
  address  = "192.0.2.3"
}
group "g" { hosts = true }
group "g" { hosts = true }
rollout "r" {
  wave "w" { count = 1 }
  wave "w" { rest = true }
}
rollout "r" {
  core { to = "29" }
}
