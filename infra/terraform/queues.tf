# bucket → topic → ingest; what was tried too often → dead letters, which wait for somebody.

locals {
  retention = "${var.queue.retention_days * 86400}s"
  longest   = "2678400s" # 31 days, Pub/Sub's longest
  pull      = var.queue.pull || var.vm != null
}

resource "google_pubsub_topic" "events" {
  #checkov:skip=CKV_GCP_83:A message holds an object's name and attributes, not its content.
  project         = var.project
  name            = "${var.name}-events"
  labels          = local.labels
  kms_key_name    = var.kms_keys.topics
  deletion_policy = local.deletion_policy
  depends_on      = [time_sleep.keys]
}

resource "google_pubsub_topic_iam_member" "bucket_publishes" {
  project = var.project
  topic   = google_pubsub_topic.events.name
  role    = "roles/pubsub.publisher"
  member  = local.storage_agent
}

resource "google_storage_notification" "documents" {
  bucket         = google_storage_bucket.bucket["documents"].name
  topic          = google_pubsub_topic.events.id
  payload_format = "JSON_API_V1"
  event_types    = ["OBJECT_FINALIZE", "OBJECT_DELETE", "OBJECT_ARCHIVE", "OBJECT_METADATA_UPDATE"]
  depends_on     = [time_sleep.agents]
}

resource "google_pubsub_subscription" "ingest" {
  project                    = var.project
  name                       = "${var.name}-ingest"
  labels                     = local.labels
  topic                      = google_pubsub_topic.events.id
  ack_deadline_seconds       = 600 # a push waits no longer
  message_retention_duration = local.retention
  deletion_policy            = local.deletion_policy

  push_config {
    # The address on run.app, for which Pub/Sub counts as internal traffic.
    push_endpoint = google_cloudfunctions2_function.function["ingest"].service_config[0].uri

    oidc_token {
      service_account_email = google_service_account.account["push"].email
      audience              = google_cloudfunctions2_function.function["ingest"].service_config[0].uri
    }
  }

  expiration_policy {
    ttl = "" # never, however long nothing changes
  }

  # 10 s, 20 s, 40 s and so on up to 10 minutes: 100 tries are about 15 1/2 hours, which outlasts a bulk load and a long outage.
  retry_policy {
    minimum_backoff = "${var.queue.minimum_backoff}s"
    maximum_backoff = "${var.queue.maximum_backoff}s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = var.queue.max_deliveries
  }
}

# For a server on a VM or elsewhere: EVENTS_URL=pubsub://PROJECT/NAME-server
resource "google_pubsub_subscription" "server" {
  count = local.pull ? 1 : 0

  project                    = var.project
  name                       = "${var.name}-server"
  labels                     = local.labels
  topic                      = google_pubsub_topic.events.id
  ack_deadline_seconds       = 60
  message_retention_duration = local.retention
  deletion_policy            = local.deletion_policy

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "${var.queue.minimum_backoff}s"
    maximum_backoff = "${var.queue.maximum_backoff}s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = var.queue.max_deliveries
  }
}

resource "google_pubsub_topic" "dead_letters" {
  #checkov:skip=CKV_GCP_83:A message holds an object's name and attributes, not its content.
  project         = var.project
  name            = "${var.name}-dead-letters"
  labels          = local.labels
  kms_key_name    = var.kms_keys.topics
  deletion_policy = local.deletion_policy
  depends_on      = [time_sleep.keys]
}

resource "google_pubsub_subscription" "dead_letters" {
  project                    = var.project
  name                       = "${var.name}-dead-letters"
  labels                     = local.labels
  topic                      = google_pubsub_topic.dead_letters.id
  ack_deadline_seconds       = 60
  message_retention_duration = local.longest
  deletion_policy            = local.deletion_policy

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub itself moves a message: it publishes to the dead letters, and acknowledges where the message was.

resource "google_pubsub_topic_iam_member" "pubsub_publishes_dead_letters" {
  project = var.project
  topic   = google_pubsub_topic.dead_letters.name
  role    = "roles/pubsub.publisher"
  member  = google_project_service_identity.agent["pubsub.googleapis.com"].member
}

resource "google_pubsub_subscription_iam_member" "pubsub_acknowledges" {
  for_each = merge(
    { ingest = google_pubsub_subscription.ingest.name, rotation = google_pubsub_subscription.rotation.name },
    local.pull ? { server = google_pubsub_subscription.server[0].name } : {},
  )

  project      = var.project
  subscription = each.value
  role         = "roles/pubsub.subscriber"
  member       = google_project_service_identity.agent["pubsub.googleapis.com"].member
}
