# What is watched, what is promised, and who is told what to do.

locals {
  channels = concat(
    [for channel in google_monitoring_notification_channel.email : channel.id],
    [for channel in google_monitoring_notification_channel.webhook : channel.id],
    [for channel in google_monitoring_notification_channel.topic : channel.id],
    sort(var.alerts.channels),
  )
  # An alert that nobody is told of is none.
  alerting = length(var.alerts.emails) + length(var.alerts.webhooks) + length(var.alerts.topics) + length(var.alerts.channels) > 0

  ours      = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=~\"^${var.name}-(${join("|", keys(local.functions))})$\""
  scheduled = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${google_cloud_scheduler_job.everything.name}\""
  logged = {
    errors = {
      description = "Lines of severity ERROR and above"
      filter      = "${local.ours} AND severity>=ERROR"
    }
    rate-limits = {
      description = "Calls that Gemini refused for their rate"
      filter      = "${local.ours} AND jsonPayload.message=~\"Gemini takes no more at this rate\""
    }
    environment-failures = {
      description = "Work that stands still until an operator acts: the key, a quota, a model, a setting"
      filter      = "${local.ours} AND jsonPayload.message=~\"An operator has to act\\.$\""
    }
    ingest-failures = {
      description = "Documents that cannot be indexed as they are"
      filter      = "${local.ours} AND jsonPayload.logger=\"functions.ingest.worker\" AND jsonPayload.message=~\": failed$\""
    }
    sweep-failures = {
      description = "Attempts of Cloud Scheduler at a full sweep that failed"
      filter      = "${local.scheduled} AND severity>=ERROR"
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alerts.emails

  project      = var.project
  display_name = "${var.name}: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
  user_labels  = local.labels
  force_delete = true # Terraform deletes a channel before it changes the policies that use it
  depends_on   = [time_sleep.services]
}

resource "google_monitoring_notification_channel" "webhook" {
  for_each = var.alerts.webhooks

  project      = var.project
  display_name = "${var.name}: ${regex("^https://([^/?]+)", each.value)[0]}"
  type         = "webhook_tokenauth"
  labels       = { url = each.value }
  user_labels  = local.labels
  force_delete = true
  depends_on   = [time_sleep.services]
}

resource "google_monitoring_notification_channel" "topic" {
  for_each = var.alerts.topics

  project      = var.project
  display_name = "${var.name}: ${each.value}"
  type         = "pubsub"
  labels       = { topic = each.value }
  user_labels  = local.labels
  force_delete = true
  depends_on   = [time_sleep.services]
}

resource "google_logging_metric" "logged" {
  for_each = local.logged

  project     = var.project
  name        = "${var.name}/${each.key}"
  description = each.value.description
  filter      = each.value.filter

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "service"
      description = "The function, or the job of Cloud Scheduler"
    }
  }
  label_extractors = { service = startswith(each.value.filter, local.scheduled) ? "EXTRACT(resource.labels.job_id)" : "EXTRACT(resource.labels.service_name)" }

  depends_on = [time_sleep.services]
}

# What is promised of search, and of the server on a virtual machine where there is one.

locals {
  # The metrics differ: a function's requests are counted by Cloud Run, the server's by its load balancer.
  promised = merge(
    { search = {
      title   = "search"
      count   = "metric.type=\"run.googleapis.com/request_count\" AND ${local.requests}"
      bad     = "metric.labels.response_code_class=\"5xx\""
      latency = "metric.type=\"run.googleapis.com/request_latencies\" AND ${local.requests}"
    } },
    var.vm == null ? {} : { server = {
      title   = "server"
      count   = "metric.type=\"loadbalancing.googleapis.com/https/request_count\" AND resource.type=\"https_lb_rule\" AND resource.labels.url_map_name=\"${var.name}-server\""
      bad     = "metric.labels.response_code_class=500"
      latency = "metric.type=\"loadbalancing.googleapis.com/https/total_latencies\" AND resource.type=\"https_lb_rule\" AND resource.labels.url_map_name=\"${var.name}-server\""
    } },
  )
  requests = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${google_cloudfunctions2_function.function["search"].name}\""
}

resource "google_monitoring_custom_service" "promised" {
  for_each = local.promised

  project      = var.project
  service_id   = "${var.name}-${each.key}"
  display_name = "${var.name}: ${each.value.title}"
  depends_on   = [time_sleep.services]
}

resource "google_monitoring_slo" "available" {
  for_each = local.promised

  project             = var.project
  service             = google_monitoring_custom_service.promised[each.key].service_id
  slo_id              = "available"
  display_name        = "${var.alerts.available_percent} % of requests to ${each.value.title} are answered"
  goal                = var.alerts.available_percent / 100
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      total_service_filter = each.value.count
      bad_service_filter   = "${each.value.count} AND ${each.value.bad}"
    }
  }
}

