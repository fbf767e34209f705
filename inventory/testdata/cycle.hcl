locals {
  a = local.b
  b = "${local.c}!"
  c = [local.a]
  alone = local.alone
  fine  = "x"
  after = local.a
}
host "h" {
  address = local.a
  labels  = { x = local.fine }
}
