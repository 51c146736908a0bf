# The Gemini key. Functions see it as a file, which is read from Secret Manager each time: a new version needs no deploy.

resource "google_pubsub_topic" "rotation" {
  #checkov:skip=CKV_GCP_83:A message says that the key is due, and never the key.
  project      = var.project
  name         = "${var.name}-rotation"
  labels       = local.labels
  kms_key_name = var.kms_keys.topics
  depends_on   = [time_sleep.keys]
}

resource "google_pubsub_topic_iam_member" "secret_manager_publishes" {
  project = var.project
  topic   = google_pubsub_topic.rotation.name
  role    = "roles/pubsub.publisher"
  member  = google_project_service_identity.agent["secretmanager.googleapis.com"].member
}

# Only that the key is due, and not each change of the secret. A message here that nobody takes sets off an alert.
resource "google_pubsub_subscription" "rotation" {
  project                    = var.project
  name                       = "${var.name}-rotation-due"
  labels                     = local.labels
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
  project             = var.project
  secret_id           = "${var.name}-gemini-api-key"
  labels              = local.labels
  deletion_protection = var.deletion_protection
  version_destroy_ttl = "604800s" # a version that is destroyed by mistake can be brought back for a week

  replication {
    auto {
      dynamic "customer_managed_encryption" {
        for_each = var.kms_keys.secret == null ? [] : [var.kms_keys.secret]
        content {
          kms_key_name = customer_managed_encryption.value
        }
      }
    }
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

  depends_on = [time_sleep.agents]
}

# Only in an apply that carries a key. The next apply without one forgets the version, which stays in Secret Manager.
resource "google_secret_manager_secret_version" "gemini_api_key" {
  count = var.gemini_key_version == 0 ? 0 : 1

  secret                 = google_secret_manager_secret.gemini_api_key.id
  secret_data_wo         = var.gemini_api_key
  secret_data_wo_version = tostring(var.gemini_key_version)
  deletion_policy        = "ABANDON"

  lifecycle {
    ignore_changes = [enabled]
  }
}

# The functions cannot start without a version, and Google says so only after some minutes of building.
data "google_secret_manager_secret_version" "gemini_api_key" {
  count = var.gemini_key_version == 0 ? 1 : 0

  secret            = google_secret_manager_secret.gemini_api_key.id
  fetch_secret_data = false # only whether there is one
}

resource "google_secret_manager_secret_iam_member" "functions" {
  for_each = local.functions

  secret_id = google_secret_manager_secret.gemini_api_key.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.account[each.key].member
}
