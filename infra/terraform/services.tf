# The APIs that are used, and the agents through which Google's services act here.

locals {
  services = concat([
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
    ],
    var.backup == null ? [] : ["storagetransfer.googleapis.com"],
    var.rotation == null ? [] : ["apikeys.googleapis.com"],
    var.load_balancer == null && var.vm == null ? [] : ["compute.googleapis.com"],
    var.budget == null ? [] : ["billingbudgets.googleapis.com"],
  )
}

resource "google_project_service" "used" {
  for_each = toset(local.services)

  service            = each.value
  disable_on_destroy = false # others in the project may use it too
}

data "google_project" "this" {
  depends_on = [google_project_service.used]
}

# Both exist only once somebody asks for them; a grant to one that does not exist fails.
resource "google_project_service_identity" "agent" {
  provider = google-beta
  for_each = toset(["pubsub.googleapis.com", "secretmanager.googleapis.com"])

  service    = each.value
  depends_on = [google_project_service.used]
}

data "google_storage_project_service_account" "agent" {
  depends_on = [google_project_service.used]
}

data "google_storage_transfer_project_service_account" "agent" {
  count = var.backup == null ? 0 : 1

  depends_on = [google_project_service.used]
}
