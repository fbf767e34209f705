variable "region" { default = "fra" }
locals {
  domain = "example.org"
  bad    = local.domian
  late   = each.key
}
host "a" {
  address = "a.${local.domian}"
  labels = {
    region = var.regoin
    key    = each.key
    self   = host.name
    bare   = canary
    whole  = var
  }
  ssh { host_keys = strict }
}
host "b" {
  for_each = toset(["x"])
  address  = "b.${each.vlaue}.example.org"
}
host "c" {
  address = uper("c.example.org")
}
host "d" {
  address = local.bad
  labels  = { also = local.bad }
}
