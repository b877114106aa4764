"""Listing S3 and what speaks like it: the lister, its key ranges, requests, pages and errors."""
