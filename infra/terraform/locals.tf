locals {
  labels          = merge({ app = "flamehaven-filesearch", deployment = var.name }, var.labels)
  deletion_policy = var.deletion_protection ? "PREVENT" : "DELETE"
}
