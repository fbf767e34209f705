variable "with space" { default = "" }
host "a/b" {
  address = "192.0.2.1"
}
host "tenant" {
  for_each = toset(["ok", "not ok"])
  address  = each.key == "ok" ? "192.0.2.2" : "192.0.2.3"
}
host "-rf" {
  address = "192.0.2.4"
  nextcloud ".hidden" {
    path = "/srv/nc"
    url  = "https://a.example.org"
  }
}
host "label" {
  name    = "other"
  address = "192.0.2.5"
}
