host {
  address = "192.0.2.1"
}
driver "snapshot" {
}
ssh "x" {
}
