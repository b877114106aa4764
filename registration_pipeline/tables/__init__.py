"""Arrow tools that know no domain: sorted merges, sorting beyond memory, spilling, reading parts of files."""
