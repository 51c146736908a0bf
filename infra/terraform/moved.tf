# Where resources were before, so that an upgrade replaces nothing.

moved {
  from = google_storage_bucket.backup[0]
  to   = google_storage_bucket.backup["documents"]
}

moved {
  from = google_storage_transfer_job.backup[0]
  to   = google_storage_transfer_job.backup["documents"]
}

moved {
  from = google_storage_bucket_iam_member.transfer["finds the documents"]
  to   = google_storage_bucket_iam_member.transfer["finds documents"]
}

moved {
  from = google_storage_bucket_iam_member.transfer["reads the documents"]
  to   = google_storage_bucket_iam_member.transfer["reads documents"]
}

moved {
  from = google_storage_bucket_iam_member.transfer["writes the backup"]
  to   = google_storage_bucket_iam_member.transfer["writes documents"]
}

moved {
  from = google_storage_bucket_iam_member.transfer["compares the backup"]
  to   = google_storage_bucket_iam_member.transfer["compares documents"]
}

moved {
  from = google_monitoring_custom_service.search
  to   = google_monitoring_custom_service.promised["search"]
}

moved {
  from = google_monitoring_slo.available
  to   = google_monitoring_slo.available["search"]
}

moved {
  from = google_monitoring_slo.fast
  to   = google_monitoring_slo.fast["search"]
}

moved {
  from = google_monitoring_alert_policy.promise["available-fast"]
  to   = google_monitoring_alert_policy.promise["search-available-fast"]
}

moved {
  from = google_monitoring_alert_policy.promise["available-slow"]
  to   = google_monitoring_alert_policy.promise["search-available-slow"]
}

moved {
  from = google_monitoring_alert_policy.promise["fast-fast"]
  to   = google_monitoring_alert_policy.promise["search-fast-fast"]
}

moved {
  from = google_monitoring_alert_policy.promise["fast-slow"]
  to   = google_monitoring_alert_policy.promise["search-fast-slow"]
}

moved {
  from = google_monitoring_alert_policy.logged
  to   = google_monitoring_alert_policy.query
}

moved {
  from = google_monitoring_alert_policy.sweep[0]
  to   = google_monitoring_alert_policy.query["sweep"]
}

moved {
  from = google_project_service.used["apikeys.googleapis.com"]
  to   = google_project_service.optional["apikeys.googleapis.com"]
}

moved {
  from = google_project_service.used["billingbudgets.googleapis.com"]
  to   = google_project_service.optional["billingbudgets.googleapis.com"]
}

moved {
  from = google_project_service.used["compute.googleapis.com"]
  to   = google_project_service.optional["compute.googleapis.com"]
}
