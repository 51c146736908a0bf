terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
    google-beta = {
      source  = "hashicorp/google-beta"
      version = "~> 8.7"
    }
  }
}

provider "google" {
  project               = var.project
  billing_project       = var.project
  user_project_override = true # the budget's API asks which project's quota it may use
}

provider "google-beta" {
  project = var.project
}

# Two deployments in one project. Each has its own name, its own buckets and its own key.
module "search" {
  source   = "../.."
  for_each = { staging = { instances = 2 }, production = { instances = 5 } }

  project = var.project
  name    = each.key
  labels  = { environment = each.key }
  ingest  = { max_instances = each.value.instances, concurrency = 4 }

  # Add each key with the command in the output add_key: the first apply makes the secrets and stops there.
  gemini_key_version = 0
}
