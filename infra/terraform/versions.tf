terraform {
  required_version = ">= 1.11" # write-only arguments: the Gemini key is in no plan and no state

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
    google-beta = { # only for google_project_service_identity
      source  = "hashicorp/google-beta"
      version = "~> 8.7"
    }
  }
}

provider "google" {
  project               = var.project
  region                = var.region
  billing_project       = var.project
  user_project_override = true # the budget's API asks which project's quota it may use
  default_labels        = local.labels
}

provider "google-beta" {
  project = var.project
  region  = var.region
}
