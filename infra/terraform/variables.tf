variable "project" {
  description = "The id of the Google Cloud project that everything is made in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "The project is its id, such as acme-search-4711: 6 to 30 small letters, digits and hyphens, a letter first."
  }
}

variable "gemini_api_key" {
  description = "The Gemini API key, in TF_VAR_gemini_api_key. It goes into Secret Manager, and into no plan and no state. Give it together with gemini_key_version, and leave out both in later applies: the stored key stays."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.gemini_api_key == null || can(regex("^[A-Za-z0-9_.-]{20,}$", var.gemini_api_key))
    error_message = "The Gemini API key is one word of at least 20 letters, digits, dots, hyphens and underscores, with no space or line end."
  }
  validation {
    condition     = (var.gemini_api_key == null) == (var.gemini_key_version == 0)
    error_message = "To store a key, give gemini_api_key and a gemini_key_version above 0. In an apply that stores none, give neither."
  }
}

variable "gemini_key_version" {
  description = "Stores gemini_api_key as a new version of the secret: 1 the first time, another number for another key. 0 leaves the secret as it is. It has to have a version by then: where gcloud adds it, the first apply stops at the missing version and can be repeated once it is there."
  type        = number
  default     = 0

  validation {
    condition     = var.gemini_key_version >= 0 && floor(var.gemini_key_version) == var.gemini_key_version
    error_message = "The version of the Gemini key is a whole number: 0, 1, 2 and so on."
  }
}

variable "gemini_key_rotation_days" {
  description = "After how many days the key is due to be exchanged; an alert then says so."
  type        = number
  default     = 90

  validation {
    condition     = var.gemini_key_rotation_days >= 1 && var.gemini_key_rotation_days <= 365
    error_message = "The Gemini key is due after 1 to 365 days."
  }
}

variable "rotation" {
  description = "The function that exchanges the Gemini key when it is due: the project that keys are made in, which has to be that of the stores (by default this one), and for how many days the old key goes on beside the new one. null: somebody does it by hand."
  type = object({
    gemini_project = optional(string)
    grace_days     = optional(number, 7)
    source         = optional(string)
  })
  default  = null
  nullable = true

  validation {
    condition     = var.rotation == null || try(var.rotation.grace_days >= 1 && var.rotation.grace_days < var.gemini_key_rotation_days, false)
    error_message = "The old key goes on for a day at least, and for less than until the next is due."
  }
}

variable "region" {
  description = "The region of the functions, the queue and, unless buckets.location says otherwise, the buckets."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "The region is one of Google Cloud's, such as europe-west1 or us-central1."
  }
}

variable "name" {
  description = "What every name begins with. Two deployments in one project have two."
  type        = string
  default     = "flamehaven"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "The name has 3 to 20 small letters, digits and hyphens, a letter first and no hyphen last."
  }
}

variable "labels" {
  description = "Labels for everything that can have some, beside app and deployment."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "Labels are small letters, digits, hyphens and underscores, at most 63, and a key begins with a letter."
  }
}

