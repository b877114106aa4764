"""Generated media: valid small files of each kind, by name and seed."""
