"""Runs of this project in Dagster: launching, following, and recognising those whose process is gone."""
