# The documents, the records about them, the functions' source, and the daily copy of the documents.

locals {
  location = coalesce(var.buckets.location, var.region)
  # The multi-region around the region; there is none around Montréal, São Paulo or Sydney.
  multi_region    = one([for prefix, place in { europe = "EU", us = "US", asia = "ASIA" } : place if startswith(var.region, "${prefix}-")])
  backup_location = try(coalesce(var.backup.location, local.multi_region), "")

  buckets = {
    documents = { versioned = true, noncurrent_days = var.buckets.noncurrent_days }
    state     = { versioned = false, noncurrent_days = 0 } # records are written anew all the time; soft deletion is enough
    source    = { versioned = false, noncurrent_days = 0 }
  }
}

resource "google_kms_crypto_key_iam_member" "buckets" {
  for_each = toset(compact([var.buckets.kms_key, try(var.backup.kms_key, null)]))

  crypto_key_id = each.value
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = data.google_storage_project_service_account.agent.member
}

resource "google_storage_bucket" "bucket" {
  #checkov:skip=CKV_GCP_62:Data Access audit logs, which a project can turn on, say more than usage logs in one more bucket.
  #checkov:skip=CKV_GCP_78:The documents are versioned; records and source zips are made anew and have soft deletion.
  for_each = local.buckets

  name                        = "${var.project}-${var.name}-${each.key}"
  location                    = local.location
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

  depends_on = [google_project_service.used, google_kms_crypto_key_iam_member.buckets]
}

locals {
  documents_url = "gs://${google_storage_bucket.bucket["documents"].name}"
  state_url     = "gs://${google_storage_bucket.bucket["state"].name}"

  # Beside reading, every function needs to make sure of the deployment's id, which is an object of the state bucket.
  bucket_grants = merge(
    { for name in ["ingest", "sweep", "search", "health"] : "${name} reads documents" => { bucket = "documents", account = name, role = "roles/storage.objectViewer" } },
    { for name in ["ingest", "sweep", "search", "health"] : "${name} keeps state" => { bucket = "state", account = name, role = "roles/storage.objectUser" } },
  )
}

resource "google_storage_bucket_iam_member" "functions" {
  for_each = local.bucket_grants

  bucket = google_storage_bucket.bucket[each.value.bucket].name
  role   = each.value.role
  member = google_service_account.account[each.value.account].member
}

# The copy. A document that was deleted is deleted there too at the next copy, and gone for good noncurrent_days later.

resource "google_storage_bucket" "backup" {
  #checkov:skip=CKV_GCP_62:Data Access audit logs, which a project can turn on, say more than usage logs in one more bucket.
  count = var.backup == null ? 0 : 1

  name                        = "${var.project}-${var.name}-backup"
  location                    = local.backup_location
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
      error_message = "No multi-region is around ${var.region}: say in backup.location where the backup is to be, or set backup to null."
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

  depends_on = [google_project_service.used, google_kms_crypto_key_iam_member.buckets]
}

locals {
  transfer_grants = var.backup == null ? {} : {
    "finds the documents" = { bucket = google_storage_bucket.bucket["documents"].name, role = "roles/storage.legacyBucketReader" }
    "reads the documents" = { bucket = google_storage_bucket.bucket["documents"].name, role = "roles/storage.objectViewer" }
    "writes the backup"   = { bucket = google_storage_bucket.backup[0].name, role = "roles/storage.legacyBucketWriter" }
    "compares the backup" = { bucket = google_storage_bucket.backup[0].name, role = "roles/storage.objectViewer" }
  }
}

resource "google_storage_bucket_iam_member" "transfer" {
  for_each = local.transfer_grants

  bucket = each.value.bucket
  role   = each.value.role
  member = data.google_storage_transfer_project_service_account.agent[0].member
}

resource "google_storage_transfer_job" "backup" {
  count = var.backup == null ? 0 : 1

  description = "${var.name}: the documents' daily copy"

  transfer_spec {
    gcs_data_source {
      bucket_name = google_storage_bucket.bucket["documents"].name
    }
    gcs_data_sink {
      bucket_name = google_storage_bucket.backup[0].name
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

  depends_on = [google_storage_bucket_iam_member.transfer]
}
