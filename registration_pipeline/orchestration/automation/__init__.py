"""What starts runs by itself, and what shows that it no longer does: the nightly schedule, the follow-up sensor, freshness.

What does not belong here: the jobs that are started (``jobs.py``), and what is done with runs of dead processes (``runs/``).
"""