variable "kms_keys" {
  description = "Cloud KMS keys for the rest, named in full: secret (a key of the location global), topics, and functions, which also encrypts their images (both keys of the region). Without one, Google's own keys encrypt. The documents have buckets.kms_key and backup.kms_key."
  type = object({
    secret    = optional(string)
    topics    = optional(string)
    functions = optional(string)
  })
  default = {}

  validation {
    condition     = alltrue([for key in values(var.kms_keys) : key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", key))])
    error_message = "A key is named in full: projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY."
  }
  validation {
    condition     = var.kms_keys.secret == null || can(regex("^projects/[^/]+/locations/global/", var.kms_keys.secret))
    error_message = "The secret is replicated automatically, which takes a key of the location global."
  }
}

variable "network" {
  description = "Private networking: the network and subnetwork that the functions send everything through, with network tags (Direct VPC egress; Gemini is then reached through a Cloud NAT or Private Google Access of yours), a Cloud Build private pool that builds them, and whether search may be called only from networks of the project."
  type = object({
    network         = optional(string)
    subnetwork      = optional(string)
    tags            = optional(list(string), [])
    build_pool      = optional(string)
    internal_search = optional(bool, false)
  })
  default = {}

  validation {
    condition     = (var.network.network == null) == (var.network.subnetwork == null)
    error_message = "Give the network and the subnetwork, or neither."
  }
  validation {
    condition     = var.network.build_pool == null || can(regex("^projects/[^/]+/locations/[^/]+/workerPools/[^/]+$", var.network.build_pool))
    error_message = "The build pool is named in full: projects/PROJECT/locations/REGION/workerPools/POOL."
  }
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete what holds data: buckets, queues, the secret. Apply false before a destroy."
  type        = bool
  default     = true
}

variable "function_source" {
  description = "The zip of the functions, which scripts/function_source.py writes. Empty: dist/functions.zip of this checkout."
  type        = string
  default     = ""
}

variable "settings" {
  description = "Settings of docs/settings.md for every function, such as DEFAULT_MODEL or GEMINI_PROJECT; none that the module sets, and no secret."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.settings) : can(regex("^[A-Z][A-Z0-9_]*$", key))])
    error_message = "Settings have names in capitals, as in docs/settings.md."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), ["DATA_DIR", "DOCUMENTS_URL", "ENVIRONMENT", "EVENTS_URL", "LOG_EXECUTION_ID", "MAX_FILE_SIZE_MB", "PARALLEL_SEARCHES", "PARALLEL_UPLOADS", "PYTHONPATH", "SEARCH_ACCESS", "STATE_URL"])) == 0
    error_message = "DATA_DIR, DOCUMENTS_URL, ENVIRONMENT, EVENTS_URL, LOG_EXECUTION_ID, MAX_FILE_SIZE_MB, PARALLEL_SEARCHES, PARALLEL_UPLOADS, PYTHONPATH, SEARCH_ACCESS and STATE_URL are set by the module: use its own variables."
  }
  validation {
    condition     = alltrue([for key in keys(var.settings) : !can(regex("^(PORT$|HOST$|K_|FUNCTION_|GOOGLE_|X_GOOGLE_|CLOUD_RUN_)", key))])
    error_message = "PORT, HOST and names that begin with K_, FUNCTION_, GOOGLE_, X_GOOGLE_ or CLOUD_RUN_ belong to the platform: it refuses them, or the function does not start with them."
  }
  validation {
    condition     = alltrue([for key in keys(var.settings) : !can(regex("KEY|SECRET|PASSWORD|TOKEN$|REDIS_URL", key))])
    error_message = "A secret is no setting: what is in an environment can be read by everybody who may look at the function."
  }
}

variable "max_file_size_mb" {
  description = "The largest document, in MB of 1,048,576 bytes. The functions' memory grows with it."
  type        = number
  default     = 50

  validation {
    condition     = var.max_file_size_mb >= 1 && var.max_file_size_mb <= 95
    error_message = "The largest document has 1 to 95 MB: Gemini takes 100,000,000 bytes."
  }
}

variable "buckets" {
  description = "Where the documents and their records are; how many days a replaced or deleted document can still be brought back; the Cloud KMS key that encrypts them, if not Google's."
  type = object({
    location           = optional(string)
    noncurrent_days    = optional(number, 30)
    soft_deletion_days = optional(number, 7)
    kms_key            = optional(string)
  })
  default = {}

  validation {
    condition     = var.buckets.noncurrent_days >= 1 && var.buckets.noncurrent_days <= 3650
    error_message = "A replaced document is kept for 1 to 3650 days."
  }
  validation {
    condition     = var.buckets.soft_deletion_days == 0 || (var.buckets.soft_deletion_days >= 7 && var.buckets.soft_deletion_days <= 90)
    error_message = "Soft deletion lasts 7 to 90 days, or 0 for none."
  }
  validation {
    condition     = var.buckets.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.buckets.kms_key))
    error_message = "The key is named in full: projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY."
  }
}

variable "backup" {
  description = "The daily copies of documents and state in another location: where (by default the multi-region EU for regions in the EU, and US for those in the US; elsewhere a location has to be named), from which hour on (UTC), for how many days what was deleted or replaced stays in them, and the Cloud KMS key that encrypts them, which is needed where the documents have one. null for none."
  type = object({
    location        = optional(string)
    hour            = optional(number, 2)
    noncurrent_days = optional(number, 30)
    kms_key         = optional(string)
  })
  default  = {}
  nullable = true

  validation {
    condition     = var.backup == null || try(contains(range(24), var.backup.hour), false)
    error_message = "The hour of the backup is a whole number from 0 to 23."
  }
  validation {
    condition     = var.backup == null || try(var.backup.noncurrent_days >= 1 && var.backup.noncurrent_days <= 3650, false)
    error_message = "What was deleted stays in the backup for 1 to 3650 days."
  }
  validation {
    condition     = try(var.backup.kms_key, null) == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.backup.kms_key))
    error_message = "The backup's key is named in full: projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY."
  }
}

