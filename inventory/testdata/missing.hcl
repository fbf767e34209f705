host "a" {
  nextcloud "main" {
  }
}
host "b" {
  address = null
}
group "g" {
}
rollout "r" {
  wave "w" {
  }
  spread {
  }
  window {
  }
}
