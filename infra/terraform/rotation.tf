# The function that exchanges the Gemini key by itself: only where `rotation` is set. Its own zip has Google's clients for
# keys and secrets, which the other functions do without.

locals {
  rotating        = var.rotation == null ? 0 : 1
  rotation_source = try(coalesce(var.rotation.source), "${path.module}/../../dist/rotation.zip")
  gemini_project  = try(coalesce(var.rotation.gemini_project), var.project)
}

resource "google_service_account" "rotate" {
  count = local.rotating

  account_id   = "${var.name}-rotate"
  display_name = "${var.name}: rotate"
  description  = "Makes and deletes Gemini keys, and stores them"
  depends_on   = [google_project_service.used]
}

# Keys have no policies of their own: whoever makes them may do so in the whole project. Give Gemini a project of its own.
resource "google_project_iam_member" "rotate_makes_keys" {
  count = local.rotating

  project = local.gemini_project
  role    = "roles/serviceusage.apiKeysAdmin"
  member  = google_service_account.rotate[0].member
}

resource "google_secret_manager_secret_iam_member" "rotate" {
  for_each = toset(var.rotation == null ? [] : ["roles/secretmanager.secretAccessor", "roles/secretmanager.secretVersionManager"])

  secret_id = google_secret_manager_secret.gemini_api_key.id
  role      = each.value
  member    = google_service_account.rotate[0].member
}

resource "google_storage_bucket_object" "rotation_source" {
  count = local.rotating

  name   = "rotation-${try(filesha256(local.rotation_source), "missing")}.zip"
  bucket = google_storage_bucket.bucket["source"].name
  source = local.rotation_source

  lifecycle {
    precondition {
      condition     = fileexists(local.rotation_source)
      error_message = "There is no ${local.rotation_source}. Run python3 scripts/function_source.py first, or say in rotation.source where the zip is."
    }
  }
}

resource "google_cloudfunctions2_function" "rotate" {
  count = local.rotating

  name        = "${var.name}-rotate"
  location    = var.region
  description = "Exchanges the Gemini key"

  build_config {
    runtime           = "python313"
    entry_point       = "rotate"
    service_account   = google_service_account.account["build"].name
    docker_repository = google_artifact_registry_repository.functions.id
    environment_variables = {
      GOOGLE_FUNCTION_SOURCE = "functions/rotate/main.py"
    }
    automatic_update_policy {}

    source {
      storage_source {
        bucket = google_storage_bucket.bucket["source"].name
        object = google_storage_bucket_object.rotation_source[0].name
      }
    }
  }

  service_config {
    available_cpu                    = "1"
    available_memory                 = "512Mi"
    timeout_seconds                  = 540
    min_instance_count               = 0
    max_instance_count               = 1
    max_instance_request_concurrency = 1
    ingress_settings                 = "ALLOW_INTERNAL_ONLY"
    service_account_email            = google_service_account.rotate[0].email
    all_traffic_on_latest_revision   = true
    environment_variables = { for name, value in merge(local.environment, {
      ROTATION_PROJECT    = local.gemini_project
      ROTATION_SECRET     = "projects/${var.project}/secrets/${google_secret_manager_secret.gemini_api_key.secret_id}"
      ROTATION_NAME       = var.name
      ROTATION_DAYS       = var.gemini_key_rotation_days
      ROTATION_GRACE_DAYS = var.rotation.grace_days
    }) : name => tostring(value) }

    secret_volumes {
      mount_path = "/etc/secrets"
      project_id = var.project
      secret     = google_secret_manager_secret.gemini_api_key.secret_id
      versions {
        version = "latest"
        path    = "gemini-api-key"
      }
    }
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.build_writes_images,
    google_project_iam_member.build_reads_source,
    google_project_iam_member.build_writes_logs,
    google_project_iam_member.rotate_makes_keys,
    google_secret_manager_secret_iam_member.rotate,
    google_secret_manager_secret_version.gemini_api_key,
  ]
}

resource "google_cloud_run_v2_service_iam_member" "rotate" {
  for_each = var.rotation == null ? {} : { for name in ["push", "schedule"] : name => google_service_account.account[name].member }

  name     = google_cloudfunctions2_function.rotate[0].name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value
}

# Once a day: what a message about a due key has begun and not ended, and what the grace period has ended for.
resource "google_cloud_scheduler_job" "rotate" {
  count = local.rotating

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
    uri         = "${google_cloudfunctions2_function.rotate[0].service_config[0].uri}/"

    oidc_token {
      service_account_email = google_service_account.account["schedule"].email
      audience              = google_cloudfunctions2_function.rotate[0].service_config[0].uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.rotate]
}
