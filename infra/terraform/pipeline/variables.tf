variable "project" {
  description = "The id of the project that the pipeline applies to."
  type        = string
}

variable "repository" {
  description = "The GitHub repository, as OWNER/NAME."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.repository))
    error_message = "The repository is OWNER/NAME."
  }
}

variable "state_bucket" {
  description = "The name of the bucket for the state."
  type        = string
}

variable "location" {
  description = "Where the state is."
  type        = string
  default     = "EU"
}

variable "more_roles" {
  description = "More roles for whoever applies: roles/compute.admin for load_balancer or vm, roles/iap.admin for iap_members, roles/cloudkms.admin for keys of this project."
  type        = set(string)
  default     = []
}
