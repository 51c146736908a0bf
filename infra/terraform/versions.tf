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
    time = {
      source  = "hashicorp/time"
      version = "~> 0.13"
    }
  }
}
