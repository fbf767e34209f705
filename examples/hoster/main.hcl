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

# Each site has its own bastion; a group per site leads through it.
bastion "fra" {
  address = "bastion.fra.example.net"
  ssh { port = 2222 }
}

bastion "ams" {
  address = "bastion.ams.example.net"
  ssh { port = 2222 }
}

# It is reached through another one.
bastion "hel" {
  address = "bastion.hel.example.net"
  ssh { jump = ["fra"] }
}

group "fra" {
  hosts = host.labels.site == "fra"
  ssh { jump = ["fra"] }
}

group "ams" {
  hosts = host.labels.site == "ams"
  ssh { jump = ["ams"] }
}

group "hel" {
  hosts    = host.labels.site == "hel"
  parallel = 20 # of its hosts at once: the line is thin
  ssh { jump = ["hel"] }
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
