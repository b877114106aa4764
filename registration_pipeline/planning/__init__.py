"""From an inventory to chunks: classify, reject, group, chunk, append. Nothing here talks to a bucket or to Encord."""
