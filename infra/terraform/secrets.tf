# The Gemini key. Functions see it as a file, which is read from Secret Manager each time: a new version needs no deploy.

resource "google_pubsub_topic" "rotation" {
  #checkov:skip=CKV_GCP_83:A message says that the key is due, and never the key.
  name       = "${var.name}-rotation"
  depends_on = [google_project_service.used]
}

resource "google_pubsub_topic_iam_member" "secret_manager_publishes" {
  topic  = google_pubsub_topic.rotation.name
  role   = "roles/pubsub.publisher"
  member = google_project_service_identity.agent["secretmanager.googleapis.com"].member
}

# Only that the key is due, and not each change of the secret. A message here that nobody takes sets off an alert.
resource "google_pubsub_subscription" "rotation" {
  name                       = "${var.name}-rotation-due"
  topic                      = google_pubsub_topic.rotation.id
  filter                     = "attributes.eventType = \"SECRET_ROTATE\""
  ack_deadline_seconds       = 600
  message_retention_duration = local.longest

  dynamic "push_config" {
    for_each = [for name, function in google_cloudfunctions2_function.function : function if name == "rotate"] # without the function somebody has to see to it
    content {
      push_endpoint = push_config.value.service_config[0].uri

      oidc_token {
        service_account_email = google_service_account.account["push"].email
        audience              = push_config.value.service_config[0].uri
      }
    }
  }

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "${var.queue.minimum_backoff}s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = 100
  }
}

resource "google_secret_manager_secret" "gemini_api_key" {
  secret_id           = "${var.name}-gemini-api-key"
  deletion_protection = var.deletion_protection
  version_destroy_ttl = "604800s" # a version that is destroyed by mistake can be brought back for a week

  replication {
    auto {}
  }

  topics {
    name = google_pubsub_topic.rotation.id
  }

  rotation {
    rotation_period    = "${var.gemini_key_rotation_days * 86400}s"
    next_rotation_time = timeadd(plantimestamp(), "${var.gemini_key_rotation_days * 24}h")
  }

  lifecycle {
    ignore_changes = [rotation[0].next_rotation_time] # Secret Manager moves it on
  }

  depends_on = [google_pubsub_topic_iam_member.secret_manager_publishes]
}

resource "google_secret_manager_secret_version" "gemini_api_key" {
  count = var.gemini_key_version == 0 ? 0 : 1

  secret                 = google_secret_manager_secret.gemini_api_key.id
  secret_data_wo         = var.gemini_api_key
  secret_data_wo_version = tostring(var.gemini_key_version)
  deletion_policy        = "ABANDON" # an older version is disabled by hand, once nobody uses its key

  lifecycle {
    ignore_changes = [enabled]
  }
}

resource "google_secret_manager_secret_iam_member" "functions" {
  for_each = local.functions

  secret_id = google_secret_manager_secret.gemini_api_key.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.account[each.key].member
}

# Who reads the key is logged, but for the functions, which do all the time.
resource "google_project_iam_audit_config" "secrets" {
  project = var.project
  service = "secretmanager.googleapis.com"

  audit_log_config {
    log_type = "ADMIN_READ"
  }
  audit_log_config {
    log_type = "DATA_WRITE"
  }
  audit_log_config {
    log_type         = "DATA_READ"
    exempted_members = [for name in keys(local.functions) : google_service_account.account[name].member]
  }
}
