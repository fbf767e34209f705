# A hoster: 300 tenants in three sites. The folder is read as one inventory;
# how it is divided into files is up to you.
#
#   main.hcl      how hosts are reached, drivers
#   tenants.hcl   who there is
#   rollouts.hcl  what is to be done

variable "key" {
  description = "The private key of the controller."
  default     = "~/.ssh/fleet_ed25519"
}

ssh {
  user            = "fleet"
  keys            = [var.key]
  key_passphrase  = secret("env:FLEET_KEY_PASSPHRASE")
  known_hosts     = ["known_hosts"] # beside this file
  connect_timeout = "15s"
  keepalive       = "20s"
}

# Each site has its own bastion; a group per site sets it.
group "fra" {
  hosts = host.labels.site == "fra"
  ssh { jump = "fleet@bastion.fra.example.net:2222" }
}

group "ams" {
  hosts = host.labels.site == "ams"
  ssh { jump = "fleet@bastion.ams.example.net:2222" }
}

# Reached through two bastions: the outermost comes first.
group "hel" {
  hosts = host.labels.site == "hel"
  ssh { jump = ["fleet@bastion.fra.example.net:2222", "fleet@bastion.hel.example.net"] }
}

# The archive driver works everywhere; a driver block gives it its settings.
driver "snapshot" "archive" {
  directory = "/srv/ncfleet"
  keep      = 2
}

group "everyone" {
  hosts     = true
  packages  = "apt"
  snapshot  = "archive"
  state_dir = "/srv/ncfleet/state"
  labels    = { owner = "platform" }
}
