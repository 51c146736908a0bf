output "account" {
  description = "Who the server acts as."
  value       = google_service_account.server
}

output "address" {
  description = "Where the server's name has to lead."
  value       = module.balancer.address
}
