host "h" { address = "192.0.2.1" }
blackout {
  from   = "2026-12-24"
  reason = "no zone"
}
rollout "days" {
  core { to = "29" }
  window {
    days = ["2nd sat"]
    from = "22:00"
    to   = "04:00"
    zone = "UTC"
  }
  window {
    days = ["second saturday"]
    from = "22:00"
    to   = "04:00"
    zone = "UTC"
  }
  window {
    days = ["sat", "last sat"]
    from = "22:00"
    to   = "04:00"
    zone = "UTC"
  }
  window_cutoff  = "soft"
  window_reserve = "25h"
}
rollout "dates" {
  core { to = "29" }
  blackout {
    from   = "24.12.2026"
    zone   = "UTC"
    reason = "Christmas"
  }
  blackout {
    from   = "2026-12-24"
    to     = "2026-02-30"
    zone   = "Mars"
    reason = "Christmas"
  }
  blackout {
    from   = "2026-12-24"
    to     = "2026-12-23"
    zone   = "UTC"
    reason = "Christmas"
  }
  blackout {
    zone = "UTC"
  }
}
rollout "approvals" {
  core { to = "29" }
  wave "none" {
    count           = 1
    approve_expires = "24h"
  }
  wave "both" {
    count     = 1
    approve   = false
    approvals = 2
  }
  wave "many" {
    rest            = true
    approvals       = 0
    approve_expires = "1s"
  }
}
