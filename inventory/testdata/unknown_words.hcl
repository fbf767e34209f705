hots "a" {
  address = "192.0.2.1"
}

host "b" {
  adress = "192.0.2.2"
  address = "192.0.2.2"
  sshh { user = "ops" }
  ssh { usr = "ops" }
  nextcloud "main" {
    path = "/srv/nc"
    uri  = "https://b.example.org"
    url  = "https://b.example.org"
  }
}

rollout "r" {
  maxunavailable = 3
  core { too = "29" }
  wave "w" { rst = true }
}
