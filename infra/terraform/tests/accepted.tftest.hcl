# What may be given: as little as possible, everything, and what lies on a border.

variables {
  project         = "acme-search"
  function_source = "./README.md"
}

run "smallest" {
  command = plan

  assert {
    condition     = length(google_cloudfunctions2_function.function) == 4
    error_message = "There are four functions: ingest, sweep, search and health."
  }
  assert {
    condition     = output.upload == "gcloud storage cp leave.pdf gs://acme-search-flamehaven-documents/hr/"
    error_message = "The printed command has to name the bucket."
  }
  assert {
    condition     = length(google_monitoring_alert_policy.threshold) + length(google_monitoring_alert_policy.query) == 0
    error_message = "Without anybody to tell there are no alerts."
  }
}

run "everything" {
  command = plan
  variables {
    name                     = "staging"
    region                   = "us-central1"
    labels                   = { team = "search" }
    gemini_api_key           = "aaaaaaaaaaaaaaaaaaaaaaaa"
    gemini_key_version       = 2
    gemini_key_rotation_days = 30
    deletion_protection      = false
    max_file_size_mb         = 95
    settings                 = { DEFAULT_MODEL = "gemini-3.8-flash", NOTIFY_URL = "pubsub://acme/notices" }
    buckets                  = { location = "US", noncurrent_days = 90, soft_deletion_days = 0, kms_key = "projects/acme/locations/us/keyRings/ring/cryptoKeys/key" }
    backup                   = { location = "us-west1", hour = 23, kms_key = "projects/acme/locations/us-west1/keyRings/ring/cryptoKeys/key" }
    kms_keys                 = { secret = "projects/example.com:acme/locations/global/keyRings/ring/cryptoKeys/key", topics = "projects/example.com:acme/locations/us-central1/keyRings/ring/cryptoKeys/key", functions = "projects/example.com:acme/locations/us-central1/keyRings/ring/cryptoKeys/key" }
    network                  = { network = "net", subnetwork = "sub", build_pool = "projects/acme/locations/us-central1/workerPools/pool" }
    queue                    = { max_deliveries = 50, maximum_backoff = 300, retention_days = 31, pull = true }
    ingest                   = { max_instances = 1, concurrency = 40 }
    sweep                    = { unfinished = "*/5 * * * *", time_zone = "America/Chicago", memory_mib = 4096 }
    search                   = { access = "key", min_instances = 1, max_instances = 100, concurrency = 80 }
    rotation                 = { gemini_project = "acme-gemini", grace_days = 14, source = "./README.md" }
    vm                       = { domain = "files.example.com", version = "1.1.0" }
    load_balancer            = { domain = "search.example.com", requests_per_minute = 600 }
    alerts                   = { emails = ["ops@example.com"], webhooks = ["https://hooks.example.com/x"], topics = ["projects/acme/topics/alerts"], available_percent = 99.9 }
    budget                   = { billing_account = "01AB23-45CD67-89EF01", amount = 50, currency = "USD" }
  }

  assert {
    condition     = alltrue([for bucket in google_storage_bucket.bucket : bucket.encryption[0].default_kms_key_name == var.buckets.kms_key])
    error_message = "Every bucket is encrypted with the key that is given."
  }
  assert {
    condition     = alltrue([for bucket in google_storage_bucket.backup : bucket.encryption[0].default_kms_key_name == var.backup.kms_key]) && length(google_kms_crypto_key_iam_member.agent) == 8
    error_message = "The backup is encrypted with the key of its own location, and each agent may use its key."
  }
  assert {
    condition     = toset(google_monitoring_alert_policy.threshold["health"].notification_channels) != toset([])
    error_message = "An alert tells somebody."
  }
}

run "no_backup" {
  command = plan
  variables {
    backup = null
  }

  assert {
    condition     = length(google_storage_bucket.backup) + length(google_storage_transfer_job.backup) == 0
    error_message = "backup = null makes none."
  }
}

run "more_memory_has_more_cpus" {
  command = plan
  variables {
    ingest           = { max_instances = 1, concurrency = 40 }
    max_file_size_mb = 95
  }

  assert {
    condition     = google_cloudfunctions2_function.function["ingest"].service_config[0].available_cpu == "2" && google_cloudfunctions2_function.function["search"].service_config[0].available_cpu == "1"
    error_message = "More than 4 GiB of memory need two CPUs."
  }
}

run "with_a_synthetic_check" {
  command = plan
  variables {
    check = {}
  }

  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker["check searches"].name == "flamehaven-search" && length(google_cloud_scheduler_job.check) == 1
    error_message = "The check has a schedule, and may search."
  }
}

run "through_identity_aware_proxy" {
  command = plan
  variables {
    load_balancer = { domain = "search.example.com", iap_members = ["group:staff@example.com"] }
  }

  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker["iap"].name == "flamehaven-search"
    error_message = "Identity-Aware Proxy has to be able to call search."
  }
}
