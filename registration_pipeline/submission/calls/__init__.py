"""How calls to Encord are made: the retry table, retries, the pace and the slots for upload jobs."""
