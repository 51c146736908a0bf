variable "project" {
  description = "The project."
  type        = string
}

variable "name" {
  description = "What everything here is called."
  type        = string
}

variable "domain" {
  description = "The name that the certificate is for."
  type        = string
}

variable "backend" {
  description = "What answers: an endpoint or instance group, and for the latter its named port and health check."
  type = object({
    group           = string
    protocol        = string
    port_name       = optional(string)
    timeout_seconds = optional(number)
    health_check    = optional(string)
  })
}

variable "refused" {
  description = "What is refused, by the priority of the rule (below 1000): Cloud Armor's expression, and the status."
  type        = map(object({ description = string, expression = string, status = number }))
  default     = {}
}

variable "unless" {
  description = "Expressions that all have to be true for the rules against attacks to look."
  type        = list(string)
  default     = []
}

variable "attacks" {
  description = "The preconfigured rules of Cloud Armor that are used."
  type        = list(string)
  default     = ["lfi", "rce", "rfi", "protocolattack", "scannerdetection", "methodenforcement"]
}

variable "limits" {
  description = "How often an address may ask, by the priority of the rule (from 2000 on; the first that fits counts)."
  type        = map(object({ description = string, expression = string, requests_per_minute = number }))
}

variable "labels" {
  description = "Labels of the address and the forwarding rules."
  type        = map(string)
}

variable "iap_members" {
  description = "Who may pass Identity-Aware Proxy, which is off without any."
  type        = set(string)
  default     = []
}
