# An external load balancer with a name, a certificate that Google renews, and Cloud Armor in front of one backend.

resource "google_compute_global_address" "this" {
  project = var.project
  labels  = var.labels
  name    = var.name
}

resource "google_compute_security_policy" "this" {
  #checkov:skip=CKV_GCP_73:Nothing behind it is Java, and a document or a question may well name what Log4j fell for.
  project     = var.project
  name        = var.name
  labels      = var.labels
  description = "Who may ask how often, and what no request looks like"

  advanced_options_config {
    json_parsing = "STANDARD"
    log_level    = "NORMAL"
  }

  dynamic "rule" {
    for_each = var.refused
    content {
      action      = "deny(${rule.value.status})"
      priority    = rule.key
      description = rule.value.description

      match {
        expr {
          expression = rule.value.expression
        }
      }
    }
  }

  # What people ask is text about anything, attacks among it, and goes into no shell, path or query here: the rules look
  # at everything else of a request.
  dynamic "rule" {
    for_each = var.attacks
    content {
      action      = "deny(403)"
      priority    = 1000 + rule.key
      description = "Known attacks: ${rule.value}"

      match {
        expr {
          expression = join(" && ", concat(var.unless, ["evaluatePreconfiguredWaf('${rule.value}-v33-stable', {'sensitivity': 1})"]))
        }
      }

      preconfigured_waf_config {
        exclusion {
          target_rule_set = "${rule.value}-v33-stable"
          dynamic "request_query_param" {
            for_each = ["q", "query", "filter"]
            content {
              operator = "EQUALS"
              value    = request_query_param.value
            }
          }
        }
      }
    }
  }

  # More than so many requests a minute from one address.
  dynamic "rule" {
    for_each = var.limits
    content {
      action      = "throttle"
      priority    = rule.key
      description = rule.value.description

      match {
        expr {
          expression = rule.value.expression
        }
      }

      rate_limit_options {
        conform_action = "allow"
        exceed_action  = "deny(429)"
        enforce_on_key = "IP"
        rate_limit_threshold {
          count        = rule.value.requests_per_minute
          interval_sec = 60
        }
      }
    }
  }

  rule {
    action      = "allow"
    priority    = 2147483647
    description = "Everything else"

    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}

resource "google_compute_backend_service" "this" {
  project                         = var.project
  name                            = var.name
  load_balancing_scheme           = "EXTERNAL_MANAGED"
  protocol                        = var.backend.protocol
  port_name                       = var.backend.port_name
  timeout_sec                     = var.backend.timeout_seconds
  connection_draining_timeout_sec = var.backend.health_check == null ? null : 30
  health_checks                   = var.backend.health_check == null ? null : [var.backend.health_check]
  security_policy                 = google_compute_security_policy.this.id

  backend {
    group = var.backend.group
  }

  log_config {
    enable      = true
    sample_rate = 1
  }

  dynamic "iap" {
    for_each = length(var.iap_members) == 0 ? [] : [1]
    content {
      enabled = true # with the OAuth client that Google manages
    }
  }
}

resource "google_iap_web_backend_service_iam_member" "member" {
  for_each = var.iap_members

  project             = var.project
  web_backend_service = google_compute_backend_service.this.name
  role                = "roles/iap.httpsResourceAccessor"
  member              = each.value
}

resource "google_compute_managed_ssl_certificate" "this" {
  project = var.project
  name    = "${var.name}-${substr(sha256(var.domain), 0, 8)}" # another name is another certificate

  managed {
    domains = [var.domain]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_ssl_policy" "this" {
  project         = var.project
  name            = var.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_url_map" "this" {
  project         = var.project
  name            = var.name
  default_service = google_compute_backend_service.this.id
}

resource "google_compute_target_https_proxy" "this" {
  project          = var.project
  name             = var.name
  url_map          = google_compute_url_map.this.id
  ssl_certificates = [google_compute_managed_ssl_certificate.this.id]
  ssl_policy       = google_compute_ssl_policy.this.id
}

resource "google_compute_global_forwarding_rule" "this" {
  project               = var.project
  name                  = var.name
  labels                = var.labels
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.this.id
}

resource "google_compute_url_map" "to_https" {
  project = var.project
  name    = "${var.name}-to-https"

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "PERMANENT_REDIRECT" # 308: a POST stays one
    strip_query            = false
  }
}

resource "google_compute_target_http_proxy" "to_https" {
  project = var.project
  name    = "${var.name}-to-https"
  url_map = google_compute_url_map.to_https.id
}

resource "google_compute_global_forwarding_rule" "to_https" {
  project               = var.project
  name                  = "${var.name}-to-https"
  labels                = var.labels
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this.id
  port_range            = "80"
  target                = google_compute_target_http_proxy.to_https.id
}