variable "queue" {
  description = "How events are delivered: how often before an event becomes a dead letter, the shortest and longest wait between two tries in seconds, for how many days an event is kept, and whether there is a subscription for a server to pull from, too."
  type = object({
    max_deliveries  = optional(number, 100)
    minimum_backoff = optional(number, 10)
    maximum_backoff = optional(number, 600)
    retention_days  = optional(number, 7)
    pull            = optional(bool, false)
  })
  default = {}

  validation {
    condition     = var.queue.max_deliveries >= 5 && var.queue.max_deliveries <= 100
    error_message = "Pub/Sub delivers an event 5 to 100 times before it is a dead letter."
  }
  validation {
    condition     = var.queue.minimum_backoff >= 1 && var.queue.minimum_backoff <= var.queue.maximum_backoff && var.queue.maximum_backoff <= 600
    error_message = "The waits between two tries are 1 to 600 seconds, the shortest no longer than the longest."
  }
  validation {
    condition     = var.queue.retention_days >= 1 && var.queue.retention_days <= 31
    error_message = "Pub/Sub keeps events for 1 to 31 days."
  }
}

variable "ingest" {
  description = "How many instances of ingest there are at most, and how many documents each sends to Gemini at once."
  type = object({
    max_instances = optional(number, 5)
    concurrency   = optional(number, 8)
  })
  default = {}

  validation {
    condition     = var.ingest.max_instances >= 1 && var.ingest.concurrency >= 1 && var.ingest.max_instances * var.ingest.concurrency <= 40
    error_message = "Instances times documents at once are 1 to 40: beyond 50 uploads at once, of which the sweep has 10, Gemini has been seen to lose documents."
  }
}

variable "sweep" {
  description = "When the small sweep (what took long) and the full one (everything) come, as cron writes it, in which time zone: at least one of them every hour, or an alert says that none does; and how many MiB of memory each has: a full one keeps the records of all documents there."
  type = object({
    unfinished = optional(string, "* * * * *")
    everything = optional(string, "17 3 * * *")
    time_zone  = optional(string, "Etc/UTC")
    memory_mib = optional(number, 1024)
  })
  default = {}

  validation {
    condition     = alltrue([for schedule in [var.sweep.unfinished, var.sweep.everything] : can(regex("^(\\S+ +){4}\\S+$", schedule))])
    error_message = "A schedule has the five fields of cron: minute, hour, day, month, day of the week."
  }
  validation {
    condition     = var.sweep.memory_mib >= 1024 && var.sweep.memory_mib <= 4096
    error_message = "A sweep has 1024 to 4096 MiB of memory."
  }
}

variable "search" {
  description = "Who may search: with access = \"iam\" the members (user:..., group:..., serviceAccount:...), with \"key\" everybody who has a key of this deployment, which makes the function's address public. And how many instances there are, and how many questions each answers at once."
  type = object({
    access        = optional(string, "iam")
    members       = optional(set(string), [])
    min_instances = optional(number, 0)
    max_instances = optional(number, 10)
    concurrency   = optional(number, 40)
  })
  default = {}

  validation {
    condition     = contains(["iam", "key"], var.search.access)
    error_message = "Search is for those whom IAM lets in (\"iam\"), or for those who have a key (\"key\")."
  }
  validation {
    condition     = var.search.access != "key" || length(var.search.members) == 0
    error_message = "With access = \"key\" whoever has a key may search: members belong to access = \"iam\"."
  }
  validation {
    condition     = alltrue([for member in var.search.members : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+", member))])
    error_message = "A member is user:, group:, serviceAccount:, domain:, principal: or principalSet: and who it is; for everybody with a key, set access to \"key\"."
  }
  validation {
    condition     = var.search.min_instances >= 0 && var.search.min_instances <= var.search.max_instances && var.search.max_instances <= 100
    error_message = "Search has at most 100 instances, and at least no more than at most."
  }
  validation {
    condition     = var.search.concurrency >= 1 && var.search.concurrency <= 250
    error_message = "An instance answers 1 to 250 questions at once."
  }
}

variable "load_balancer" {
  description = "A name of your own in front of search (search.example.com), with a certificate that Google renews, rules against known attacks, and a limit of requests a minute for each address. Search is then reached in no other way. With iap_members (user:..., group:...) Identity-Aware Proxy asks people to sign in, and lets in only those. null for none."
  type = object({
    domain              = string
    requests_per_minute = optional(number, 120)
    iap_members         = optional(set(string), [])
  })
  default  = null
  nullable = true

  validation {
    condition     = var.load_balancer == null || can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", var.load_balancer.domain))
    error_message = "The name is one of the Domain Name System, such as search.example.com."
  }
  validation {
    condition     = var.load_balancer == null || try(var.load_balancer.requests_per_minute >= 1 && var.load_balancer.requests_per_minute <= 10000 && floor(var.load_balancer.requests_per_minute) == var.load_balancer.requests_per_minute, false)
    error_message = "An address may send 1 to 10000 requests a minute."
  }
  validation {
    condition     = try(length(var.load_balancer.iap_members), 0) == 0 || var.search.access == "iam"
    error_message = "Identity-Aware Proxy lets in members, not keys: iap_members belong to search.access = \"iam\"."
  }
}

variable "vm" {
  description = "The server on a virtual machine, beside the functions: its name, the version of its image, the machine, and how many requests and uploads a minute one address may send. It takes its events from a subscription of its own. null for none."
  type = object({
    domain              = string
    version             = string
    machine_type        = optional(string, "e2-small")
    requests_per_minute = optional(number, 300)
    uploads_per_minute  = optional(number, 10)
  })
  default  = null
  nullable = true

  validation {
    condition     = var.vm == null || can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", var.vm.domain))
    error_message = "The name is one of the Domain Name System, such as files.example.com."
  }
  validation {
    condition     = var.vm == null || can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.vm.version))
    error_message = "The version is the tag of an image, such as 1.1.0."
  }
}

