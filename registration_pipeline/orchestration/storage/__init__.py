"""Storage resources of dagster-aws, dagster-gcp and dagster-azure with the client options of listings, and who uses them."""
