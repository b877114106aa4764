"""What people see of an asset in the UI: counts, tables, reasons and links. Nothing is computed here that is not shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg

from registration_pipeline.objects import remedy_of
from registration_pipeline.orchestration.columns import COLUMN_TEXTS
from registration_pipeline.state.layout import outcomes_name

if TYPE_CHECKING:
    import pyarrow as pa

    from registration_pipeline.facts.reading.reading import ReadingProgress
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.manifest.files import Manifest
    from registration_pipeline.orchestration.partitions import PartitionUpdate
    from registration_pipeline.planning.plan import Plan
    from registration_pipeline.planning.upserts.request import UpsertPlan
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.failures.files import FailureTally
    from registration_pipeline.tracking.status import SourceStatus
    from registration_pipeline.tracking.upserts import UpsertCounts

Metadata = dict[str, Any]
SAMPLE_ROWS = 10
INVENTORY_COLUMNS = ("key", "size", "last_modified", "storage_class")
"""What is shown of an inventory's first rows."""


def link(store: "StateStore", name: str) -> dg.MetadataValue[Any]:
    """Return a link to a file of the state: a path, or a URL when the state is in a bucket."""
    location = store.location(name)
    return dg.MetadataValue.url(location) if "://" in location else dg.MetadataValue.path(location)


def stored(store: "StateStore", folder: str, schema: "pa.Schema") -> Metadata:
    """Return where the rows of an asset are and which columns they have, under the names that Dagster knows."""
    columns = [
        dg.TableColumn(
            field.name,
            str(field.type),
            description=COLUMN_TEXTS[field.name],
            constraints=dg.TableColumnConstraints(nullable=field.nullable),
        )
        for field in schema
    ]
    return {"dagster/uri": store.location(folder), "dagster/column_schema": dg.TableSchema(columns=columns)}


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> dg.MetadataValue[Any]:
    """Return rows as a table; every value is shown as text, except whole numbers."""
    records = [
        dg.TableRecord(
            {name: value if isinstance(value := row.get(name), int) else str(value or "") for name in columns}
        )
        for row in rows
    ]
    kinds = {
        name: "int" if records and all(isinstance(record.data[name], int) for record in records) else "string"
        for name in columns
    }
    schema = dg.TableSchema(columns=[dg.TableColumn(name, kinds[name]) for name in columns])
    return dg.MetadataValue.table(records=records, schema=schema)


def counts_table(counts: Mapping[str, int], what: str, counted: str = "objects") -> dg.MetadataValue[Any]:
    """Return counts by name as a table, largest first.

    Args:
        counts: name to count.
        what: heading of the names.
        counted: heading of the counts: objects or units.
    """
    rows = [{what: name, counted: count} for name, count in sorted(counts.items(), key=lambda item: -item[1])]
    return table(rows, (what, counted))


def inventory_metadata(
    store: "StateStore", inventory: "Inventory", first: "pa.RecordBatch | None", request_class: str
) -> Metadata:
    """Describe an inventory.

    Args:
        store: the state.
        inventory: of which.
        first: its first rows, if it has any: ``INVENTORY_COLUMNS``.
        request_class: what its requests are charged as.
    """
    from registration_pipeline.inventory.schema import INVENTORY_SCHEMA

    seconds = (inventory.finished_at - inventory.started_at).total_seconds()
    folder = f"{inventory.source}/inventory/{inventory.inventory_id}/"
    return {
        **stored(store, folder, INVENTORY_SCHEMA),
        "dagster/row_count": inventory.objects,
        "bytes": inventory.bytes,
        "inventory_id": inventory.inventory_id,
        "listing": inventory.listing,
        "requests": inventory.requests,
        "requests_charged_as": request_class,
        "seconds": round(seconds, 3),
        "objects_per_second": round(inventory.objects / seconds) if seconds else 0,
        "sample": table(_first_objects(first), INVENTORY_COLUMNS),
        "files": link(store, folder),
    }


