host "a" {
  address = env("NOT_SET")
  labels = {
    fallback = env("NOT_SET", "fine")
  }
}
host "b" {
  address = file("not-there.txt")
}
host "c" {
  address = env("A", "b", "c")
}
host "d" {
  address = format("%d", "x")
}
