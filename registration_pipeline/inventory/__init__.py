"""From a bucket to Parquet: listers, one schema, one commit. What an object means is decided in ``planning``."""
