variable "project" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "The region of the instance."
  type        = string
}

variable "name" {
  description = "What everything here is called."
  type        = string
}

variable "labels" {
  description = "Labels of the instance."
  type        = map(string)
}

variable "image" {
  description = "The server's image, with its registry and its tag."
  type        = string
}

variable "machine_type" {
  description = "The machine."
  type        = string
}

variable "domain" {
  description = "The name that the server is reached by."
  type        = string
}

variable "limits" {
  description = "How many requests, and how many uploads, one address may send in a minute."
  type        = object({ requests_per_minute = number, uploads_per_minute = number })
}

variable "buckets" {
  description = "The buckets of documents and of records."
  type        = object({ documents = string, state = string })
}

variable "subscription" {
  description = "The subscription that events are pulled from."
  type        = string
}

variable "secret" {
  description = "The secret with the Gemini key."
  type        = string
}

variable "settings" {
  description = "The server's settings."
  type        = map(string)
}
