"""The Encord SDK behind the gateway protocol: the only place that imports it."""
