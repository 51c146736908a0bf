variable "project" {
  description = "The id of the project."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
  default     = "europe-west1"
}

variable "alerts" {
  description = "Who is told of trouble, as the module takes it."
  type        = any
  default     = {}
}

variable "search" {
  description = "Who may search, as the module takes it."
  type        = any
  default     = {}
}

variable "deletion_protection" {
  description = "false before a destroy."
  type        = bool
  default     = true
}

variable "gemini_api_key" {
  description = "The Gemini API key, in TF_VAR_gemini_api_key, in an apply that stores it."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true
}

variable "gemini_key_version" {
  description = "1 in the first apply, another number for another key, 0 in all others."
  type        = number
  default     = 0
}
