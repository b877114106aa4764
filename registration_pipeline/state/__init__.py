"""The state on a path or in a bucket. Only storing belongs here, not what the files mean."""
