output "address" {
  description = "Where the name has to lead."
  value       = google_compute_global_address.this.address
}