variable "alerts" {
  description = "Who is told: e-mail addresses, webhooks (https://...), Pub/Sub topics (projects/PROJECT/topics/TOPIC), and notification channels that exist already, such as those for Slack and PagerDuty (projects/PROJECT/notificationChannels/ID). Without any there are no alerts. And what is promised: the share of searches in percent that are answered, and that are within so many seconds."
  type = object({
    emails            = optional(set(string), [])
    webhooks          = optional(set(string), [])
    topics            = optional(set(string), [])
    channels          = optional(set(string), [])
    available_percent = optional(number, 99.5)
    fast_percent      = optional(number, 95)
    fast_seconds      = optional(number, 10)
    waiting_minutes   = optional(number, 30)
  })
  default = {}

  validation {
    condition     = alltrue([for email in var.alerts.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", email))])
    error_message = "An e-mail address looks like ops@example.com."
  }
  validation {
    condition     = alltrue([for address in var.alerts.webhooks : can(regex("^https://[^\\s]+$", address))]) && alltrue([for topic in var.alerts.topics : can(regex("^projects/[^/]+/topics/[^/]+$", topic))])
    error_message = "A webhook begins with https://, and a topic is named in full: projects/PROJECT/topics/TOPIC."
  }
  validation {
    condition     = alltrue([for channel in var.alerts.channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", channel))])
    error_message = "A notification channel is named in full: projects/PROJECT/notificationChannels/ID."
  }
  validation {
    condition     = alltrue([for percent in [var.alerts.available_percent, var.alerts.fast_percent] : percent >= 94 && percent <= 99.99])
    error_message = "A promise is 94 to 99.99 percent: what fails can never be 14.4 times as much as a smaller one allows, which an alert waits for."
  }
  validation {
    condition     = var.alerts.fast_seconds >= 1 && var.alerts.fast_seconds <= 120 && var.alerts.waiting_minutes >= 5
    error_message = "A fast answer takes 1 to 120 seconds, and an event may wait for 5 minutes or more."
  }
}

variable "check" {
  description = "The synthetic check: a function that writes a document into the store synthetic-check, asks search for what is in it, and compares, as often as the schedule says (cron; at least every three hours, or an alert says that none succeeds). Each takes some questions of Gemini. null for none."
  type = object({
    schedule = optional(string, "7 * * * *")
  })
  default  = null
  nullable = true

  validation {
    condition     = var.check == null || try(can(regex("^(\\S+ +){4}\\S+$", var.check.schedule)), false)
    error_message = "A schedule has the five fields of cron: minute, hour, day, month, day of the week."
  }
  validation {
    condition     = var.check == null || (var.search.access == "iam" && (var.network.subnetwork != null || (var.load_balancer == null && !var.network.internal_search)))
    error_message = "The check signs in as a service account, and calls search from a function: it needs search.access = \"iam\", and with a load balancer or internal search a network of yours to call through."
  }
}

variable "budget" {
  description = "The billing account (XXXXXX-XXXXXX-XXXXXX), and the amount a month of which 50, 90 and 100 percent are told. Without a currency it is the account's own. null for none."
  type = object({
    billing_account = string
    amount          = number
    currency        = optional(string)
  })
  default  = null
  nullable = true

  validation {
    condition     = var.budget == null || can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "A billing account looks like 01AB23-45CD67-89EF01."
  }
  validation {
    condition     = var.budget == null || try(var.budget.amount >= 1 && floor(var.budget.amount) == var.budget.amount, false)
    error_message = "The budget is a whole amount of at least 1."
  }
  validation {
    condition     = var.budget == null || try(var.budget.currency == null || can(regex("^[A-Z]{3}$", var.budget.currency)), false)
    error_message = "A currency has three capitals, such as EUR."
  }
}
