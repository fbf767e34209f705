host "h" {
  for_each = toset(["1", "2", "3", "4"])
  address  = "192.0.2.${each.key}"
  labels   = { n = each.key }
}
rollout "left_over" {
  core { to = "29" }
  wave "canary" { hosts = host.labels.n == "1" }
}
rollout "nobody" {
  core { to = "29" }
  wave "canary" { hosts = host.labels.n == "9" }
  wave "rest" { rest = true }
}
rollout "taken" {
  core { to = "29" }
  wave "all" { hosts = true }
  wave "late" { hosts = host.labels.n == "1" }
}
rollout "ways" {
  core { to = "29" }
  wave "two" {
    count   = 1
    percent = 10
  }
  wave "none" { bake = "1h" }
}
rollout "numbers" {
  core { to = "29" }
  wave "zero" { count = 0 }
  wave "half" { count = 1.5 }
  wave "zero_percent" { percent = 0 }
  wave "less" { percent = -1 }
  wave "more" { percent = 101 }
  wave "text" { percent = "many" }
  wave "no_rest" { rest = false }
  wave "null" { count = null }
  wave "time" {
    rest = true
    bake = "one day"
  }
  wave "list" { percent = [1] }
}
rollout "outside" {
  core { to = "29" }
  hosts = ["h-1", "h-2"]
  wave "a" { hosts = ["h-1", "h-3"] }
  wave "b" { rest = true }
}
rollout "none" {
  core { to = "29" }
  hosts = false
}
rollout "unknown" {
  core { to = "29" }
  hosts = ["h-11"]
}
