ssh {
  jump         = ["gate"]
  agent_socket = "~other/agent"
}
bastion "gate" {
  address = "gate.example.org"
  ssh { jump = "inner" }
}
bastion "inner" {
  address    = "inner.example.org"
  handshakes = 0
  ssh { jump = ["gate"] }
}
bastion "gate" { address = "other.example.org" }
bastion "self" {
  channels = "many"
  ssh { jump = ["self"] }
}
group "site" {
  hosts    = true
  parallel = 0
}
host "a" {
  address = "192.0.2.1"
  ssh {
    host_key_alias  = "a b"
    identities_only = "sometimes"
  }
}
