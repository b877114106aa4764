"""The Dagster shell: assets, partitions, jobs, schedules, sensors, and how a run is started.

It wires; the core decides.
"""
