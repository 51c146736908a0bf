# The function that exchanges the Gemini key by itself: only where `rotation` is set. Its own zip has Google's clients for
# keys and secrets, which the other functions do without.

locals {
  rotation_source = try(coalesce(var.rotation.source), "${path.module}/../../dist/rotation.zip")
  gemini_project  = try(coalesce(var.rotation.gemini_project), var.project)

  rotate = { for name in ["rotate"] : name => {
    description = "Exchanges the Gemini key"
    file        = "functions/rotate/main.py"
    zip         = "rotation"
    ingress     = "ALLOW_INTERNAL_ONLY"
    memory      = 512
    timeout     = 540
    instances   = [0, 1]
    concurrency = 1
    environment = {
      ROTATION_PROJECT    = local.gemini_project
      ROTATION_SECRET     = "projects/${var.project}/secrets/${var.name}-gemini-api-key"
      ROTATION_NAME       = var.name
      ROTATION_DAYS       = var.gemini_key_rotation_days
      ROTATION_GRACE_DAYS = var.rotation.grace_days
    }
  } if var.rotation != null }
}

# Keys have no policies of their own: whoever makes them may do so in the whole project. Give Gemini a project of its own.
resource "google_project_iam_member" "rotate_makes_keys" {
  count = var.rotation == null ? 0 : 1

  project = local.gemini_project
  role    = "roles/serviceusage.apiKeysAdmin"
  member  = google_service_account.account["rotate"].member
}

resource "google_secret_manager_secret_iam_member" "rotate_adds_versions" {
  count = var.rotation == null ? 0 : 1

  secret_id = google_secret_manager_secret.gemini_api_key.id
  role      = "roles/secretmanager.secretVersionManager"
  member    = google_service_account.account["rotate"].member
}

# Once a day: what a message about a due key has begun and not ended, and what the grace period has ended for.
resource "google_cloud_scheduler_job" "rotate" {
  count = var.rotation == null ? 0 : 1

  project          = var.project
  name             = "${var.name}-rotate"
  description      = "Exchanges the Gemini key when it is due, and deletes what it replaced"
  region           = var.region
  schedule         = "41 4 * * *"
  time_zone        = var.sweep.time_zone
  attempt_deadline = "540s"

  retry_config {
    retry_count          = 5
    min_backoff_duration = "60s"
    max_backoff_duration = "3600s"
  }

  http_target {
    http_method = "POST"
    uri         = "${google_cloudfunctions2_function.function["rotate"].service_config[0].uri}/"

    oidc_token {
      service_account_email = google_service_account.account["schedule"].email
      audience              = google_cloudfunctions2_function.function["rotate"].service_config[0].uri
    }
  }
}
