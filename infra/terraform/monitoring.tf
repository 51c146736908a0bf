# What is watched, what is promised, and who is told what to do.

locals {
  channels = concat(
    [for channel in google_monitoring_notification_channel.email : channel.id],
    sort(var.alerts.channels),
  )
  # An alert that nobody is told of is none.
  alerting = length(var.alerts.emails) + length(var.alerts.channels) > 0

  ours = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=~\"^${var.name}-(${join("|", keys(local.functions))})$\""
  logged = {
    errors = {
      description = "Lines of severity ERROR and above"
      filter      = "severity>=ERROR"
    }
    rate-limits = {
      description = "Calls that Gemini refused for their rate"
      filter      = "jsonPayload.message=~\"Gemini takes no more at this rate\""
    }
    environment-failures = {
      description = "Work that stands still until an operator acts: the key, a quota, a model, a setting"
      filter      = "jsonPayload.message=~\"An operator has to act\\.$\""
    }
    ingest-failures = {
      description = "Documents that cannot be indexed as they are"
      filter      = "jsonPayload.logger=\"functions.ingest.worker\" AND jsonPayload.message=~\": failed$\""
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alerts.emails

  display_name = "${var.name}: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
  depends_on   = [google_project_service.used]
}

resource "google_logging_metric" "logged" {
  for_each = local.logged

  name        = "${var.name}/${each.key}"
  description = each.value.description
  filter      = "${local.ours} AND ${each.value.filter}"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "service"
      description = "The function"
    }
  }
  label_extractors = { service = "EXTRACT(resource.labels.service_name)" }

  depends_on = [google_project_service.used]
}

# Search's promises, as what Cloud Run counts.

resource "google_monitoring_custom_service" "search" {
  service_id   = "${var.name}-search"
  display_name = "${var.name}: search"
  depends_on   = [google_project_service.used]
}

locals {
  requests = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${google_cloudfunctions2_function.function["search"].name}\""
}

resource "google_monitoring_slo" "available" {
  service             = google_monitoring_custom_service.search.service_id
  slo_id              = "available"
  display_name        = "${var.alerts.available_percent} % of searches are answered"
  goal                = var.alerts.available_percent / 100
  rolling_period_days = 28

  request_based_sli {
    good_total_ratio {
      total_service_filter = "metric.type=\"run.googleapis.com/request_count\" AND ${local.requests}"
      bad_service_filter   = "metric.type=\"run.googleapis.com/request_count\" AND ${local.requests} AND metric.labels.response_code_class=\"5xx\""
    }
  }
}

resource "google_monitoring_slo" "fast" {
  service             = google_monitoring_custom_service.search.service_id
  slo_id              = "fast"
  display_name        = "${var.alerts.fast_percent} % of searches take at most ${var.alerts.fast_seconds} s"
  goal                = var.alerts.fast_percent / 100
  rolling_period_days = 28

  request_based_sli {
    distribution_cut {
      distribution_filter = "metric.type=\"run.googleapis.com/request_latencies\" AND ${local.requests}"
      range {
        min = 0
        max = var.alerts.fast_seconds * 1000
      }
    }
  }
}

locals {
  # Burn rates of "Alerting on SLOs" in Google's SRE workbook: 2 % of the month's budget in an hour, 5 % in six.
  promises = {
    available = { slo = google_monitoring_slo.available.id, what = "Searches fail" }
    fast      = { slo = google_monitoring_slo.fast.id, what = "Searches are slow" }
  }
  burns = {
    fast = { rate = 14.4, windows = ["3600s", "300s"], severity = "CRITICAL" }
    slow = { rate = 6, windows = ["21600s", "1800s"], severity = "WARNING" }
  }
  burn_alerts = local.alerting ? merge([for promise, what in local.promises : {
    for speed, burn in local.burns : "${promise}-${speed}" => merge(what, burn)
  }]...) : {}
}

