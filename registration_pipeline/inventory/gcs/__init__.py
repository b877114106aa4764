"""Listing Google Cloud Storage: the lister and what its errors mean."""
