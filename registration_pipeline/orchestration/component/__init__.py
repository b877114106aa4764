"""The Dagster component ``BucketRegistration``: sources as attributes in a host project's ``defs.yaml``."""
