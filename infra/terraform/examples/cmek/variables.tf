variable "project" {
  description = "The id of the project."
  type        = string
}

variable "key_project" {
  description = "The project of the keys, as projects/PROJECT."
  type        = string
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
