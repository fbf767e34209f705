ssh {
  user            = "o ps"
  port            = 70000
  keys            = [3, ""]
  certificates    = { a = 1 }
  agent           = "perhaps"
  known_hosts     = ["~other/known_hosts"]
  host_keys       = "accept_new"
  jump            = ["ops@bastion:x", "b"]
  connect_timeout = "15"
  keepalive       = "1ms"
  sudo            = "always"
}
host "a" {
  address = "192.0.2.1"
  ssh {
    port = 22.5
    jump = "-oProxyCommand=x"
    user = ["a"]
  }
}
