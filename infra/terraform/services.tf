# The APIs in use, Google's service agents, and the waits for what takes a while to be known everywhere.

locals {
  services = toset([
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
    "storagetransfer.googleapis.com",
  ])
  optional_services = toset(concat(
    var.rotation == null ? [] : ["apikeys.googleapis.com"],
    var.load_balancer == null && var.vm == null ? [] : ["compute.googleapis.com"],
    try(length(var.load_balancer.iap_members), 0) == 0 ? [] : ["iap.googleapis.com"],
    var.budget == null ? [] : ["billingbudgets.googleapis.com"],
    length(local.key_grants) == 0 ? [] : ["cloudkms.googleapis.com"],
  ))
  # Service agents that exist only once they are asked for. A grant to one that does not exist fails.
  agents = toset(concat(
    ["monitoring.googleapis.com", "pubsub.googleapis.com", "secretmanager.googleapis.com"],
    var.kms_keys.functions == null ? [] : ["artifactregistry.googleapis.com", "cloudfunctions.googleapis.com", "run.googleapis.com"],
    try(length(var.load_balancer.iap_members), 0) == 0 ? [] : ["iap.googleapis.com"],
  ))
}

resource "google_project_service" "used" {
  for_each = local.services

  project            = var.project
  service            = each.value
  disable_on_destroy = false # others in the project may use it too
}

# Apart from the others, so that one more of them makes no data source unknown in a plan.
resource "google_project_service" "optional" {
  for_each = local.optional_services

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_project_service_identity" "agent" {
  provider = google-beta
  for_each = local.agents

  project    = var.project
  service    = each.value
  depends_on = [google_project_service.used, google_project_service.optional]
}

# An API answers, and an agent can be granted a role, some seconds after Google says so.
resource "time_sleep" "services" {
  create_duration = "60s"
  triggers        = { services = join(",", concat(tolist(local.services), tolist(local.optional_services), tolist(local.agents))) }
  depends_on      = [google_project_service.used, google_project_service.optional, google_project_service_identity.agent]
}

data "google_project" "this" {
  project_id = var.project
}

data "google_storage_project_service_account" "agent" {
  project    = var.project
  depends_on = [google_project_service.used]
}

data "google_storage_transfer_project_service_account" "agent" {
  count = var.backup == null ? 0 : 1

  project    = var.project
  depends_on = [google_project_service.used]
}

# A grant is known everywhere after about two minutes ("Access change propagation", IAM). Whatever is refused until then
# waits for these. A grant that is added later is waited for too.

resource "time_sleep" "keys" {
  create_duration = length(local.key_grants) == 0 ? "0s" : "120s"
  triggers        = { for name, grant in google_kms_crypto_key_iam_member.agent : name => grant.id }
  depends_on      = [time_sleep.services]
}

resource "time_sleep" "agents" {
  create_duration = "120s"
  triggers = merge(
    { bucket = google_pubsub_topic_iam_member.bucket_publishes.id, secret = google_pubsub_topic_iam_member.secret_manager_publishes.id },
    { for name, grant in google_pubsub_topic_iam_member.transfer_publishes : "transfer ${name}" => grant.id },
  )
}

resource "time_sleep" "accounts" {
  create_duration = "120s"
  triggers = merge(
    { for name, grant in google_storage_bucket_iam_member.functions : name => grant.id },
    { for name, grant in google_storage_bucket_iam_member.transfer : name => grant.id },
    { for name, grant in google_secret_manager_secret_iam_member.functions : "${name} reads the key" => grant.id },
    { for number, grant in google_secret_manager_secret_iam_member.rotate_adds_versions : "rotate adds versions" => grant.id },
    { for number, grant in google_project_iam_member.rotate_makes_keys : "rotate makes keys" => grant.id },
    {
      "build writes images" = google_artifact_registry_repository_iam_member.build_writes_images.id
      "build reads source"  = google_project_iam_member.build_reads_source.id
      "build writes logs"   = google_project_iam_member.build_writes_logs.id
    },
  )
}
