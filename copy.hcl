driver "snapshot" "copy" {
  directory = "/var/tmp/w/scratch-kit/copies"
}
