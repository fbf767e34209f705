# 100 tenants per site, computed here. A real hoster reads them from where
# they are kept, for example a file that the billing system writes:
#
#   tenants = jsondecode(file("tenants.json"))

locals {
  # The third number of each site's addresses.
  sites = { fra = 10, ams = 20, hel = 30 }

  # "fra-001" => { site, address, plan }, for 001 … 100 in each site.
  tenants = merge([
    for site, net in local.sites : {
      for n in range(1, 101) : format("%s-%03d", site, n) => {
        site    = site
        address = "198.18.${net}.${n}"
        plan    = n % 10 == 0 ? "enterprise" : "standard"
      }
    }
  ]...)

  # Tenants who asked for the newest version first.
  early = ["fra-007", "ams-042", "hel-099"]
}

host "tenant" {
  for_each = local.tenants
  name     = "tenant-${each.key}" # tenant-fra-001
  address  = each.value.address
  labels = {
    site = each.value.site
    plan = each.value.plan
    ring = contains(local.early, each.key) ? "early" : "normal"
  }

  nextcloud "cloud" {
    path     = "/srv/nextcloud"
    url      = "https://${each.key}.cloud.example.net"
    web_user = "www-data"
  }
}
