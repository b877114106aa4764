"""The verdict for every object of a chunk, per attempt, as Parquet.

How a verdict is reached belongs to ``submission.verdicts``; here it is only written and read.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from registration_pipeline.errors import StateConflictError
from registration_pipeline.objects import FailureReason
from registration_pipeline.state.layout import outcomes_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from registration_pipeline.state.store import StateStore


class Verdict(StrEnum):
    """What became of an object."""

    REGISTERED = "registered"
    ALREADY_REGISTERED = "already_registered"
    """Its URL was in the folder before: Encord skipped it, which is as good as registered."""
    FAILED = "failed"

    @property
    def is_registered(self) -> bool:
        """Tell whether the object is in the folder."""
        return self is not Verdict.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The verdict for one object.

    Args:
        item_uuid: Encord's storage item, where the job or the folder named it.
        reason: only for failed objects; the closed set of words.
        message: what Encord said.
        subtask_uuid: what Encord's support asks for.
        at: when the verdict was reached, UTC.
    """

    key: str
    object_url: str
    unit_id: str
    verdict: Verdict
    attempt: int
    at: datetime
    item_uuid: str | None = None
    reason: FailureReason | None = None
    message: str | None = None
    subtask_uuid: str | None = None


OUTCOME_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("object_url", pa.string(), nullable=False),
        pa.field("unit_id", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("item_uuid", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("message", pa.string()),
        pa.field("subtask_uuid", pa.string()),
    ]
)
_FIELDS = tuple(field.name for field in fields(Outcome))


def outcomes_table(outcomes: Sequence[Outcome]) -> pa.Table:
    """Return the outcomes as columns of ``OUTCOME_SCHEMA``."""
    columns = {name: [getattr(outcome, name) for outcome in outcomes] for name in _FIELDS}
    return pa.table(columns, schema=OUTCOME_SCHEMA)


def write_outcomes(store: StateStore, source: str, chunk_id: str, attempt: int, outcomes: Sequence[Outcome]) -> str:
    """Write the verdicts of one attempt and return their name.

    A crash between the outcomes and the verdict's journal entry leaves outcomes that nobody vouches for yet; the same
    attempt then concludes again, and its newer verdicts replace them.
    """
    name = outcomes_name(source, chunk_id, attempt)
    with tempfile.TemporaryDirectory(prefix="registration-") as folder:
        path = Path(folder) / "outcomes.parquet"
        pq.write_table(outcomes_table(outcomes), path, compression="zstd")
        publish(store, name, path)
    return name


def publish(store: StateStore, name: str, path: Path) -> None:
    """Put a finished file under a name, replacing a leftover that no journal entry vouches for."""
    try:
        store.create_from_file(name, path)
    except StateConflictError:
        store.delete(name)
        store.create_from_file(name, path)


def read_outcomes(store: StateStore, source: str, chunk_id: str, attempt: int) -> list[Outcome]:
    """Read the verdicts of one attempt."""
    # Neither pq.read_table nor threads: Arrow's threads may drop the last reference to what a Python file gave them when the
    # interpreter is ending already, which aborts the process (pyarrow 26: "terminate called without an active exception").
    with store.open(outcomes_name(source, chunk_id, attempt)) as file, pq.ParquetFile(file) as parquet:
        rows = parquet.read(use_threads=False).to_pylist()
    return [
        Outcome(
            **{
                **row,
                "verdict": Verdict(row["verdict"]),
                "reason": FailureReason(row["reason"]) if row["reason"] else None,
            }
        )
        for row in rows
    ]
