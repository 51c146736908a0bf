# One instance that heals itself, without an address of its own, behind a load balancer. Documents, records and keys are
# in buckets: an instance that is replaced loses nothing but kept answers.

locals {
  port = 8000
  # Where requests of Google's load balancers and health checks come from ("Firewall rules" of the load balancer).
  balancers = ["130.211.0.0/22", "35.191.0.0/16"]
  # Google's tunnel for SSH (Identity-Aware Proxy, "TCP forwarding").
  tunnel = "35.235.240.0/20"

  environment = merge(var.settings, {
    ENVIRONMENT    = "production"
    GEMINI_API_KEY = "/etc/secrets/gemini.key"
    PORT           = local.port
    # The balancer writes the client's address and its own into X-Forwarded-For.
    TRUSTED_PROXIES = join(",", concat(local.balancers, [module.balancer.address]))
  })
}

resource "google_service_account" "server" {
  project      = var.project
  account_id   = var.name
  display_name = var.name
  description  = "The server: reads and writes documents, indexes and answers"
}

resource "google_storage_bucket_iam_member" "server" {
  for_each = var.buckets

  bucket = each.value
  role   = "roles/storage.objectUser"
  member = google_service_account.server.member
}

resource "google_pubsub_subscription_iam_member" "server" {
  for_each = toset(["roles/pubsub.subscriber", "roles/pubsub.viewer"])

  project      = var.project
  subscription = var.subscription
  role         = each.value
  member       = google_service_account.server.member
}

resource "google_secret_manager_secret_iam_member" "server" {
  secret_id = var.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.server.member
}

resource "google_project_iam_member" "server_writes_logs" {
  project = var.project
  role    = "roles/logging.logWriter" # there is no smaller place to write a log to
  member  = google_service_account.server.member
}

resource "google_compute_network" "this" {
  project                 = var.project
  name                    = var.name
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  project                  = var.project
  name                     = var.name
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = "10.82.0.0/28"
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.5
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# The way out, for Gemini: nothing comes in by it.
resource "google_compute_router" "this" {
  project = var.project
  name    = var.name
  region  = var.region
  network = google_compute_network.this.id
}

resource "google_compute_router_nat" "this" {
  project                            = var.project
  name                               = var.name
  region                             = var.region
  router                             = google_compute_router.this.name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

resource "google_compute_firewall" "balancer" {
  project                 = var.project
  name                    = "${var.name}-balancer"
  network                 = google_compute_network.this.id
  source_ranges           = local.balancers
  target_service_accounts = [google_service_account.server.email]

  allow {
    protocol = "tcp"
    ports    = [tostring(local.port)]
  }
}

resource "google_compute_firewall" "tunnel" {
  project                 = var.project
  name                    = "${var.name}-tunnel"
  network                 = google_compute_network.this.id
  source_ranges           = [local.tunnel]
  target_service_accounts = [google_service_account.server.email]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}

resource "google_compute_region_instance_template" "this" {
  project      = var.project
  name_prefix  = "${var.name}-"
  region       = var.region
  machine_type = var.machine_type
  labels       = var.labels

  disk {
    source_image = "cos-cloud/cos-stable" # the newest when the template is made; no apply replaces a machine only for a newer one
    auto_delete  = true
    boot         = true
    disk_size_gb = 20
    disk_type    = "pd-balanced"
  }

  network_interface {
    subnetwork = google_compute_subnetwork.this.id
  }

  service_account {
    email  = google_service_account.server.email
    scopes = ["cloud-platform"] # what it may do is what it is granted
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  metadata = {
    block-project-ssh-keys = "true"
    enable-oslogin         = "true"
    google-logging-enabled = "true"
    user-data = templatefile("${path.module}/cloud-init.yaml.tftpl", {
      environment  = local.environment
      fetch_secret = file("${path.module}/fetch_secret.py")
      image        = var.image
      port         = local.port
      registry     = split("/", var.image)[0]
      secret       = var.secret
    })
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_health_check" "live" {
  project             = var.project
  name                = var.name
  check_interval_sec  = 10
  timeout_sec         = 5
  healthy_threshold   = 1
  unhealthy_threshold = 6

  http_health_check {
    port         = local.port
    request_path = "/health/live"
  }

  log_config {
    enable = true
  }
}

resource "google_compute_region_instance_group_manager" "this" {
  project            = var.project
  name               = var.name
  region             = var.region
  base_instance_name = var.name
  target_size        = 1

  version {
    instance_template = google_compute_region_instance_template.this.id
  }

  named_port {
    name = "http"
    port = local.port
  }

  auto_healing_policies {
    health_check      = google_compute_health_check.live.id
    initial_delay_sec = 300
  }

  update_policy {
    type                         = "PROACTIVE"
    minimal_action               = "REPLACE"
    max_surge_fixed              = 3 # a new instance before the old one goes; Google wants at least one for each zone
    max_unavailable_fixed        = 0
    instance_redistribution_type = "PROACTIVE"
  }
}

module "balancer" {
  source = "../balancer"

  project = var.project
  name    = var.name
  domain  = var.domain
  labels  = var.labels
  backend = {
    group           = google_compute_region_instance_group_manager.this.instance_group
    protocol        = "HTTP"
    port_name       = "http"
    timeout_seconds = 120
    health_check    = google_compute_health_check.live.id
  }
  refused = {
    900 = { description = "Uploads are sent by POST", status = 403, expression = "request.path.startsWith('/api/upload/') && request.method != 'POST'" }
    910 = { description = "Uploads are forms", status = 403, expression = "request.path.startsWith('/api/upload/') && !(has(request.headers['content-type']) && request.headers['content-type'].lower().startsWith('multipart/form-data'))" }
    920 = { description = "Metrics are for those inside", status = 404, expression = "request.path == '/metrics' || request.path.startsWith('/prometheus')" }
  }
  # A document may hold every attack that there is.
  unless = ["!request.path.startsWith('/api/upload/')", "!request.path.startsWith('/api/documents/')"]
  # PUT and DELETE are meant.
  attacks = ["lfi", "rce", "rfi", "protocolattack", "scannerdetection"]
  limits = {
    2000 = { description = "Uploads", expression = "request.path.startsWith('/api/upload/')", requests_per_minute = var.limits.uploads_per_minute }
    2010 = { description = "Everything", expression = "true", requests_per_minute = var.limits.requests_per_minute }
  }
}
