output "workload_identity_provider" {
  description = "WORKLOAD_IDENTITY_PROVIDER of the workflow."
  value       = google_iam_workload_identity_pool_provider.github.name
}

output "planner" {
  description = "TERRAFORM_PLANNER of the workflow."
  value       = google_service_account.account["planner"].email
}

output "applier" {
  description = "TERRAFORM_APPLIER of the workflow."
  value       = google_service_account.account["applier"].email
}

output "backend" {
  description = "backend.tf of the root that the pipeline applies."
  value       = "terraform {\n  backend \"gcs\" {\n    bucket = \"${google_storage_bucket.state.name}\"\n    prefix = \"flamehaven\"\n  }\n}\n"
}
