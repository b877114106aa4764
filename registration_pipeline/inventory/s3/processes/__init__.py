"""Processes, one for each core, that fetch and read plain pages of S3, and what is sent between them and the listing."""
