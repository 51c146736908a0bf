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

# Everything is encrypted with keys of yours. Each has to be in the location of what it encrypts.
module "search" {
  source = "../.."

  project            = var.project
  region             = "europe-west1"
  gemini_api_key     = var.gemini_api_key
  gemini_key_version = var.gemini_key_version

  buckets = { kms_key = "${var.key_project}/locations/europe-west1/keyRings/search/cryptoKeys/documents" }
  backup  = { location = "europe-north1", kms_key = "${var.key_project}/locations/europe-north1/keyRings/search/cryptoKeys/backup" }
  kms_keys = {
    secret    = "${var.key_project}/locations/global/keyRings/search/cryptoKeys/secret"
    topics    = "${var.key_project}/locations/europe-west1/keyRings/search/cryptoKeys/topics"
    functions = "${var.key_project}/locations/europe-west1/keyRings/search/cryptoKeys/functions"
  }
}
