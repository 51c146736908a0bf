# The documents, the records about them, the functions' source, and the daily copies elsewhere.

locals {
  location = coalesce(var.buckets.location, var.region)
  # The multi-region that is under the same law as the region. London and Zürich are not in the EU, and Asia has no law of its own.
  multi_region    = one([for prefix, place in { europe = "EU", us = "US" } : place if startswith(var.region, "${prefix}-") && !contains(["europe-west2", "europe-west6"], var.region)])
  backup_location = try(coalesce(var.backup.location, local.multi_region), "")

  buckets = {
    documents = { versioned = true, noncurrent_days = var.buckets.noncurrent_days }
    state     = { versioned = true, noncurrent_days = 7 } # records are replaced often; keys and records of a week can be brought back
    source    = { versioned = false, noncurrent_days = 0 }
  }
}

resource "google_storage_bucket" "bucket" {
  #checkov:skip=CKV_GCP_62:Data Access audit logs, which a project can turn on, say more than usage logs in one more bucket.
  #checkov:skip=CKV_GCP_78:Documents and state are versioned; source zips can be made again and have soft deletion.
  for_each = local.buckets

  project                     = var.project
  name                        = "${var.project}-${var.name}-${each.key}"
  location                    = local.location
  labels                      = local.labels
  force_destroy               = false
  deletion_policy             = local.deletion_policy
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = each.value.versioned
  }

  soft_delete_policy {
    retention_duration_seconds = var.buckets.soft_deletion_days * 86400
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.versioned ? [each.value.noncurrent_days] : []
    content {
      action {
        type = "Delete"
      }
      condition {
        days_since_noncurrent_time = lifecycle_rule.value
        with_state                 = "ARCHIVED"
      }
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  dynamic "encryption" {
    for_each = var.buckets.kms_key == null ? [] : [var.buckets.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [time_sleep.keys]
}

locals {
  documents_url = "gs://${google_storage_bucket.bucket["documents"].name}"
  state_url     = "gs://${google_storage_bucket.bucket["state"].name}"

  # Beside reading, every function needs to make sure of the deployment's id, which is an object of the state bucket.
  bucket_grants = merge(
    { for name in ["ingest", "sweep", "search", "health"] : "${name} reads documents" => { bucket = "documents", account = name, role = "roles/storage.objectViewer" } },
    var.check == null ? {} : { "check writes documents" = { bucket = "documents", account = "check", role = "roles/storage.objectUser" } },
    { for name in ["ingest", "sweep", "search", "health"] : "${name} keeps state" => { bucket = "state", account = name, role = "roles/storage.objectUser" } },
  )
}

resource "google_storage_bucket_iam_member" "functions" {
  for_each = local.bucket_grants

  bucket = google_storage_bucket.bucket[each.value.bucket].name
  role   = each.value.role
  member = google_service_account.account[each.value.account].member
}

# The copies. What was deleted is deleted there too at the next copy, and gone for good noncurrent_days later.

locals {
  copies = var.backup == null ? {} : {
    documents = "${var.project}-${var.name}-backup"
    state     = "${var.project}-${var.name}-state-copy"
  }
}

resource "google_storage_bucket" "backup" {
  #checkov:skip=CKV_GCP_62:Data Access audit logs, which a project can turn on, say more than usage logs in one more bucket.
  for_each = local.copies

  project                     = var.project
  name                        = each.value
  location                    = local.backup_location
  labels                      = local.labels
  storage_class               = "NEARLINE"
  force_destroy               = false
  deletion_policy             = local.deletion_policy
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = var.buckets.soft_deletion_days * 86400
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = var.backup.noncurrent_days
      with_state                 = "ARCHIVED"
    }
  }

  dynamic "encryption" {
    for_each = var.backup.kms_key == null ? [] : [var.backup.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  lifecycle {
    precondition {
      condition     = local.backup_location != ""
      error_message = "No multi-region is under the law of ${var.region}: name the place of the backup in backup.location, or set backup to null."
    }
    precondition {
      condition     = lower(local.backup_location) != lower(local.location)
      error_message = "The backup is in ${local.backup_location}, where the documents are too: choose another backup.location."
    }
    precondition {
      condition     = var.buckets.kms_key == null || var.backup.kms_key != null
      error_message = "The documents are encrypted with buckets.kms_key, and their backup would not be: name a key of its location in backup.kms_key."
    }
  }

  depends_on = [time_sleep.keys]
}

locals {
  transfer_grants = merge([for name in keys(local.copies) : {
    "finds ${name}"    = { bucket = google_storage_bucket.bucket[name].name, role = "roles/storage.legacyBucketReader" }
    "reads ${name}"    = { bucket = google_storage_bucket.bucket[name].name, role = "roles/storage.objectViewer" }
    "writes ${name}"   = { bucket = google_storage_bucket.backup[name].name, role = "roles/storage.legacyBucketWriter" }
    "compares ${name}" = { bucket = google_storage_bucket.backup[name].name, role = "roles/storage.objectViewer" }
  }]...)
}

resource "google_storage_bucket_iam_member" "transfer" {
  for_each = local.transfer_grants

  bucket = each.value.bucket
  role   = each.value.role
  member = data.google_storage_transfer_project_service_account.agent[0].member
}

# Storage Transfer Service says there that a copy has failed. An alert watches for a message that nobody has taken.

resource "google_pubsub_topic" "copy_failed" {
  #checkov:skip=CKV_GCP_83:A message names buckets, and holds no document.
  count = var.backup == null ? 0 : 1

  project      = var.project
  name         = "${var.name}-copy-failed"
  labels       = local.labels
  kms_key_name = var.kms_keys.topics
  depends_on   = [time_sleep.keys]
}

resource "google_pubsub_subscription" "copy_failed" {
  count = var.backup == null ? 0 : 1

  project                    = var.project
  name                       = "${var.name}-copy-failed"
  topic                      = google_pubsub_topic.copy_failed[0].id
  labels                     = local.labels
  ack_deadline_seconds       = 60
  message_retention_duration = local.longest

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "transfer_publishes" {
  count = var.backup == null ? 0 : 1

  project = var.project
  topic   = google_pubsub_topic.copy_failed[0].name
  role    = "roles/pubsub.publisher"
  member  = data.google_storage_transfer_project_service_account.agent[0].member
}

resource "google_storage_transfer_job" "backup" {
  for_each = local.copies

  project     = var.project
  description = "${var.name}: the daily copy of ${each.key}"

  transfer_spec {
    gcs_data_source {
      bucket_name = google_storage_bucket.bucket[each.key].name
    }
    gcs_data_sink {
      bucket_name = google_storage_bucket.backup[each.key].name
    }
    transfer_options {
      delete_objects_unique_in_sink = true
      overwrite_when                = "DIFFERENT"
    }
  }

  schedule {
    schedule_start_date { # any day that is past: it repeats every day
      year  = 2026
      month = 1
      day   = 1
    }
    start_time_of_day {
      hours   = var.backup.hour
      minutes = 0
      seconds = 0
      nanos   = 0
    }
    repeat_interval = "86400s"
  }

  notification_config {
    pubsub_topic   = google_pubsub_topic.copy_failed[0].id
    event_types    = ["TRANSFER_OPERATION_ABORTED", "TRANSFER_OPERATION_FAILED"]
    payload_format = "JSON"
  }

  depends_on = [time_sleep.accounts, time_sleep.agents]
}
