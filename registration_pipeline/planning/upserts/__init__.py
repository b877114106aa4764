"""Planning of upserts: which registered units are sent again because their client metadata is another one now."""
