"""The pools of a source exist, with the default limit of the instance, before a step asks for a place in one.

Dagster makes a pool when a step first asks for it, and gives it another limit after ``default_limit`` was changed. It inserts
a row, and where there is one already, changes that in the same transaction, which Postgres has ended by then: so it fails for
the second of two hosts that use a pool for the first time at the same moment, and for each run after the change. SQLite and
MySQL go on with the transaction.

What does not belong here: the statement (``private_dagster.py``), and waiting for a place (``pool_waits.py``).
"""

from collections.abc import Iterable

import dagster as dg

from registration_pipeline.orchestration.names import SOURCE_TAG, SourceNames
from registration_pipeline.orchestration.private_dagster import initialize_pool, postgres_event_log


def ensure_pools(instance: dg.DagsterInstance, sources: Iterable[str]) -> None:
    """Make the pools of sources that do not exist, and give those that have an earlier default limit the present one.

    Nothing is done where Dagster can do it by itself, where no default limit is set, and to limits that a person has set.

    Args:
        instance: Dagster's.
        sources: their names.
    """
    storage = postgres_event_log(instance.event_log_storage)
    limit = None if storage is None else storage.get_pool_config().default_pool_limit
    # A database that was not migrated does not say which limits are defaults.
    if storage is None or limit is None or not storage.has_default_pool_limit_col:
        return
    known = {found.name: found for found in storage.get_pool_limits()}
    for pool in (pool for source in sources for pool in SourceNames(source).pools):
        found = known.get(pool)
        if found is None or (found.from_default and found.limit != limit):
            initialize_pool(storage, pool, limit)


def ensure_pools_of_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Make the pools of the source of a run, as ``ensure_pools`` does; a run that says no source asks for none of ours."""
    source = run.tags.get(SOURCE_TAG)
    ensure_pools(instance, [] if source is None else [source])
