# The functions, which zips they are made from, and who may call them.

locals {
  sources = merge(
    { functions = var.function_source != "" ? var.function_source : "${path.module}/../../dist/functions.zip" },
    var.rotation == null ? {} : { rotation = local.rotation_source },
  )

  # /tmp is memory. An instance of ingest holds, for each document that it sends at once, the document and two pieces of
  # 8 MiB, beside 256 MiB for Python and what it has imported (benchmarks.function_memory measures it: 658 MiB). With the defaults: 256 + 8 × (50 + 16) = 784, so 1,024 MiB.
  ingest_memory_mib = max(512, 256 * ceil((256 + var.ingest.concurrency * (var.max_file_size_mb + 16)) / 256))
  # Cloud Run wants more CPUs for more memory ("Memory limits"): one for 4 GiB, two for 8 GiB.
  cpus = { for name, function in local.functions : name => function.memory <= 4096 ? 1 : function.memory <= 8192 ? 2 : 4 }
  # A sweep sends 5 at once: 256 + 5 × (50 + 16) = 586 MiB, and the rest of its memory is for the records of all documents.
  sweep_uploads = 5

  functions = merge({
    ingest = {
      description = "Sees to the object of an event"
      file        = "functions/ingest/main.py"
      zip         = "functions"
      ingress     = "ALLOW_INTERNAL_ONLY" # Pub/Sub and Cloud Scheduler of this project, and nobody on the Internet
      memory      = local.ingest_memory_mib
      timeout     = 600 # as long as the queue waits
      instances   = [0, var.ingest.max_instances]
      concurrency = 4 * var.ingest.concurrency # the others wait for their turn, rather than being refused and tried again
      environment = { PARALLEL_UPLOADS = var.ingest.concurrency }
    }
    sweep = {
      description = "Sees to what no event announced"
      file        = "functions/ingest/main.py"
      zip         = "functions"
      ingress     = "ALLOW_INTERNAL_ONLY"
      memory      = var.sweep.memory_mib
      timeout     = 1800   # as long as Cloud Scheduler waits
      instances   = [0, 2] # a small sweep while a full one runs; 2 × 5 uploads at once
      concurrency = 1
      environment = { PARALLEL_UPLOADS = local.sweep_uploads }
    }
    search = {
      description = "Answers questions"
      file        = "functions/search/main.py"
      zip         = "functions"
      ingress     = var.load_balancer != null ? "ALLOW_INTERNAL_AND_GCLB" : var.network.internal_search ? "ALLOW_INTERNAL_ONLY" : "ALLOW_ALL"
      memory      = 512
      timeout     = 120
      instances   = [var.search.min_instances, var.search.max_instances]
      concurrency = var.search.concurrency
      environment = { PARALLEL_SEARCHES = var.search.concurrency, SEARCH_ACCESS = var.search.access }
    }
    health = {
      description = "Looks whether everything answers"
      file        = "functions/health/main.py"
      zip         = "functions"
      ingress     = "ALLOW_ALL"
      memory      = 512
      timeout     = 30
      instances   = [0, 1]
      concurrency = 10
      environment = {}
    }
  }, local.rotate, local.check)

  environment = merge(var.settings, {
    DATA_DIR             = "/tmp/flamehaven"
    DOCUMENTS_URL        = local.documents_url
    ENVIRONMENT          = "production"
    GEMINI_API_KEY       = "/etc/secrets/gemini-api-key" # the file below, not the key
    GOOGLE_CLOUD_PROJECT = var.project
    LOG_EXECUTION_ID     = "false" # Cloud Functions sets it to true by default, which replaces the logging configuration
    MAX_FILE_SIZE_MB     = var.max_file_size_mb
    PYTHONPATH           = "/workspace" # functions/ and shared/ import each other from the zip's root
    STATE_URL            = local.state_url
  })
}

resource "google_artifact_registry_repository" "functions" {
  #checkov:skip=CKV_GCP_84:The images hold this public code and public packages, and no document; kms_keys.functions encrypts them.
  project       = var.project
  repository_id = "${var.name}-functions"
  location      = var.region
  format        = "DOCKER"
  description   = "The functions' images, which Cloud Build makes"
  labels        = local.labels
  kms_key_name  = var.kms_keys.functions

  cleanup_policies {
    id     = "keep the last"
    action = "KEEP"
    most_recent_versions {
      keep_count = 5
    }
  }
  cleanup_policies {
    id     = "drop the rest"
    action = "DELETE"
    condition {
      older_than = "2592000s"
    }
  }

  depends_on = [time_sleep.keys]
}

