# What is refused, for each variable, before anything is asked of Google. Each run has a wrong value for as many variables
# as there is one for, and each of them has to be refused.

variables {
  project         = "acme-search"
  function_source = "./README.md"
}

run "wrong_values_1" {
  command = plan
  variables {
    # project of capitals
    project = "Acme"
    # half a version
    gemini_key_version = 1.5
    # topic key of a wrong form
    kms_keys = { topics = "my-key" }
    # network without a subnetwork
    network = { network = "net" }
    # rotation after no day
    gemini_key_rotation_days = 0
    # region that is a zone
    region = "europe-west1-b"
    # name that ends with a hyphen
    name = "search-"
    # label with capitals
    labels = { Team = "search" }
    # setting in small letters
    settings = { log_level = "info" }
    # largest file of nothing
    max_file_size_mb = 0
    # documents kept for no day
    buckets = { noncurrent_days = 0 }
    # backup at 24
    backup = { hour = 24 }
    # few deliveries
    queue = { max_deliveries = 4 }
    # more uploads than gemini takes
    ingest = { max_instances = 6, concurrency = 8 }
    # schedule of six fields
    sweep = { everything = "0 17 3 * * *" }
    # search for all
    search = { access = "public" }
    # address that is none
    alerts = { emails = ["ops"] }
    # account by its name
    budget = { billing_account = "acme", amount = 10 }
  }
  expect_failures = [var.kms_keys, var.network, var.project, var.gemini_key_version, var.gemini_key_rotation_days, var.region, var.name, var.labels, var.settings, var.max_file_size_mb, var.buckets, var.backup, var.queue, var.ingest, var.sweep, var.search, var.alerts, var.budget]
}

run "wrong_values_2" {
  command = plan
  variables {
    # secret's key that is not global
    kms_keys = { secret = "projects/example.com:acme/locations/us/keyRings/ring/cryptoKeys/key" }
    # pool by its name
    network = { build_pool = "pool" }
    # rotation after years
    gemini_key_rotation_days = 366
    # name that is long
    name = "a-name-of-twenty-one-x"
    # label with a space
    labels = { team = "the search" }
    # setting of the module s
    settings = { DOCUMENTS_URL = "gs://other" }
    # largest file that gemini refuses
    max_file_size_mb = 96
    # soft deletion for a day
    buckets = { soft_deletion_days = 1 }
    # backup at half past
    backup = { hour = 2.5 }
    # waits the wrong way round
    queue = { minimum_backoff = 300, maximum_backoff = 60 }
    # no instance
    ingest = { max_instances = 0 }
    # sweep of little memory
    sweep = { memory_mib = 512 }
    # search for all by name
    search = { members = ["allUsers"] }
    # channel by its number
    alerts = { channels = ["123"] }
    # budget of cents
    budget = { billing_account = "01AB23-45CD67-89EF01", amount = 0.5 }
  }
  expect_failures = [var.kms_keys, var.network, var.gemini_key_rotation_days, var.name, var.labels, var.settings, var.max_file_size_mb, var.buckets, var.backup, var.queue, var.ingest, var.sweep, var.search, var.alerts, var.budget]
}

run "wrong_values_3" {
  command = plan
  variables {
    # setting that is a secret
    settings = { OAUTH_CLIENT_SECRET = "x" }
    # key that is not named in full
    buckets = { kms_key = "my-key" }
    # backup kept for no day
    backup = { noncurrent_days = 0 }
    # wait of an hour
    queue = { maximum_backoff = 3600 }
    # more at least than at most
    search = { access = "key", min_instances = 3, max_instances = 2 }
    # promise of everything
    alerts = { available_percent = 100 }
    # currency by its name
    budget = { billing_account = "01AB23-45CD67-89EF01", amount = 10, currency = "euro" }
    # name with a scheme, and a tag with a colon
    vm = { domain = "https://files.example.com", version = ":latest" }
  }
  expect_failures = [var.vm, var.settings, var.buckets, var.backup, var.queue, var.search, var.alerts, var.budget]
}

run "wrong_values_4" {
  command = plan
  variables {
    # webhook without TLS
    alerts = { webhooks = ["http://example.com"] }
    # setting with a password in it
    settings = { REDIS_URL = "redis://:x@10.0.0.3" }
    # events kept for ever
    queue = { retention_days = 32 }
    # no question at once
    search = { concurrency = 0 }
    # no day of grace
    rotation = { grace_days = 0 }
    # no tag
    vm = { domain = "files.example.com", version = "" }
  }
  expect_failures = [var.vm, var.rotation, var.settings, var.queue, var.search, var.alerts]
}

run "wrong_values_5" {
  command = plan
  variables {
    # promise that even no good search at all breaks too slowly for an alert
    alerts = { fast_percent = 90 }
    # backup's key that is not named in full
    backup = { kms_key = "my-key" }
    # setting that the platform sets
    settings = { PORT = "8080" }
    # members beside keys
    search = { access = "key", members = ["user:ann@example.com"] }
  }
  expect_failures = [var.alerts, var.backup, var.search, var.settings]
}

run "a_backup_that_is_not_encrypted_as_the_documents_are" {
  command = plan
  variables {
    buckets = { kms_key = "projects/acme/locations/europe-west1/keyRings/ring/cryptoKeys/key" }
  }
  expect_failures = [google_storage_bucket.backup]
}

run "a_region_with_no_multi_region_around_it" {
  command = plan
  variables {
    region = "northamerica-northeast1"
  }
  expect_failures = [google_storage_bucket.backup]
}

run "wrong_values_6" {
  command = plan
  variables {
    # answers in no time
    alerts = { fast_seconds = 0 }
    # setting of functions-framework
    settings = { FUNCTION_TARGET = "other" }
    # key with a line end
    gemini_api_key     = "aaaaaaaaaaaaaaaaaaaaaaaa\n"
    gemini_key_version = 1
    # name without a dot
    load_balancer = { domain = "search" }
  }
  expect_failures = [var.alerts, var.settings, var.gemini_api_key, var.load_balancer]
}

run "wrong_values_7" {
  command = plan
  variables {
    # key without a version
    gemini_api_key = "aaaaaaaaaaaaaaaaaaaaaaaa"
    # half a request a minute
    load_balancer = { domain = "search.example.com", requests_per_minute = 0.5 }
  }
  expect_failures = [var.gemini_api_key, var.load_balancer]
}

run "wrong_values_8" {
  command = plan
  variables {
    # version without a key
    gemini_key_version = 2
    # identity-aware proxy beside keys
    search        = { access = "key" }
    load_balancer = { domain = "search.example.com", iap_members = ["user:ann@example.com"] }
  }
  expect_failures = [var.gemini_api_key, var.load_balancer]
}

run "wrong_values_9" {
  command = plan
  variables {
    # check without a schedule
    check = { schedule = "daily" }
  }
  expect_failures = [var.check]
}

run "wrong_values_10" {
  command = plan
  variables {
    # check beside keys
    search = { access = "key" }
    check  = {}
  }
  expect_failures = [var.check]
}

run "london_is_not_in_the_eu" {
  command = plan
  variables {
    region = "europe-west2"
  }
  expect_failures = [google_storage_bucket.backup]
}

run "nor_is_zurich" {
  command = plan
  variables {
    region = "europe-west6"
  }
  expect_failures = [google_storage_bucket.backup]
}

run "asia_is_no_one_law" {
  command = plan
  variables {
    region = "asia-northeast1"
  }
  expect_failures = [google_storage_bucket.backup]
}