def _first_objects(first: "pa.RecordBatch | None") -> list[dict[str, Any]]:
    if first is None:
        return []
    shown = first.slice(0, SAMPLE_ROWS)
    columns = {name: shown.column(name) for name in INVENTORY_COLUMNS}
    # As text already here: Arrow loads pandas to make a time of Python's, which takes half a second.
    columns["last_modified"] = columns["last_modified"].cast("string")
    values = (column.to_pylist() for column in columns.values())
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def facts_metadata(store: "StateStore", facts: "FactSet | None", progress: "ReadingProgress | None") -> Metadata:
    """Describe a set of facts of a source.

    Args:
        store: the state.
        facts: what is known; None: nothing.
        progress: of the reading; None: there was nothing to read.
    """
    shown: Metadata = {"dagster/row_count": facts.rows if facts else 0}
    if facts is not None:
        problems = facts.notes.get("problems", {})
        shown |= {
            "problems": counts_table(problems, "problem"),
            "files": link(store, f"{facts.source}/facts/{facts.name}/{facts.facts_id}/"),
        }
    if progress is not None:
        shown |= {
            "read_objects": progress.read,
            "known_objects": progress.cached,
            "waiting_objects": progress.waiting,
            "bytes_read": progress.bytes,
            "requests": progress.requests,
            "seconds": round(progress.seconds, 3),
        }
    return shown


def upserts_metadata(
    store: "StateStore", counts: "UpsertCounts", plan: "UpsertPlan | None", sent_units: int
) -> Metadata:
    """Describe the upserts of a source.

    Args:
        store: the state.
        counts: of units by the state of their newest upsert.
        plan: what was planned last in the run; None: nothing could have changed.
        sent_units: whose items show what the run sent.
    """
    shown: Metadata = {f"{name}_units": count for name, count in counts.as_json().items()}
    shown["sent_units"] = sent_units
    if plan is None:
        return shown
    found = plan.wave.upserts
    shown |= {
        "changed_units": found["units"],
        "units_with_removed_fields": found["removed"],
        "invalid_units": found["invalid"],
        "unknown_units": found["unknown"],
        "wave_id": plan.wave.wave_id,
        "sample": table(
            [
                {
                    "key": sample.key,
                    "field": sample.change.name,
                    "before": sample.change.shown_before,
                    "after": sample.change.shown_after,
                }
                for sample in plan.samples[:SAMPLE_ROWS]
            ],
            ("key", "field", "before", "after"),
        ),
        "files": link(store, f"{plan.wave.source}/plan/{plan.wave.wave_id}/"),
    }
    return shown


def plan_metadata(store: "StateStore", plan: "Plan") -> Metadata:
    """Describe what a planning run added and what else it found."""
    from registration_pipeline.planning.schema import PLAN_SCHEMA

    counts = plan.wave.counts
    folder = f"{plan.wave.source}/plan/{plan.wave.wave_id}/"
    numbers = ("new", "known", "excluded", "rejected", "held", "changed", "deleted")
    return {
        **stored(store, folder, PLAN_SCHEMA),
        "dagster/row_count": sum(part.rows for part in plan.wave.parts),
        "objects": counts.objects,
        **{f"{name}_objects": getattr(counts, name) for name in numbers},
        **{f"{name}_units": getattr(counts, f"{name}_units") for name in ("held", "changed", "deleted")},
        "new_units": sum(chunk.units for chunk in plan.chunks) if plan.created else 0,
        "new_chunks": len(plan.chunks) if plan.created else 0,
        "wave_id": plan.wave.wave_id,
        "rejected_by_reason": counts_table(counts.rejected_by_reason, "reason"),
        "rejected_suffixes": counts_table(counts.rejected_suffixes, "suffix"),
        "excluded_by_rule": counts_table(counts.excluded_by_rule, "rule"),
        "warnings": plan.warnings.total,
        "first_warnings": table([{"warning": warning} for warning in plan.warnings.first], ("warning",)),
        "chunks": table(
            [{**chunk_row(chunk)} for chunk in plan.chunks[:SAMPLE_ROWS]],
            ("chunk_id", "kind", "units", "objects", "bytes", "first_key"),
        ),
        "files": link(store, folder),
    }


def partitions_metadata(update: "PartitionUpdate") -> Metadata:
    """Describe what Dagster shows of the chunks that are planned."""
    return {"shown_chunks": update.live, "archived_chunks": update.archived}


def chunk_row(chunk: "PlannedChunk") -> Mapping[str, Any]:
    """Return a chunk as a row of a table."""
    return {
        "chunk_id": chunk.chunk_id,
        "kind": chunk.kind.value,
        "units": chunk.units,
        "objects": chunk.objects,
        "bytes": chunk.bytes,
        "first_key": chunk.first_key,
    }


