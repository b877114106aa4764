"""Every name of Dagster that is not public, and what it is needed for. The only module that imports ``dagster._…``.

They may move with any release, so ``dagster`` has an upper bound and a test for each name says what is expected of it. What
does not belong here: what is done with them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

# An instance whose dagster.yaml has a value of the wrong type raises this, which is not a DagsterError.
from dagster._check import CheckError

# A job that a worker process, too, can load by module and attribute: what a run needs to be executed again from the UI.
from dagster._core.code_pointer import ModuleCodePointer

# Which materialization a check that an op reports is about.
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as CheckTarget,
)

# What a job says of assets without executing their steps: the UI shows a job's schedule on the pages of these assets.
from dagster._core.definitions.assets.job.asset_layer import AssetLayer

# The tags of a materialization that say what it was made from: Dagster compares them to show what is out of date.
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    extract_data_version_from_entry,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)

# Lives as long as one load of a code location: two descriptions of one source are a mistake within one load only.
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext

# A run whose steps are executed in this process, whatever executor the job of the code location has.
from dagster._core.definitions.job_base import IJob, InMemoryJob
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository

# Ends a step as an interruption does: a run that was marked as canceling is canceled then.
from dagster._core.errors import DagsterExecutionInterruptedError

# What a "planned" event, a materialization and an observation hold, for events that are stored in batches.
from dagster._core.events import AssetMaterializationPlannedData, AssetObservationData, StepMaterializationData

# Executes a run event by event; ``execute_in_process`` makes runs that belong to no code location.
from dagster._core.execution.api import execute_run_iterator

# Whether a backfill has ended.
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES

# What an executor does with a step that asks to be tried again.
from dagster._core.execution.retries import RetryMode

# Opens an instance with settings on top of its dagster.yaml.
from dagster._core.instance.ref import InstanceRef

# What a launcher says of the worker of a run.
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

# Where the UI finds the job of a run again: code location, repository, job.
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

# What the UI does not show of a run's tags begins with this.
# Tags of runs: the backfill that it belongs to, "re-execute from failure", Dagster's own retry of a run, the first of all
# runs that were re-executed, whether it will repeat this one, and whether it repeats runs whose step failed.
from dagster._core.storage.tags import (
    BACKFILL_ID_TAG,
    HIDDEN_TAG_PREFIX,
    RESUME_RETRY_TAG,
    RETRY_NUMBER_TAG,
    ROOT_RUN_ID_TAG,
    WILL_RETRY_TAG,
)
from dagster._core.storage.tags import RETRY_ON_ASSET_OR_OP_FAILURE_TAG as RETRY_ON_FAILURE_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

# A run's id is needed before the run is made, for its own tag.
from dagster._core.utils import make_new_run_id

# When a schedule ticks, as the daemon counts it: a reading of our own could differ where clocks change.
from dagster._utils.schedules import schedule_execution_time_iterator

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.execution.backfill import PartitionBackfill
    from dagster._core.storage.event_log import SqlEventLogStorage as SqlEventLogStorage  # noqa: PLC0414 - for others to import
    from dagster._core.storage.event_log import SqliteEventLogStorage as SqliteEventLogStorage  # noqa: PLC0414

__all__ = [
    "BACKFILL_ID_TAG",
    "BULK_ACTION_TERMINAL_STATUSES",
    "CODE_VERSION_TAG",
    "DATA_VERSION_IS_USER_PROVIDED_TAG",
    "DATA_VERSION_TAG",
    "DEFAULT_DATA_VERSION",
    "HIDDEN_TAG_PREFIX",
    "NO_CAPTURE",
    "NULL_EVENT_POINTER",
    "RESUME_RETRY_TAG",
    "RETRY_NUMBER_TAG",
    "RETRY_ON_FAILURE_TAG",
    "ROOT_RUN_ID_TAG",
    "WILL_RETRY_TAG",
    "AssetLayer",
    "AssetMaterializationPlannedData",
    "AssetObservationData",
    "CheckError",
    "CheckRunHealthResult",
    "CheckTarget",
    "DagsterExecutionInterruptedError",
    "DefinitionsLoadContext",
    "IJob",
    "InMemoryJob",
    "InstanceRef",
    "LoadableTargetOrigin",
    "ManagedGrpcPythonEnvCodeLocationOrigin",
    "ModuleCodePointer",
    "ReconstructableJob",
    "ReconstructableRepository",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    "RetryMode",
    "SqlStorage",
    "StepMaterializationData",
    "WorkerStatus",
    "delete_dynamic_partitions",
    "delete_events_of_run",
    "execute_run_iterator",
    "extract_data_version_from_entry",
    "get_input_data_version_tag",
    "get_input_event_pointer_tag",
    "has_event_tags",
    "ids_of_stored_events",
    "initialize_pool",
    "make_new_run_id",
    "newest_check_runs",
    "newest_runs",
    "postgres_event_log",
    "running_backfills",
    "schedule_execution_time_iterator",
    "sql_event_log",
    "sqlite_event_log",
    "step_failure",
    "submit_celery_step",
]

NO_CAPTURE = {
    "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
}
"""Instance settings that capture no output.

