variable "required" {}
variable "typed" {
  type    = list(string)
  default = 3
}
variable "bad_type" {
  type    = strin
  default = ""
}
variable "given" {
  type = number
}
variable "literal" {
  secret  = true
  default = "hunter2"
}
variable "both" {
  secret  = true
  type    = string
  default = "env:X"
}
variable "unknown_word" {
  defualt = 1
  default = 2
}
host "a" {
  address = var.required
  labels  = { n = var.given, t = var.typed[0] }
}
