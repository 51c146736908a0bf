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

module "search" {
  source = "../.."

  project            = var.project
  gemini_api_key     = var.gemini_api_key
  gemini_key_version = var.gemini_key_version

  vm = { domain = var.domain, version = "2.0.0.dev0" }
}
