# The server itself on a virtual machine, with uploads and everything else the container has; only where `vm` is set.

resource "google_artifact_registry_repository" "server" {
  #checkov:skip=CKV_GCP_84:The images hold this public code and public packages, and no document.
  count = var.vm == null ? 0 : 1

  project       = var.project
  repository_id = "${var.name}-server"
  labels        = local.labels
  kms_key_name  = var.kms_keys.functions
  location      = var.region
  format        = "DOCKER"
  description   = "Images of the server"
  depends_on    = [time_sleep.keys]
}

locals {
  server_image = var.vm == null ? null : "${var.region}-docker.pkg.dev/${var.project}/${var.name}-server/flamehaven-filesearch:${var.vm.version}"
}

resource "google_artifact_registry_repository_iam_member" "server_reads_image" {
  count = var.vm == null ? 0 : 1

  project    = var.project
  repository = google_artifact_registry_repository.server[0].name
  location   = var.region
  role       = "roles/artifactregistry.reader"
  member     = module.vm[0].account.member
}

# The build account makes the server's image too, from a source that gcloud uploads.
resource "google_artifact_registry_repository_iam_member" "build_writes_server" {
  count = var.vm == null ? 0 : 1

  project    = var.project
  repository = google_artifact_registry_repository.server[0].name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.account["build"].member
}

resource "google_storage_bucket_iam_member" "build_reads_server" {
  count = var.vm == null ? 0 : 1

  bucket = google_storage_bucket.bucket["source"].name
  role   = "roles/storage.objectViewer"
  member = google_service_account.account["build"].member
}

module "vm" {
  source = "./vm"
  count  = var.vm == null ? 0 : 1

  project      = var.project
  region       = var.region
  name         = "${var.name}-server"
  labels       = local.labels
  image        = local.server_image
  machine_type = var.vm.machine_type
  domain       = var.vm.domain
  limits       = { requests_per_minute = var.vm.requests_per_minute, uploads_per_minute = var.vm.uploads_per_minute }
  buckets      = { documents = google_storage_bucket.bucket["documents"].name, state = google_storage_bucket.bucket["state"].name }
  subscription = google_pubsub_subscription.server[0].name
  secret       = google_secret_manager_secret.gemini_api_key.id
  settings = merge(var.settings, {
    EVENTS_URL           = "pubsub://${var.project}/${google_pubsub_subscription.server[0].name}"
    GOOGLE_CLOUD_PROJECT = var.project
    DOCUMENTS_URL        = local.documents_url
    MAX_FILE_SIZE_MB     = var.max_file_size_mb
    STATE_URL            = local.state_url
  })

  depends_on = [time_sleep.services]
}
