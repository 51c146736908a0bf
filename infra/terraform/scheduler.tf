# A small sweep often, a full one daily.

resource "google_cloud_scheduler_job" "unfinished" {
  project          = var.project
  name             = "${var.name}-sweep-unfinished"
  description      = "Sees to what took long, and sends notices that nobody took"
  region           = var.region
  schedule         = var.sweep.unfinished
  time_zone        = var.sweep.time_zone
  attempt_deadline = "180s" # it comes again, and needs no other try

  http_target {
    http_method = "POST"
    uri         = "${google_cloudfunctions2_function.function["sweep"].service_config[0].uri}/?unfinished=true"

    oidc_token {
      service_account_email = google_service_account.account["schedule"].email
      audience              = google_cloudfunctions2_function.function["sweep"].service_config[0].uri
    }
  }
}

resource "google_cloud_scheduler_job" "everything" {
  project          = var.project
  name             = "${var.name}-sweep"
  description      = "Compares bucket, records and index, and sees to every difference"
  region           = var.region
  schedule         = var.sweep.everything
  time_zone        = var.sweep.time_zone
  attempt_deadline = "1800s" # Cloud Scheduler's longest; what is left then, the next sweep goes on with

  retry_config {
    retry_count          = 3
    min_backoff_duration = "60s"
    max_backoff_duration = "900s"
  }

  http_target {
    http_method = "POST"
    uri         = "${google_cloudfunctions2_function.function["sweep"].service_config[0].uri}/"

    oidc_token {
      service_account_email = google_service_account.account["schedule"].email
      audience              = google_cloudfunctions2_function.function["sweep"].service_config[0].uri
    }
  }
}
