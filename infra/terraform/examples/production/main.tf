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

# The audit log of a service is one of the whole project, so it belongs to the root and not to a deployment. Who reads the
# Gemini key is logged, except for the functions, which read it all the time.
resource "google_project_iam_audit_config" "secrets" {
  project = var.project
  service = "secretmanager.googleapis.com"

  audit_log_config {
    log_type = "ADMIN_READ"
  }
  audit_log_config {
    log_type = "DATA_WRITE"
  }
  audit_log_config {
    log_type         = "DATA_READ"
    exempted_members = [for name in ["ingest", "sweep", "search", "health", "rotate", "check"] : "serviceAccount:${module.search.service_accounts[name]}"]
  }
}

module "search" {
  source = "../.."

  project = var.project
  region  = var.region
  labels  = { environment = "production" }

  gemini_api_key     = var.gemini_api_key
  gemini_key_version = var.gemini_key_version

  search   = { members = var.members, min_instances = 1 }
  alerts   = { emails = var.emails, channels = var.channels, available_percent = 99.9 }
  budget   = var.budget
  rotation = { gemini_project = var.gemini_project }
  backup   = { noncurrent_days = 90 }
  check    = {}
}
