host "a" {
  address   = "192.0.2.1:2222"
  packages  = "aptt"
  snapshot  = "zfs"
  state_dir = "var/lib/x"
  labels    = ["canary"]
}
host "b" {
  address   = "ops@192.0.2.1"
  state_dir = "/"
  labels    = { nested = { a = 1 }, list = [1] }
}
host "c" {
  address = "192.0.2.300"
}
host "d" {
  address = "two words"
}
host "e" {
  address = "192.0.2.5"
}
host "f" {
  address = "192.0.2.5"
}
