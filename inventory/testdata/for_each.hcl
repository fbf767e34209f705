host "list" {
  for_each = ["a", "b"]
  address  = "192.0.2.1"
}
host "number" {
  for_each = 3
  address  = "192.0.2.1"
}
host "null" {
  for_each = null
  address  = "192.0.2.1"
}
host "secret" {
  for_each = { a = secret("env:A") }
  address  = "192.0.2.1"
}
host "broken" {
  for_each = local.missing
  address  = "192.0.2.1"
}
host "port" {
  for_each = toset(["a", "b"])
  address  = "192.0.2.1:22"
}
host "unnamed" {
  for_each = toset(["a"])
  name     = null
  address  = "192.0.2.1"
}
