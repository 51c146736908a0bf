variable "project" {
  description = "The id of the project."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
  default     = "europe-west1"
}

variable "gemini_project" {
  description = "The project of the Gemini keys and the File Search stores."
  type        = string
}

variable "members" {
  description = "Who may search, such as group:staff@example.com."
  type        = set(string)
}

variable "emails" {
  description = "Who is told of trouble."
  type        = set(string)
}

variable "channels" {
  description = "Notification channels that exist, such as those for Slack and PagerDuty."
  type        = set(string)
  default     = []
}

variable "budget" {
  description = "The billing account and the amount a month, as the module takes them."
  type        = object({ billing_account = string, amount = number, currency = optional(string) })
  default     = null
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
