host "h" {
  address = "192.0.2.1"
  labels  = { site = "fra" }
}
rollout "amounts" {
  core { to = "29" }
  max_unavailable = 0
  failures { budget = -1 }
}
rollout "percents" {
  core { to = "29" }
  max_unavailable = "0%"
  failures { budget = "120%" }
}
rollout "texts" {
  core { to = "29" }
  max_unavailable = "some"
  failures {
    budget       = [1]
    reopen_after = "5s"
  }
}
rollout "enums" {
  system {
    level    = securty
    reboot   = "always"
    upgrades = ["PHP 8.3"]
    timeout  = "0s"
  }
  core {
    to        = "29.x"
    source    = "ftp://mirror.example.org"
    transfer  = "pull"
    integrity = "none"
    timeout   = "soon"
    interrupted = "retry"
  }
  apps {
    update          = "some"
    on_incompatible = "remove"
    catalogue       = ""
    critical        = 3
  }
  gate {
    webdav         = "on"
    setup_checks   = "yes"
    log            = "errors"
    outside_verify = false
    on_hold        = "ask"
    pages          = ["login"]
    timeout        = "-1s"
    ignore_checks  = {}
  }
  spread {
    label = "siet"
    max   = 0
  }
  window {
    days = ["monday"]
    from = "24:00"
    to   = "4:00"
    zone = "Berlin"
  }
}
rollout "fetch_folder" {
  core {
    to       = "29"
    source   = "releases"
    transfer = "fetch"
  }
  window {
    days = ["mon", "mon"]
    from = "01:00"
    to   = "02:00"
    zone = "Local"
  }
}
rollout "twice" {
  core { to = "29" }
  core { to = "30" }
}
rollout "always" {
  core { to = "29" }
  window_reserve = "5m"
}
rollout "no_goal" {
}
