"""The command ``init``: asks or takes answers, and writes the files that a folder needs for its nightly syncs."""
