# One page that shows how it goes, in the order of the questions that are asked when it does not.

locals {
  ours_monitored = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=monitoring.regex.full_match(\"${var.name}-(${join("|", keys(local.functions))})\")"
  searching      = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${google_cloudfunctions2_function.function["search"].name}\""

  charts = [
    { title = "Searches a second, by how they end", filter = "metric.type=\"run.googleapis.com/request_count\" AND ${local.searching}", aligner = "ALIGN_RATE", reducer = "REDUCE_SUM", by = ["metric.labels.response_code_class"] },
    { title = "Milliseconds of a search: 95 of 100 take at most", filter = "metric.type=\"run.googleapis.com/request_latencies\" AND ${local.searching}", aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_95", by = [] },
    { title = "Errors", filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.logged["errors"].name}\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.labels.service"] },
    { title = "Work that stands still", filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.logged["environment-failures"].name}\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.labels.service"] },
    { title = "Seconds that the oldest event waits", filter = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND ${local.subscription}\"${google_pubsub_subscription.ingest.name}\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", by = [] },
    { title = "Dead letters", filter = "metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND ${local.subscription}\"${google_pubsub_subscription.dead_letters.name}\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", by = [] },
    { title = "Documents that cannot be indexed", filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.logged["ingest-failures"].name}\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = [] },
    { title = "Calls that Gemini refused for their rate", filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.logged["rate-limits"].name}\" AND resource.type=\"cloud_run_revision\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = ["metric.labels.service"] },
    { title = "Full sweeps that failed", filter = "metric.type=\"logging.googleapis.com/user/${google_logging_metric.logged["sweep-failures"].name}\" AND resource.type=\"cloud_scheduler_job\"", aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", by = [] },
    { title = "Seconds that the oldest event of the server waits", filter = "metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND ${local.subscription}\"${var.name}-server\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", by = [] },
    { title = "Instances", filter = "metric.type=\"run.googleapis.com/container/instance_count\" AND ${local.ours_monitored}", aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", by = ["resource.labels.service_name"] },
    { title = "Share of their memory in use", filter = "metric.type=\"run.googleapis.com/container/memory/utilizations\" AND ${local.ours_monitored}", aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_99", by = ["resource.labels.service_name"] },
  ]
}

resource "google_monitoring_dashboard" "overview" {
  project = var.project
  dashboard_json = jsonencode({
    displayName = var.name
    mosaicLayout = {
      columns = 48
      tiles = [for number, chart in local.charts : {
        xPos   = 24 * (number % 2)
        yPos   = 16 * floor(number / 2)
        width  = 24
        height = 16
        widget = {
          title = chart.title
          xyChart = {
            dataSets = [{
              plotType = "LINE"
              timeSeriesQuery = {
                timeSeriesFilter = {
                  filter = chart.filter
                  aggregation = {
                    alignmentPeriod    = "300s"
                    perSeriesAligner   = chart.aligner
                    crossSeriesReducer = chart.reducer
                    groupByFields      = chart.by
                  }
                }
              }
            }]
          }
        }
      }]
    }
  })

  depends_on = [time_sleep.services]
}
