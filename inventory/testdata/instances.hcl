host "a" {
  address = "192.0.2.1"
  nextcloud "relative" {
    path = "www/nextcloud"
    url  = "cloud.example.org"
  }
  nextcloud "one" {
    path = "/srv/nc"
    url  = "ftp://cloud.example.org"
  }
  nextcloud "two" {
    path = "/srv/nc/"
    url  = "https://cloud.example.org?x=1"
  }
  nextcloud "inside" {
    path     = "/srv/nc/cloud"
    url      = "https://"
    web_user = "-x"
    php      = "php -d x=1"
    reload   = "systemctl reload php-fpm"
  }
  nextcloud "control" {
    path = "/srv/x\ny"
    url  = "https://x.example.org"
  }
}
