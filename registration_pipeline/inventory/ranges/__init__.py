"""Listing many key ranges of a bucket at once, whatever the store: pages in any order, rows in the order of keys."""