A command's output belongs to its terminal. Capturing it would put both streams into files for the length of a run, so that
progress bars would not see a terminal, and start four helper processes that print a traceback on Ctrl-C.
"""


SqlStorage: TypeAlias = "SqlEventLogStorage"
"""The type of a storage in SQL, for annotations of others."""


def sql_event_log(storage: object) -> "SqlEventLogStorage | None":
    """Return the storage if it is one in SQL: only those hand on free slots of pools.

    Imported here because it loads SQLAlchemy and Alembic, 0.3 s that no code location should pay for what it only defines.
    """
    from dagster._core.storage.event_log import SqlEventLogStorage

    return storage if isinstance(storage, SqlEventLogStorage) else None


def step_failure(plan_context: Any, step: Any, kind: str, message: str) -> str:
    """Store that a step has failed of which no process is left that could say so, and return the event as a worker does.

    Args:
        plan_context: of the executor.
        step: of the plan.
        kind: the name of the error's class.
        message: what has happened.
    """
    from dagster import DagsterEvent
    from dagster._core.execution.plan.objects import StepFailureData
    from dagster._serdes import serialize_value
    from dagster_shared.error import SerializableErrorInfo

    error = SerializableErrorInfo(message, [], kind)
    failure = StepFailureData(error=error, user_failure_data=None)  # type: ignore[no-untyped-call]
    return serialize_value(DagsterEvent.step_failure_event(plan_context.for_step(step), failure))


def submit_celery_step(app: Any, *arguments: Any) -> Any:
    """Give a step to Celery's workers, and return what its result is read from; imported here because it is an extra's."""
    from dagster_celery.executor import _submit_task

    return _submit_task(app, *arguments)  # type: ignore[no-untyped-call]


def sqlite_event_log(storage: object) -> "SqliteEventLogStorage | None":
    """Return the storage if it is SQLite's, which has no batch of its own; imported here for the same reason."""
    from dagster._core.storage.event_log import SqliteEventLogStorage

    return storage if isinstance(storage, SqliteEventLogStorage) else None


def postgres_event_log(storage: object) -> "SqlEventLogStorage | None":
    """Return the storage if it is that of dagster-postgres, whose library is not loaded for this question."""
    sql = sql_event_log(storage)
    return sql if sql is not None and type(sql).__module__.startswith("dagster_postgres.") else None


def initialize_pool(storage: "SqlEventLogStorage", pool: str, limit: int) -> None:
    """Make a pool in Postgres with the default limit, or give one that has an earlier default limit this one."""
    from dagster._core.storage.event_log.schema import ConcurrencyLimitsTable
    from sqlalchemy.dialects.postgresql import insert

    columns = ConcurrencyLimitsTable.c
    made = insert(ConcurrencyLimitsTable).values(concurrency_key=pool, limit=limit, using_default_limit=True)
    changed = made.on_conflict_do_update(
        index_elements=[columns.concurrency_key],
        set_={"limit": limit},
        where=columns.using_default_limit & (columns.limit != limit),
    )
    with storage.index_transaction() as connection:
        # The row is locked until the places are there, too: another process waits for both.
        if connection.execute(changed.returning(columns.id)).first() is not None:
            storage._allocate_concurrency_slots(connection, pool, limit)  # noqa: SLF001 - there is no other


def ids_of_stored_events(storage: "SqlEventLogStorage", events: "Sequence[dg.EventLogEntry]") -> list[int]:
    """Return the numbers of those events, all of partitions in one run, that are stored, in their order."""
    import sqlalchemy as db
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
    from dagster._serdes import serialize_value

    columns = SqlEventLogStorageTable.c
    of_dagster = [event.get_dagster_event() for event in events]
    asked = db.select(columns.id, columns.event).where(
        columns.run_id == events[0].run_id,
        columns.dagster_event_type.in_({event.event_type_value for event in of_dagster}),
        columns.partition.in_({event.partition for event in of_dagster}),
    )
    with storage.run_connection(events[0].run_id) as connection:
        found = {text: number for number, text in connection.execute(asked)}
    return [found[text] for text in map(serialize_value, events) if text in found]


