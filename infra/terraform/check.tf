# A function that writes a document, asks search about it and compares; only where `check` is set.

locals {
  check = { for name in ["check"] : name => {
    description = "Writes a document, asks search about it, and compares"
    file        = "functions/check/main.py"
    zip         = "functions"
    ingress     = "ALLOW_INTERNAL_ONLY"
    memory      = 512
    timeout     = 420
    instances   = [0, 1]
    concurrency = 1
    environment = { CHECK_SECONDS = 300 }
  } if var.check != null }
}

resource "google_cloud_scheduler_job" "check" {
  count = var.check == null ? 0 : 1

  project          = var.project
  name             = "${var.name}-check"
  description      = "Writes a document, asks search about it, and compares"
  region           = var.region
  schedule         = var.check.schedule
  time_zone        = var.sweep.time_zone
  attempt_deadline = "420s"

  http_target {
    http_method = "POST"
    uri         = "${google_cloudfunctions2_function.function["check"].service_config[0].uri}/?search=${urlencode(google_cloudfunctions2_function.function["search"].service_config[0].uri)}"

    oidc_token {
      service_account_email = google_service_account.account["schedule"].email
      audience              = google_cloudfunctions2_function.function["check"].service_config[0].uri
    }
  }
}
