"""What Dagster alone can notice for messages: failed and killed runs, syncs that did not start, sources that are stale.

What does not belong here: the end of a run, which the run reports itself, and whether something is news (``notify``).
"""
