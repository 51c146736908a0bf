output "documents_bucket" {
  value = module.search.documents_bucket
}

output "upload" {
  value = module.search.upload
}

output "ask" {
  value = module.search.ask
}

output "search_url" {
  value = module.search.search_url
}

output "health_url" {
  value = module.search.health_url
}

output "make_key" {
  value = module.search.make_key
}

output "tail_logs" {
  value = module.search.tail_logs
}

output "dead_letters" {
  value = module.search.dead_letters
}

output "sweep" {
  value = module.search.sweep
}

output "add_key" {
  value = module.search.add_key
}

output "restore_key" {
  value = module.search.restore_key
}

output "dns_record" {
  value = module.search.dns_record
}