resource "google_artifact_registry_repository_iam_member" "build_writes_images" {
  project    = var.project
  repository = google_artifact_registry_repository.functions.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.account["build"].member
}

resource "google_storage_bucket_object" "source" {
  for_each = local.sources

  name   = "${each.key}-${try(filesha256(each.value), "missing")}.zip" # another zip is another deploy
  bucket = google_storage_bucket.bucket["source"].name
  source = each.value

  lifecycle {
    precondition {
      condition     = fileexists(each.value)
      error_message = "There is no ${each.value}. Run python3 scripts/function_source.py first, or say in function_source and rotation.source where the zips are."
    }
  }
}

resource "google_cloudfunctions2_function" "function" {
  #checkov:skip=CKV_GCP_124:Search and health are asked from outside, by whom IAM or a key lets in; the others are internal.
  for_each = local.functions

  project      = var.project
  name         = "${var.name}-${each.key}"
  location     = var.region
  description  = each.value.description
  labels       = local.labels
  kms_key_name = var.kms_keys.functions

  build_config {
    runtime           = "python313"
    entry_point       = each.key
    service_account   = google_service_account.account["build"].name
    docker_repository = google_artifact_registry_repository.functions.id
    worker_pool       = var.network.build_pool
    environment_variables = {
      GOOGLE_FUNCTION_SOURCE = each.value.file
    }
    automatic_update_policy {}

    source {
      storage_source {
        bucket = google_storage_bucket.bucket["source"].name
        object = google_storage_bucket_object.source[each.value.zip].name
      }
    }
  }

  service_config {
    available_cpu                    = tostring(local.cpus[each.key])
    available_memory                 = "${each.value.memory}Mi"
    timeout_seconds                  = each.value.timeout
    min_instance_count               = each.value.instances[0]
    max_instance_count               = each.value.instances[1]
    max_instance_request_concurrency = each.value.concurrency
    ingress_settings                 = each.value.ingress
    service_account_email            = google_service_account.account[each.key].email
    all_traffic_on_latest_revision   = true
    environment_variables            = { for name, value in merge(local.environment, each.value.environment) : name => tostring(value) }

    # Everything goes through the network then, so that its firewall sees it.
    direct_vpc_egress = var.network.subnetwork == null ? null : "VPC_EGRESS_ALL_TRAFFIC"
    dynamic "direct_vpc_network_interface" {
      for_each = var.network.subnetwork == null ? [] : [var.network]
      content {
        network    = direct_vpc_network_interface.value.network
        subnetwork = direct_vpc_network_interface.value.subnetwork
        tags       = direct_vpc_network_interface.value.tags
      }
    }

    secret_volumes {
      mount_path = "/etc/secrets"
      project_id = var.project
      secret     = google_secret_manager_secret.gemini_api_key.secret_id
      versions {
        version = "latest"
        path    = "gemini-api-key"
      }
    }
  }

  depends_on = [
    time_sleep.accounts,
    google_secret_manager_secret_version.gemini_api_key,
    data.google_secret_manager_secret_version.gemini_api_key,
  ]
}

locals {
  invokers = merge(
    { push = { function = "ingest", member = google_service_account.account["push"].member } },
    { schedule = { function = "sweep", member = google_service_account.account["schedule"].member } },
    var.check == null ? {} : {
      "schedule checks" = { function = "check", member = google_service_account.account["schedule"].member }
      "check searches"  = { function = "search", member = google_service_account.account["check"].member }
    },
    { for name in ["push", "schedule"] : "${name} rotates" => { function = "rotate", member = google_service_account.account[name].member } if var.rotation != null },
    { for member in var.search.members : member => { function = "search", member = member } },
    try(length(var.load_balancer.iap_members), 0) == 0 ? {} : { iap = { function = "search", member = "${local.agent_of}@gcp-sa-iap.iam.gserviceaccount.com" } },
    var.search.access == "key" ? { everybody = { function = "search", member = "allUsers" } } : {}, # who then shows a key
  )
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = local.invokers

  project  = var.project
  name     = google_cloudfunctions2_function.function[each.value.function].name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value.member
}