def has_event_tags(storage: "SqlEventLogStorage", ids: Sequence[int]) -> bool:
    """Return whether tags of one of the events of these numbers are stored."""
    import sqlalchemy as db
    from dagster._core.storage.event_log.schema import AssetEventTagsTable

    columns = AssetEventTagsTable.c
    with storage.index_connection() as connection:
        return connection.execute(db.select(columns.id).where(columns.event_id.in_(ids)).limit(1)).first() is not None


def running_backfills(instance: "dg.DagsterInstance") -> "Sequence[PartitionBackfill]":
    """Return the backfills that have not ended."""
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

    unfinished = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    return instance.get_backfills(filters=BulkActionsFilter(statuses=unfinished))


_DELETED_AT_ONCE = 500
"""Each is a variable of the statement; old builds of SQLite allow 999."""


def delete_dynamic_partitions(instance: "dg.DagsterInstance", definition: str, partitions: Sequence[str]) -> None:
    """Delete partitions, many with a statement where the storage is one in SQL: Dagster's own way takes 3 ms for each."""
    storage = sql_event_log(instance.event_log_storage) if len(partitions) > 1 else None
    if storage is None:
        for partition in partitions:
            instance.delete_dynamic_partition(definition, partition)
        return
    from dagster._core.storage.event_log.schema import DynamicPartitionsTable

    columns = DynamicPartitionsTable.c
    with storage.index_transaction() as connection:
        for start in range(0, len(partitions), _DELETED_AT_ONCE):
            chosen = columns.partition.in_(partitions[start : start + _DELETED_AT_ONCE])
            ours = columns.partitions_def_name == definition
            connection.execute(DynamicPartitionsTable.delete().where(ours, chosen))


def newest_runs(storage: "SqlEventLogStorage", key: "dg.AssetKey", kind: str) -> dict[str | None, tuple[int, str]]:
    """Return the number and the run of the newest event of a kind by partition of an asset, None for no partition.

    One statement, where the public calls read and decode every event.
    """
    import sqlalchemy
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable

    columns = SqlEventLogStorageTable.c
    chosen = sqlalchemy.and_(columns.asset_key == key.to_string(), columns.dagster_event_type == kind)
    newest = sqlalchemy.select(sqlalchemy.func.max(columns.id)).where(chosen).group_by(columns.partition)
    query = sqlalchemy.select(columns.partition, columns.id, columns.run_id).where(columns.id.in_(newest))
    with storage.index_connection() as connection:
        return {partition: (number, run_id) for partition, number, run_id in connection.execute(query)}


def newest_check_runs(storage: "SqlEventLogStorage") -> set[str]:
    """Return the runs of the newest evaluation of each asset check."""
    import sqlalchemy
    from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

    columns = AssetCheckExecutionsTable.c
    newest = sqlalchemy.select(sqlalchemy.func.max(columns.id)).group_by(columns.asset_key, columns.check_name)
    query = sqlalchemy.select(columns.run_id).where(columns.id.in_(newest))
    with storage.index_connection() as connection:
        return {run_id for (run_id,) in connection.execute(query)}


def delete_events_of_run(storage: "SqlEventLogStorage", run_id: str) -> None:
    """Delete the events of a run, their tags, and its evaluations of checks.

    Dagster's own way names every event in one statement, too many for SQLite from 32,766 chunks on; it keeps the evaluations,
    and in SQLite the whole file that each run has.
    """
    import sqlalchemy
    from dagster._core.storage.event_log.schema import (
        AssetCheckExecutionsTable,
        AssetEventTagsTable,
        SqlEventLogStorageTable,
    )

    events = SqlEventLogStorageTable
    of_run = sqlalchemy.select(events.c.id).where(events.c.run_id == run_id)
    with storage.index_transaction() as connection:
        connection.execute(AssetEventTagsTable.delete().where(AssetEventTagsTable.c.event_id.in_(of_run)))
        connection.execute(AssetCheckExecutionsTable.delete().where(AssetCheckExecutionsTable.c.run_id == run_id))
        connection.execute(events.delete().where(events.c.run_id == run_id))
    if storage.supports_global_concurrency_limits:
        storage.free_concurrency_slots_for_run(run_id)
    sqlite = sqlite_event_log(storage)
    if sqlite is not None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(sqlite.path_for_shard(run_id) + suffix).unlink(missing_ok=True)
