locals {
  source_url    = "gs://${google_storage_bucket.bucket["source"].name}"
  search_url    = var.load_balancer == null ? google_cloudfunctions2_function.function["search"].service_config[0].uri : "https://${var.load_balancer.domain}/api/search"
  authorization = var.search.access == "key" ? "Authorization: Bearer $FLAMEHAVEN_API_KEY" : "Authorization: Bearer $(gcloud auth print-identity-token)"
}

output "dns_record" {
  description = "The record that the name of the load balancer needs; its certificate comes within the hour after."
  value       = one([for balancer in module.search_balancer : "${var.load_balancer.domain}. A ${balancer.address}"])
}

output "vm_dns_record" {
  description = "The same for the virtual machine."
  value       = one([for vm in module.vm : "${var.vm.domain}. A ${vm.address}"])
}

output "vm_image" {
  description = "Builds the server's image and stores it where the virtual machine fetches it, from the root of a checkout."
  value       = local.server_image == null ? null : "gcloud builds submit --config infra/terraform/vm/image.yaml --substitutions _IMAGE=${local.server_image} --service-account ${google_service_account.account["build"].name} --gcs-source-staging-dir ${local.source_url}/server --project ${var.project} --region ${var.region}"
}

output "make_key" {
  description = "Makes an API key for searching the store hr, where search asks for keys; from a checkout, as somebody who may write the state bucket."
  value       = "GEMINI_API_KEY=unused STATE_URL=${local.state_url} DOCUMENTS_URL=${local.documents_url} flamehaven keys create Ann --scope search --store hr"
}

output "documents_bucket" {
  description = "The bucket that documents are dropped into. A first folder is a store."
  value       = local.documents_url
}

output "state_bucket" {
  description = "The bucket of records and keys: STATE_URL of a server beside the functions."
  value       = local.state_url
}

output "search_url" {
  description = "The address of search."
  value       = local.search_url
}

output "health_url" {
  description = "The address of health; /live for whether it lives."
  value       = google_cloudfunctions2_function.function["health"].service_config[0].uri
}

output "upload" {
  description = "Drops a document into the store hr."
  value       = "gcloud storage cp leave.pdf ${local.documents_url}/hr/"
}

output "ask" {
  description = "Asks the store hr."
  value       = "curl --get -H \"${local.authorization}\" '${local.search_url}' --data-urlencode 'store=hr' --data-urlencode 'q=How long is parental leave?'"
}

output "tail_logs" {
  description = "Shows the functions' logs as they come."
  value       = "gcloud beta logging tail '${local.ours}' --project ${var.project} --format 'value(timestamp, resource.labels.service_name, severity, jsonPayload.message)'"
}

output "dead_letters" {
  description = "Lists the events that were given up; with replay at its end it sends them again."
  value       = "GEMINI_API_KEY=unused EVENTS_URL=pubsub://${var.project}/${google_pubsub_subscription.ingest.name} flamehaven dead-letters"
}

output "sweep" {
  description = "Starts a full sweep now."
  value       = "gcloud scheduler jobs run ${google_cloud_scheduler_job.everything.name} --location ${var.region} --project ${var.project}"
}

output "add_key" {
  description = "Stores a new Gemini key, of the same Gemini project, that is in the file gemini.key. It is used within a minute, with no deploy."
  value       = "gcloud secrets versions add ${google_secret_manager_secret.gemini_api_key.secret_id} --data-file gemini.key --project ${var.project}"
}

output "events_url" {
  description = "EVENTS_URL of a server that pulls events, where queue.pull is on."
  value       = one([for subscription in google_pubsub_subscription.server : "pubsub://${var.project}/${subscription.name}"])
}

output "service_accounts" {
  description = "The e-mail address of each service account."
  value       = { for name, account in google_service_account.account : name => account.email }
}

output "project_id" {
  description = "The project that everything is in."
  value       = var.project
}

output "region" {
  description = "The region of the functions."
  value       = var.region
}

output "function_names" {
  description = "The name of each function."
  value       = { for name, function in google_cloudfunctions2_function.function : name => function.name }
}

output "topic_ids" {
  description = "The ids of the topics: events, dead letters, and messages about a due key."
  value       = { events = google_pubsub_topic.events.id, dead_letters = google_pubsub_topic.dead_letters.id, rotation = google_pubsub_topic.rotation.id }
}

output "secret_id" {
  description = "The id of the secret with the Gemini key."
  value       = google_secret_manager_secret.gemini_api_key.id
}

output "bucket_names" {
  description = "The name of each bucket."
  value       = merge({ for name, bucket in google_storage_bucket.bucket : name => bucket.name }, { for name, bucket in google_storage_bucket.backup : "${name}_backup" => bucket.name })
}

output "restore_key" {
  description = "Makes an older version of the Gemini key, here version 1, the newest again: \"latest\" is the version that was created last, whether or not it works."
  value       = "gcloud secrets versions access 1 --secret ${google_secret_manager_secret.gemini_api_key.secret_id} --project ${var.project} | gcloud secrets versions add ${google_secret_manager_secret.gemini_api_key.secret_id} --data-file - --project ${var.project}"
}
