output "add_key" {
  value = { for name, deployment in module.search : name => deployment.add_key }
}

output "documents_bucket" {
  value = { for name, deployment in module.search : name => deployment.documents_bucket }
}

output "ask" {
  value = { for name, deployment in module.search : name => deployment.ask }
}
