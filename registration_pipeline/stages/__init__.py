"""The stages of a sync for a loaded source, each as one call: what Dagster's assets and ``Pipeline`` both run."""
