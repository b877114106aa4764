"""From a chunk to Encord's JSON upload format, as canonical bytes, and their validation. Nothing is sent from here."""
