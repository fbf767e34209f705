driver "snapshots" "hcloud" {
  token = secret("env:TOKEN")
}
driver "packages" "own" {
  nested = { a = 1 }
  block {}
  mixed  = ["a", secret("env:A")]
}
host "a" {
  address  = "192.0.2.1"
  packages = "own"
  snapshot = "hcloud"
}
host "b" {
  address  = "192.0.2.2"
  packages = "onw"
}
