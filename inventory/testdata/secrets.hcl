locals {
  token = secret("env:TOKEN")
}
ssh {
  sudo_password  = "hunter2"
  key_passphrase = secret("hunter2")
  sudo_pasword   = "hunter2"
}
host "a" {
  address = secret("env:ADDRESS")
  labels  = { token = local.token }
  ssh { user = "x${local.token}" }
  nextcloud "main" {
    path           = "/srv/nc"
    url            = "https://user:hunter2@a.example.org"
    web_user       = join("-", ["www", local.token])
    probe_user     = "probe"
    probe_password = env("PROBE")
    reload         = [local.token]
  }
}
host "b" {
  address = "192.0.2.2"
  nextcloud "half" {
    path       = "/srv/nc"
    url        = "https://b.example.org"
    probe_user = "probe"
  }
}
rollout "r" {
  hosts           = local.token
  max_unavailable = local.token
  system { refresh = local.token }
}
