# Who acts: a service account for each function, each caller and the build. None has a key; their grants stand beside
# what is granted.

locals {
  accounts = merge({
    ingest   = "Reads documents and indexes them"
    sweep    = "Reads documents and indexes what no event announced"
    search   = "Answers questions"
    health   = "Looks whether everything answers"
    push     = "Pub/Sub, when it posts events to ingest"
    schedule = "Cloud Scheduler, when it posts to sweep"
    build    = "Cloud Build, when it builds the functions"
    }, var.check == null ? {} : { check = "Writes a document, asks search about it, and compares" },
  var.rotation == null ? {} : { rotate = "Makes and deletes Gemini keys, and stores them" })
}

resource "google_service_account" "account" {
  for_each = local.accounts

  project      = var.project
  account_id   = "${var.name}-${each.key}"
  display_name = "${var.name}: ${each.key}"
  description  = each.value
  depends_on   = [time_sleep.services]
}

# In projects from before April 2021 Pub/Sub may not sign in as the account that it pushes as.
resource "google_service_account_iam_member" "pubsub_as_push" {
  service_account_id = google_service_account.account["push"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_project_service_identity.agent["pubsub.googleapis.com"].member
}

resource "google_project_iam_member" "build_writes_logs" {
  project = var.project
  role    = "roles/logging.logWriter" # there is no smaller place to write a build's log to
  member  = google_service_account.account["build"].member
}

# Cloud Functions copies the zip into a bucket of its own making, from which the build reads it.
resource "google_project_iam_member" "build_reads_source" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.account["build"].member

  condition {
    title      = "only the functions' source"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-\")"
  }
}
