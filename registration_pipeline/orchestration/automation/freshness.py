"""When a source is stale: Dagster's freshness policy, which its daemon evaluates and the asset pages show.

What does not belong here: messages about stale sources (``notify/``).
"""

from datetime import timedelta

import dagster as dg

from registration_pipeline.settings import SourceSettings

FRESH_STAGES = ("inventory", "chunk_plan", "failure_log")
"""Stages of which every sync materializes the asset, also one that finds nothing new or leaves objects refused.

Not ``manifest`` and ``registration``: a night without new objects rightly adds nothing to them.
"""


def freshness_policy(source: SourceSettings) -> dg.FreshnessPolicy | None:
    """Return the policy of the assets of ``FRESH_STAGES``: they fail when no sync got to them for this long; None: off."""
    hours = source.freshness_hours
    return None if hours is None else dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=hours))
