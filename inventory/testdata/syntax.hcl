host "a" {
  address = "192.0.2.1
}
