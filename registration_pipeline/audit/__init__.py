"""Bucket, ledger and Encord folder compared three ways, and adoption of what Encord holds already."""