resource "google_monitoring_slo" "fast" {
  for_each = local.promised

  project             = var.project
  service             = google_monitoring_custom_service.promised[each.key].service_id
  slo_id              = "fast"
  display_name        = "${var.alerts.fast_percent} % of requests to ${each.value.title} take at most ${var.alerts.fast_seconds} s"
  goal                = var.alerts.fast_percent / 100
  rolling_period_days = 28

  request_based_sli {
    distribution_cut {
      distribution_filter = each.value.latency
      range {
        min = 0
        max = var.alerts.fast_seconds * 1000
      }
    }
  }
}

locals {
  # Burn rates of "Alerting on SLOs" in Google's SRE workbook: 2 % of the month's budget in an hour, 5 % in six.
  burns = {
    fast = { rate = 14.4, windows = ["3600s", "300s"], severity = "CRITICAL" }
    slow = { rate = 6, windows = ["21600s", "1800s"], severity = "WARNING" }
  }
  promises = merge([for name, each in local.promised : {
    "${name}-available" = { slo = google_monitoring_slo.available[name], what = "Requests to ${each.title} fail", count = each.count }
    "${name}-fast"      = { slo = google_monitoring_slo.fast[name], what = "Requests to ${each.title} are slow", count = each.count }
  }]...)
  # One bad request of few is a high rate, and no outage: an alert takes so many requests that two bad ones are needed.
  burn_alerts = local.alerting ? merge([for promise, each in local.promises : {
    for speed, burn in local.burns : "${promise}-${speed}" => merge(each, burn, { least = ceil(1 / (burn.rate * (1 - each.slo.goal))) })
  }]...) : {}
}