def manifest_metadata(store: "StateStore", chunk: "PlannedChunk", manifest: "Manifest") -> Metadata:
    """Describe a chunk's manifest; its rows are units."""
    return {
        "chunk": chunk.chunk_id,
        "dagster/uri": store.location(manifest.name),
        "dagster/partition_row_count": chunk.units,
        "units": chunk.units,
        "objects": chunk.objects,
        "kind": chunk.kind.value,
        "bytes": manifest.bytes,
        "sha256": manifest.sha256,
        "violations": len(manifest.violations),
        "file": link(store, manifest.name),
    }


def registration_metadata(store: "StateStore", source: str, result: "ChunkResult") -> Metadata:
    """Describe a concluded chunk, with its failures when there are any; its rows are the registered units.

    Its id comes first, because the page of the asset shows the newest event beside a failed partition that may be another one.
    """
    chunk_id, attempt = result.chunk.chunk_id, result.attempt
    shown: Metadata = {
        "chunk": chunk_id,
        "dagster/partition_row_count": result.registered_units,
        "registered_units": result.registered_units,
        "registered_objects": result.registered_objects,
        "failed_units": result.failed_units,
        "failed_objects": result.failed_objects,
        "units": result.chunk.units,
        "objects": result.chunk.objects,
        "bytes_when_planned": result.chunk.bytes,
        "kind": result.chunk.kind.value,
        "attempt": attempt,
        "state": result.state.value,
        "upload_job": result.job_id or "unknown",
        "encord_folder": result.folder_uuid or "unknown",
    }
    if result.seconds is not None:
        shown["seconds"] = round(result.seconds, 3)
    if result.outcomes:
        shown["outcomes"] = link(store, outcomes_name(source, chunk_id, result.outcomes))
    if result.message:
        shown["message"] = result.message
    if result.has_failures:
        shown["failure_log"] = link(store, f"{source}/failures/{chunk_id}/{attempt:04d}.csv")
    if result.failures:
        shown["reasons"] = reasons_table({"units": result.reasons})
        shown["sample_of_failures"] = table(
            [
                {
                    "key": unit.first.key,
                    "objects": unit.objects,
                    "reason": unit.said.reason,
                    "message": unit.said.message,
                }
                for unit in result.failures
            ],
            ("key", "objects", "reason", "message"),
        )
    return shown


def reasons_table(counts: Mapping[str, Mapping[str, int]]) -> dg.MetadataValue[Any]:
    """Show what is not registered by reason, and who has to act.

    Args:
        counts: by what is counted, the counts by reason; all have the same reasons.
    """
    reasons = sorted(next(iter(counts.values())))
    rows = [
        {
            "reason": reason,
            **{what: by_reason[reason] for what, by_reason in counts.items()},
            "what to do": remedy_of(reason),
        }
        for reason in reasons
    ]
    return table(rows, ("reason", *counts, "what to do"))


def failure_log_metadata(
    store: "StateStore", status: "SourceStatus", tally: "FailureTally", names: Sequence[str]
) -> Metadata:
    """Describe the failure log of a source (failed units and rejected objects) and the counts of its objects by state.

    What failed and why comes first, then the counts; the UI keeps the order.

    Args:
        store: the state.
        status: the counts.
        tally: of the log.
        names: of the log as Parquet and as CSV, and of the report.
    """
    from registration_pipeline.tracking.failures.files import FAILURE_SCHEMA

    counted = (
        "excluded",
        "rejected",
        "registered",
        "pending",
        "failed",
        "changed",
        "deleted",
        "quarantined",
    )
    location = stored(store, names[0], FAILURE_SCHEMA)
    return {
        "reasons": reasons_table({"rows": tally.reasons, "objects": tally.objects_by_reason}),
        "sample": table(
            [
                {
                    "key": row.key,
                    "objects": row.objects,
                    "stage": row.stage,
                    "reason": row.reason,
                    "message": row.message,
                }
                for row in tally.sample
            ],
            ("key", "objects", "stage", "reason", "message"),
        ),
        "dagster/row_count": tally.rows,
        "objects": status.objects,
        **{f"{name}_objects": getattr(status, name) for name in counted},
        **{f"{name}_units": count for name, count in asdict(status.units).items()},
        "dagster/uri": location["dagster/uri"],
        # Under Dagster's own name they would be shown above all the rest, and fill the first screen.
        "columns": location["dagster/column_schema"],
        "parquet": link(store, names[0]),
        "csv": link(store, names[1]),
        "report": link(store, names[2]),
    }
