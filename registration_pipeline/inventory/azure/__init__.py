"""Listing Azure Blob Storage: the lister, its pages, the order of its keys and its errors."""