resource "google_monitoring_alert_policy" "promise" {
  for_each = local.burn_alerts

  project               = var.project
  display_name          = "${var.name}: ${each.value.what} (${each.value.rate} times what the promise allows)"
  combiner              = "AND"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = local.labels

  dynamic "conditions" {
    for_each = each.value.windows
    content {
      display_name = "over ${conditions.value}"
      condition_threshold {
        filter          = "select_slo_burn_rate(\"${each.value.slo.id}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.rate
        duration        = "0s"
      }
    }
  }

  conditions {
    display_name = "more than ${each.value.least} requests"
    condition_threshold {
      filter          = each.value.count
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.least
      duration        = "0s"
      aggregations {
        alignment_period     = each.value.windows[0]
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    subject   = "${var.name}: ${each.value.what}"
    mime_type = "text/markdown"
    content   = local.runbooks["search"]
  }
}

resource "google_monitoring_uptime_check_config" "health" {
  project      = var.project
  display_name = "${var.name}: health"
  period       = "300s"
  timeout      = "30s" # the first request of an instance takes some seconds

  http_check {
    path         = "/"
    port         = 443
    use_ssl      = true
    validate_ssl = true
    service_agent_authentication {
      type = "OIDC_TOKEN"
    }
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project
      host       = trimprefix(google_cloudfunctions2_function.function["health"].service_config[0].uri, "https://")
    }
  }

  lifecycle {
    create_before_destroy = true # a check that an alert uses cannot be deleted
  }
}

resource "google_monitoring_uptime_check_config" "server" {
  count = var.vm == null ? 0 : 1

  project      = var.project
  display_name = "${var.name}: health of the server"
  period       = "300s"
  timeout      = "30s"

  http_check {
    path         = "/health"
    port         = 443
    use_ssl      = true
    validate_ssl = true
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project
      host       = var.vm.domain
    }
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [time_sleep.services]
}

# Cloud Monitoring signs in as its agent to check health.
resource "google_cloud_run_v2_service_iam_member" "uptime" {
  project  = var.project
  name     = google_cloudfunctions2_function.function["health"].name
  location = var.region
  role     = "roles/run.invoker"
  member   = "${local.agent_of}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
}

locals {
  subscription = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id="
  logs_command = "gcloud logging read '${local.ours} AND severity>=WARNING' --project ${var.project} --freshness 1h --format 'value(timestamp, resource.labels.service_name, jsonPayload.message)'"

  runbooks = {
    search               = "Look at /health and the logs first: is it Gemini, a bucket, or a deploy?\n\n    ${local.logs_command}\n\n- After a deploy: roll back, by applying the commit before it.\n- Gemini is busy or failing: its status page; nothing is lost, and searches work again with it.\n- Slow, with all instances at work: raise search.max_instances."
    health               = "The function health answers with 503, or not at all. Its body names the part: `configuration`, `documents`, `state`, `gemini`.\n\n    curl -H \"Authorization: Bearer $(gcloud auth print-identity-token)\" ${google_cloudfunctions2_function.function["health"].service_config[0].uri}\n\nA refused key: add a valid one as a new version of the secret. It is used within a minute, with no deploy."
    errors               = "More errors than now and then. The messages say what to do:\n\n    ${local.logs_command}\n\n`INTERNAL_ERROR` is a bug: report it with its traceback."
    rate-limits          = "Gemini refuses calls for their rate. Events come again by themselves, and the queue only grows older. If it lasts, lower ingest.max_instances or ingest.concurrency, or ask Google for a higher tier."
    environment-failures = "Nothing is indexed or answered until somebody acts: the key, a quota, a model or a setting is wrong. The message says which:\n\n    ${local.logs_command}\n\nThen let what became a dead letter meanwhile be tried again: `terraform output dead_letters`."
    ingest-failures      = "Documents cannot be indexed as they are: of a type that is not taken, empty, too large, encrypted or broken. The record of each has the reason for its owner; the log has their names. Many at once may be a tool that writes something else now."
    dead-letters         = "Events were given up after ${var.queue.max_deliveries} tries. See why in the log, mend it, and send them again: `terraform output dead_letters`. They wait for 31 days. The next full sweep would index their objects as well."
    waiting              = "An event waits for more than ${var.alerts.waiting_minutes} minutes. Either more come than Gemini takes (then it only lasts), or each try fails:\n\n    ${local.logs_command}\n\nIs health 200? Does the account ${var.name}-push still have run.invoker of ${var.name}-ingest?"
    sweep                = "No sweep has succeeded for an hour, so nothing repairs what events missed. Look at the jobs of Cloud Scheduler and the log of ${var.name}-sweep."
    sweep-failures       = "The full sweep failed, and its retries too. The small sweep may still succeed: it does not repair what events missed. The log says why:\n\n    ${local.logs_command}\n\nAfter fixing the cause, start a full sweep: `terraform output sweep`."
    check                = "For three hours no document that was written was found: something between the bucket and the answer does not work, even if every part says that it is well. The log says what search answered:\n\n    ${local.logs_command}"
    copy-failed          = "A daily copy of the documents or the state has failed. The message names the job:\n\n    gcloud pubsub subscriptions pull ${var.name}-copy-failed --auto-ack --project ${var.project}\n\nThat also ends this alert. `gcloud transfer operations list` shows the error. The next copy includes what this one missed."
    server               = "The server's /health answers with 503, or not at all. Its body names the part. Is the certificate active, and does the DNS record lead to `terraform output vm_dns_record`?\n\n    gcloud compute instance-groups managed list-instances ${var.name}-server --region ${var.region} --project ${var.project}"
    key-age              = "The Gemini key is ${var.gemini_key_rotation_days} days old. Make a new one in the same Gemini project and add it: `terraform output add_key`. It is used within a minute. Then disable the old version, delete the old key, and end this alert:\n\n    gcloud pubsub subscriptions pull ${var.name}-rotation-due --auto-ack --project ${var.project}"
  }

  # What PromQL asks, for metrics of logs and for what is missing. The names are of "Mapping Cloud Monitoring metrics to PromQL".
  count_of = { for name in keys(local.logged) : name => "logging_googleapis_com:user_${replace("${var.name}_${name}", "-", "_")}{monitored_resource=\"${name == "sweep-failures" ? "cloud_scheduler_job" : "cloud_run_revision"}\"}" }
  queries = merge(local.always, var.check == null ? {} : {
    check = { what = "The synthetic check fails", severity = "CRITICAL", query = "absent_over_time(run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\",service_name=\"${var.name}-check\",response_code_class=\"2xx\"}[3h])", lasting = "3600s" }
  })
  always = {
    errors               = { what = "Errors", severity = "ERROR", query = "sum(increase(${local.count_of["errors"]}[5m])) > 5", lasting = "0s" }
    rate-limits          = { what = "Gemini limits the rate", severity = "WARNING", query = "sum(increase(${local.count_of["rate-limits"]}[5m])) > 20", lasting = "900s" }
    environment-failures = { what = "Work stands still", severity = "CRITICAL", query = "sum(increase(${local.count_of["environment-failures"]}[5m])) > 0", lasting = "0s" }
    ingest-failures      = { what = "Documents cannot be indexed", severity = "WARNING", query = "sum(increase(${local.count_of["ingest-failures"]}[1h])) > 10", lasting = "0s" }
    # Of the four attempts at a full sweep, more than two.
    sweep-failures = { what = "The full sweep fails", severity = "ERROR", query = "sum(increase(${local.count_of["sweep-failures"]}[3h])) > 2", lasting = "0s" }
    # absent_over_time sees a sweep that has never succeeded, too.
    sweep = { what = "No sweep", severity = "ERROR", query = "absent_over_time(run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\",service_name=\"${var.name}-sweep\",response_code_class=\"2xx\"}[1h])", lasting = "900s" }
  }

  undelivered = "pubsub.googleapis.com/subscription/num_undelivered_messages"
  oldest      = "pubsub.googleapis.com/subscription/oldest_unacked_message_age"
  passed      = "monitoring.googleapis.com/uptime_check/check_passed"
  # Where no uptime check or subscription is, there is no threshold on it.
  thresholds = merge(
    {
      dead-letters = { what = "Dead letters", severity = "ERROR", above = 0, metric = local.undelivered, resource = "${local.subscription}\"${google_pubsub_subscription.dead_letters.name}\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", period = "300s", duration = "0s", runbook = "dead-letters" }
      waiting      = { what = "Events wait too long", severity = "ERROR", above = var.alerts.waiting_minutes * 60, metric = local.oldest, resource = "${local.subscription}\"${google_pubsub_subscription.ingest.name}\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", period = "300s", duration = "0s", runbook = "waiting" }
      key-age      = { what = "The Gemini key is due", severity = "WARNING", above = 0, metric = local.undelivered, resource = "${local.subscription}\"${google_pubsub_subscription.rotation.name}\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", period = "300s", duration = "3600s", runbook = "key-age" }
      health       = { what = "Health is bad", severity = "CRITICAL", above = 1, metric = local.passed, resource = "resource.type=\"uptime_url\" AND metric.labels.check_id=\"${google_monitoring_uptime_check_config.health.uptime_check_id}\"", aligner = "ALIGN_NEXT_OLDER", reducer = "REDUCE_COUNT_FALSE", period = "600s", duration = "300s", runbook = "health" }
    },
    { for subscription in google_pubsub_subscription.copy_failed : "copy-failed" => { what = "A copy has failed", severity = "ERROR", above = 0, metric = local.undelivered, resource = "${local.subscription}\"${subscription.name}\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", period = "300s", duration = "0s", runbook = "copy-failed" } },
    { for subscription in google_pubsub_subscription.server : "waiting-server" => { what = "The server's events wait too long", severity = "ERROR", above = var.alerts.waiting_minutes * 60, metric = local.oldest, resource = "${local.subscription}\"${subscription.name}\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", period = "300s", duration = "0s", runbook = "waiting" } },
    { for check in google_monitoring_uptime_check_config.server : "server" => { what = "The server's health is bad", severity = "CRITICAL", above = 1, metric = local.passed, resource = "resource.type=\"uptime_url\" AND metric.labels.check_id=\"${check.uptime_check_id}\"", aligner = "ALIGN_NEXT_OLDER", reducer = "REDUCE_COUNT_FALSE", period = "600s", duration = "300s", runbook = "server" } },
  )
}

# Monitoring does not know a metric of logs in its first minutes, and refuses a threshold on it, which would end the first
# apply. It takes PromQL unseen.
resource "google_monitoring_alert_policy" "query" {
  for_each = local.alerting ? local.queries : {}

  project               = var.project
  display_name          = "${var.name}: ${each.value.what}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.what
    condition_prometheus_query_language {
      query                     = each.value.query
      duration                  = each.value.lasting
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    subject   = "${var.name}: ${each.value.what}"
    mime_type = "text/markdown"
    content   = local.runbooks[each.key]
  }

  depends_on = [google_logging_metric.logged]
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each = local.alerting ? local.thresholds : {}

  project               = var.project
  display_name          = "${var.name}: ${each.value.what}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.what
    condition_threshold {
      filter          = "metric.type=\"${each.value.metric}\" AND ${each.value.resource}"
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.above
      duration        = each.value.duration
      aggregations {
        alignment_period     = each.value.period
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.reducer
      }
    }
  }

  documentation {
    subject   = "${var.name}: ${each.value.what}"
    mime_type = "text/markdown"
    content   = local.runbooks[each.value.runbook]
  }
}

resource "google_billing_budget" "monthly" {
  count = var.budget == null ? 0 : 1

  billing_account = var.budget.billing_account
  display_name    = var.name

  budget_filter {
    projects = ["projects/${data.google_project.this.number}"]
  }

  amount {
    specified_amount {
      currency_code = var.budget.currency
      units         = tostring(var.budget.amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1]
    content {
      threshold_percent = threshold_rules.value
    }
  }

  dynamic "all_updates_rule" {
    for_each = length(var.alerts.emails) == 0 ? [] : [1] # without: those who administer the billing account
    content {
      monitoring_notification_channels = slice([for channel in google_monitoring_notification_channel.email : channel.id], 0, min(5, length(var.alerts.emails)))
    }
  }

  depends_on = [time_sleep.services]
}
