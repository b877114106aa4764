"""Tables of metadata: files of rows that name objects, read once, sorted by key, one set of facts for each entry."""
