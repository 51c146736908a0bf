# Who may use the Cloud KMS keys: the service agents that encrypt with them, and nobody else.

locals {
  storage_agent = data.google_storage_project_service_account.agent.member
  agent_of      = "serviceAccount:service-${data.google_project.this.number}"

  # A function's key encrypts its image, its source and the service ("Protect your data with CMEK", Cloud Run functions).
  key_users = {
    buckets = { key = var.buckets.kms_key, members = { storage = local.storage_agent } }
    backup  = { key = try(var.backup.kms_key, null), members = { storage = local.storage_agent } }
    secret  = { key = var.kms_keys.secret, members = { secretmanager = "${local.agent_of}@gcp-sa-secretmanager.iam.gserviceaccount.com" } }
    topics  = { key = var.kms_keys.topics, members = { pubsub = "${local.agent_of}@gcp-sa-pubsub.iam.gserviceaccount.com" } }
    functions = { key = var.kms_keys.functions, members = {
      artifactregistry = "${local.agent_of}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
      cloudfunctions   = "${local.agent_of}@gcf-admin-robot.iam.gserviceaccount.com"
      run              = "${local.agent_of}@serverless-robot-prod.iam.gserviceaccount.com"
      storage          = local.storage_agent
    } }
  }
  # One grant for each key and member, whatever the key encrypts.
  key_grants = merge([for use, each in local.key_users : {
    for agent, member in each.members : "${agent} ${each.key}" => { key = each.key, member = member }
  } if each.key != null]...)
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = local.key_grants

  crypto_key_id = each.value.key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value.member
  depends_on    = [time_sleep.services]
}
