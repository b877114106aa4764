"""Listing S3 and what speaks like it: the lister, requests, pages and errors."""
