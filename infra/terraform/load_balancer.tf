# A name of one's own in front of search; only where `load_balancer` is set.

resource "google_compute_region_network_endpoint_group" "search" {
  count = var.load_balancer == null ? 0 : 1

  project               = var.project
  name                  = "${var.name}-search"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = google_cloudfunctions2_function.function["search"].name
  }

  depends_on = [time_sleep.services]
}

module "search_balancer" {
  source = "./balancer"
  count  = var.load_balancer == null ? 0 : 1

  project     = var.project
  name        = "${var.name}-search"
  domain      = var.load_balancer.domain
  labels      = local.labels
  iap_members = var.load_balancer.iap_members
  backend = {
    group    = google_compute_region_network_endpoint_group.search[0].id
    protocol = "HTTPS"
  }
  limits = {
    2000 = { description = "Questions", expression = "true", requests_per_minute = var.load_balancer.requests_per_minute }
  }

  depends_on = [time_sleep.services]
}
