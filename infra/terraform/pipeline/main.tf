# What a pipeline needs to run Terraform: a bucket for the state, two service accounts, and Workload Identity Federation for
# GitHub. An owner of the project applies it once, by hand.

terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }
}

provider "google" {
  project = var.project
}

locals {
  # What an apply of the module needs. Each is on the project: the resources do not exist before the first apply.
  roles = setunion([
    "roles/artifactregistry.admin",
    "roles/cloudfunctions.admin",
    "roles/cloudscheduler.admin",
    "roles/iam.serviceAccountAdmin",
    "roles/iam.serviceAccountUser",
    "roles/logging.configWriter",
    "roles/monitoring.editor",
    "roles/pubsub.admin",
    "roles/run.admin",
    "roles/secretmanager.admin",
    "roles/serviceusage.serviceUsageAdmin",
    "roles/storage.admin",
    "roles/storagetransfer.admin",
  ], var.more_roles)

  # The roles that the module grants on the project. The pipeline can grant no others.
  granted = ["roles/logging.logWriter", "roles/serviceusage.apiKeysAdmin", "roles/storage.objectViewer"]
}

resource "google_project_service" "used" {
  for_each = toset(["cloudresourcemanager.googleapis.com", "iam.googleapis.com", "iamcredentials.googleapis.com", "serviceusage.googleapis.com", "storage.googleapis.com", "sts.googleapis.com"])

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_storage_bucket" "state" {
  #checkov:skip=CKV_GCP_62:Data Access audit logs, which a project can turn on, say more than usage logs in one more bucket.
  project                     = var.project
  name                        = var.state_bucket
  location                    = var.location
  force_destroy               = false
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  depends_on = [google_project_service.used]
}

resource "google_service_account" "account" {
  for_each = { planner = "Plans the changes of pull requests", applier = "Applies what is merged" }

  project      = var.project
  account_id   = "terraform-${each.key}"
  display_name = "Terraform: ${each.key}"
  description  = each.value
  depends_on   = [google_project_service.used]
}

# roles/viewer would do, but lets its members read the objects of every bucket, by the grants that a new bucket has.
resource "google_project_iam_member" "planner" {
  for_each = toset([
    "roles/artifactregistry.reader",
    "roles/cloudfunctions.viewer",
    "roles/cloudscheduler.viewer",
    "roles/compute.viewer",
    "roles/iam.securityReviewer",
    "roles/iam.serviceAccountViewer",
    "roles/logging.viewer",
    "roles/monitoring.viewer",
    "roles/pubsub.viewer",
    "roles/run.viewer",
    "roles/secretmanager.viewer",
    "roles/serviceusage.serviceUsageConsumer",
    "roles/storage.bucketViewer",
    "roles/storagetransfer.viewer",
  ])

  project = var.project
  role    = each.value
  member  = google_service_account.account["planner"].member
}

resource "google_project_iam_member" "planner_reads_source" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.account["planner"].member

  condition {
    title      = "only the functions' source"
    expression = "resource.name.extract('buckets/{bucket}/objects/').endsWith('-source')"
  }
}

resource "google_project_iam_member" "applier" {
  for_each = local.roles

  project = var.project
  role    = each.value
  member  = google_service_account.account["applier"].member
}

resource "google_project_iam_member" "applier_grants" {
  project = var.project
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.account["applier"].member

  condition {
    title      = "only what the module grants"
    expression = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(${jsonencode(local.granted)})"
  }
}

resource "google_storage_bucket_iam_member" "state" {
  for_each = { planner = "roles/storage.objectViewer", applier = "roles/storage.objectUser" }

  bucket = google_storage_bucket.state.name
  role   = each.value
  member = google_service_account.account[each.key].member
}

resource "google_iam_workload_identity_pool" "github" {
  project                   = var.project
  workload_identity_pool_id = "github"
  display_name              = "GitHub"
  depends_on                = [google_project_service.used]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  #checkov:skip=CKV_GCP_125:The condition names one repository, which is a variable that the scan cannot see.
  project                            = var.project
  workload_identity_pool_id          = google_iam_workload_identity_pool.github.workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  attribute_condition                = "assertion.repository == '${var.repository}'"
  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
    "attribute.branch"     = "assertion.repository + '@' + assertion.ref"
  }

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

# Any job of the repository may plan. Only a job on the main branch may apply.
resource "google_service_account_iam_member" "github" {
  for_each = { planner = "attribute.repository/${var.repository}", applier = "attribute.branch/${var.repository}@refs/heads/main" }

  service_account_id = google_service_account.account[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github.name}/${each.value}"
}