resource "google_monitoring_alert_policy" "promise" {
  for_each = local.burn_alerts

  display_name          = "${var.name}: ${each.value.what} (${each.value.rate} times what the promise allows)"
  combiner              = "AND"
  severity              = each.value.severity
  notification_channels = local.channels

  dynamic "conditions" {
    for_each = each.value.windows
    content {
      display_name = "over ${conditions.value}"
      condition_threshold {
        filter          = "select_slo_burn_rate(\"${each.value.slo}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.rate
        duration        = "0s"
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
}

# The agent that signs in for the check exists once there is such a check.
resource "google_cloud_run_v2_service_iam_member" "uptime" {
  name     = google_cloudfunctions2_function.function["health"].name
  location = var.region
  role     = "roles/run.invoker"
  member   = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"

  depends_on = [google_monitoring_uptime_check_config.health]
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
    sweep                = "No sweep has ended well for an hour, so nothing repairs what events missed. Look at the jobs of Cloud Scheduler and the log of ${var.name}-sweep."
    key-age              = "The Gemini key is ${var.gemini_key_rotation_days} days old. Make a new one in the same Gemini project and add it: `terraform output add_key`. It is used within a minute. Then disable the old version, delete the old key, and end this alert:\n\n    gcloud pubsub subscriptions pull ${var.name}-rotation-due --auto-ack --project ${var.project}"
  }

  logged_alerts = {
    errors               = { what = "Errors", severity = "ERROR", above = 5, within = "5m", lasting = "0s" }
    rate-limits          = { what = "Gemini limits the rate", severity = "WARNING", above = 20, within = "5m", lasting = "900s" }
    environment-failures = { what = "Work stands still", severity = "CRITICAL", above = 0, within = "5m", lasting = "0s" }
    ingest-failures      = { what = "Documents cannot be indexed", severity = "WARNING", above = 10, within = "1h", lasting = "0s" }
  }

  thresholds = {
    dead-letters = { what = "Dead letters", severity = "ERROR", above = 0, metric = "pubsub.googleapis.com/subscription/num_undelivered_messages", resource = "${local.subscription}\"${google_pubsub_subscription.dead_letters.name}\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", period = "300s", duration = "0s" }
    waiting      = { what = "Events wait too long", severity = "ERROR", above = var.alerts.waiting_minutes * 60, metric = "pubsub.googleapis.com/subscription/oldest_unacked_message_age", resource = "${local.subscription}\"${google_pubsub_subscription.ingest.name}\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", period = "300s", duration = "0s" }
    key-age      = { what = "The Gemini key is due", severity = "WARNING", above = 0, metric = "pubsub.googleapis.com/subscription/num_undelivered_messages", resource = "${local.subscription}\"${google_pubsub_subscription.rotation.name}\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", period = "300s", duration = "3600s" }
    health       = { what = "Health is bad", severity = "CRITICAL", above = 1, metric = "monitoring.googleapis.com/uptime_check/check_passed", resource = "resource.type=\"uptime_url\" AND metric.labels.check_id=\"${google_monitoring_uptime_check_config.health.uptime_check_id}\"", aligner = "ALIGN_NEXT_OLDER", reducer = "REDUCE_COUNT_FALSE", period = "600s", duration = "300s" }
  }
}

# Monitoring does not know a metric of logs in its first minutes, and refuses a threshold on it, which would end the first
# apply. PromQL it takes unseen; the metrics' names in it are of "Mapping Cloud Monitoring metrics to PromQL".
resource "google_monitoring_alert_policy" "logged" {
  for_each = local.alerting ? local.logged_alerts : {}

  display_name          = "${var.name}: ${each.value.what}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels

  conditions {
    display_name = "more than ${each.value.above} in ${each.value.within}"
    condition_prometheus_query_language {
      query                     = "sum(increase(logging_googleapis_com:user_${replace("${var.name}_${each.key}", "-", "_")}{monitored_resource=\"cloud_run_revision\"}[${each.value.within}])) > ${each.value.above}"
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

  display_name          = "${var.name}: ${each.value.what}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels

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
    content   = local.runbooks[each.key]
  }
}

resource "google_monitoring_alert_policy" "sweep" {
  count = local.alerting ? 1 : 0

  display_name          = "${var.name}: No sweep"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "No sweep has ended well"
    condition_absent {
      filter   = "metric.type=\"run.googleapis.com/request_count\" AND resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${google_cloudfunctions2_function.function["sweep"].name}\" AND metric.labels.response_code_class=\"2xx\""
      duration = "3600s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    subject   = "${var.name}: No sweep"
    mime_type = "text/markdown"
    content   = local.runbooks["sweep"]
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

  depends_on = [google_project_service.used]
}
