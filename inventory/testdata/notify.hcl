notify "webhok" "a" { url = "https://x.example" }
notify "webhook" "ops" {
  url = "ftp://x.example"
  to  = ["ops@example.org"]
  on  = ["waves"]
}
notify "webhook" "ops" { url = secret("env:HOOK") }
notify "talk" "room" { url = "https://cloud.example.org" }
notify "email" "people" {
  server   = "mail.example.org"
  from     = "ncfleet at example.org"
  to       = []
  password = secret("env:MAIL")
}
notify "slack" "fine" {
  url = secret("env:SLACK")
  on  = ["decision"]
}
host "a" { address = "192.0.2.1" }
