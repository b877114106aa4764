"""The report of an audit: sorted out of core, and written to the state as Parquet and CSV.

What does not belong here: finding anything.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from registration_pipeline.audit.claim import claim_audit_id
from registration_pipeline.audit.rows import AuditFinding, FindingRow, row_order
from registration_pipeline.state.layout import COMMIT_MARKER, audit_folder
from registration_pipeline.state.parquet import Part, file_digest, read_parts
from registration_pipeline.state.sealed import sealed_json
from registration_pipeline.state.temporary import temporary_space
from registration_pipeline.tables.csv_cells import CsvWriter
from registration_pipeline.tables.external_sort import ExternalSort

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from registration_pipeline.state.store import StateStore

SAMPLE_ROWS: Final = 5
"""Rows of each finding that the summary holds."""

_RUN_BYTES: Final = 32 << 20
"""Arrow bytes of findings that are sorted at once: some 100,000 rows."""

_BATCH_ROWS: Final = 10_000
FINDING_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("finding", pa.string(), nullable=False),
        *(pa.field(name, pa.int64() if name == "objects" else pa.string()) for name in FindingRow._fields[1:]),
    ]
)
AUDIT_COLUMNS = FindingRow._fields
_SPOOL_ORDER: Final = ("rank", "order_key", "order_url", "order_item")
_SPOOL_SCHEMA: pa.Schema = pa.schema(
    [pa.field("rank", pa.int8()), *(pa.field(name, pa.string()) for name in _SPOOL_ORDER[1:]), *FINDING_SCHEMA]
)
"""A finding behind what it is sorted by (``rows.row_order``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What an audit found. The fields are those of the commit marker and of ``audit --json``.

    Args:
        audit_id: UTC time of its start.
        inventory_id: the listing of the bucket that was compared.
        folders: the folders of Encord that were listed.
        units: planned units.
        objects: planned objects.
        registered_units: units that are registered according to the ledger.
        registered_objects: their objects.
        items: items in the folders.
        findings: rows of the report by finding; a finding that did not occur is there with 0.
        under_way: items of chunks that were being submitted; they are not findings.
        adopted_chunks: taken over, wholly or in part.
        adopted_units: units that the ledger knows to be registered since.
        adopted_reordered: of these, units whose item holds their objects in another order than planned.
        partly_present: chunks that are only partly in Encord and not concluded; sending them is safe.
        looked_up: recorded items that were looked up in other folders.
        not_looked_up: those that were not, because the limit was reached; they count as missing.
        opened: items that may be groups, and were asked what they consist of because nothing else explained them.
        not_opened: those that were not asked, because the limit was reached; they count as unknown.
        sample: the first rows of each finding.
        parquet: the findings, all of them.
        csv: the same.
    """

    source: str
    audit_id: str
    inventory_id: str
    started_at: datetime
    finished_at: datetime
    folders: tuple[str, ...]
    units: int
    objects: int
    registered_units: int
    registered_objects: int
    items: int
    findings: Mapping[str, int]
    under_way: int = 0
    adopted_chunks: int = 0
    adopted_units: int = 0
    adopted_reordered: int = 0
    partly_present: int = 0
    looked_up: int = 0
    not_looked_up: int = 0
    opened: int = 0
    not_opened: int = 0
    sample: tuple[FindingRow, ...] = ()
    parquet: Part
    csv: str

    @property
    def is_clean(self) -> bool:
        """Return whether bucket, ledger and Encord agree."""
        return not any(self.findings.values())

    def to_json(self) -> dict[str, Any]:
        """Return the form that it has in the commit marker."""
        return {
            **asdict(self),
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "folders": list(self.folders),
            "sample": [row._asdict() for row in self.sample],
            "parquet": self.parquet.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> AuditReport:
        """Read the form that ``to_json`` gives.

        Raises:
            KeyError, TypeError, ValueError: it is not that form.
        """
        return cls(
            **{
                **value,
                "started_at": datetime.fromisoformat(value["started_at"]),
                "finished_at": datetime.fromisoformat(value["finished_at"]),
                "folders": tuple(value["folders"]),
                "sample": tuple(FindingRow(**{"objects": None} | row) for row in value["sample"]),
                "parquet": Part.from_json(value["parquet"]),
            }
        )


class FindingSpool:
    """Takes findings in any order and gives them back sorted; sorted runs on disk keep memory flat.

    Args:
        folder: a temporary folder of the caller's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sort = ExternalSort(folder, _SPOOL_SCHEMA, by=_SPOOL_ORDER, run_bytes=_RUN_BYTES)
        self._rows: list[FindingRow] = []

    def add(self, row: FindingRow) -> None:
        """Take a finding."""
        self._rows.append(row)
        if len(self._rows) == _BATCH_ROWS:
            self._flush()

    def sorted_rows(self) -> Iterator[FindingRow]:
        """Yield all findings by kind, key and item."""
        if self._rows:
            self._flush()
        with temporary_space("The findings of the audit", self._folder):
            for table in self._sort.tables():
                columns = [table.column(name).to_pylist() for name in AUDIT_COLUMNS]
                yield from map(FindingRow._make, zip(*columns, strict=True))

    def _flush(self) -> None:
        columns = zip(*((*row_order(row), *row) for row in self._rows), strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _SPOOL_SCHEMA, strict=True)]
        self._rows = []
        with temporary_space("The findings of the audit", self._folder):
            self._sort.add(pa.RecordBatch.from_arrays(arrays, schema=_SPOOL_SCHEMA))


@dataclass(slots=True)
class _Tally:
    """What the summary says of the rows, gathered while they pass by."""

    counts: Counter[str] = field(default_factory=Counter)
    sample: list[FindingRow] = field(default_factory=list)

    def watch(self, rows: Iterable[FindingRow]) -> Iterator[FindingRow]:
        for row in rows:
            self.counts[row.finding] += 1
            if self.counts[row.finding] <= SAMPLE_ROWS:
                self.sample.append(row)
            yield row


def write_report(
    store: StateStore, source: str, folder: Path, rows: Iterable[FindingRow], *, started_at: datetime, **facts: Any
) -> AuditReport:
    """Write the findings and, when they are there, the summary that vouches for them.

    Args:
        folder: a temporary folder of the caller's.
        rows: sorted; read once, and a batch of them is in memory at a time.
        started_at: aware.
        facts: the other fields of ``AuditReport``.
    """
    tally = _Tally()
    parquet, text = folder / "findings.parquet", folder / "findings.csv"
    with temporary_space("The report of the audit", folder):
        _write_files(parquet, text, tally.watch(rows))
    audit_id = claim_audit_id(store, source, started_at, parquet.name, parquet)
    marked = audit_folder(source, audit_id)
    store.create_from_file(marked + text.name, text)
    report = AuditReport(
        source=source,
        audit_id=audit_id,
        started_at=started_at,
        findings={finding.value: tally.counts[finding.value] for finding in AuditFinding},
        sample=tuple(tally.sample),
        parquet=Part(marked + parquet.name, tally.counts.total(), *file_digest(parquet)),
        csv=marked + text.name,
        **facts,
    )
    store.create(marked + COMMIT_MARKER, sealed_json(report.to_json()))
    return report


def _write_files(parquet: Path, text: Path, rows: Iterator[FindingRow]) -> None:
    with (
        pq.ParquetWriter(parquet, FINDING_SCHEMA, compression="zstd") as parquet_writer,
        text.open("w", encoding="utf-8", newline="") as csv_file,
    ):
        csv_writer = CsvWriter(csv_file, AUDIT_COLUMNS)
        while batch := list(islice(rows, _BATCH_ROWS)):
            columns = [
                pa.array(column, field.type)
                for column, field in zip(zip(*batch, strict=True), FINDING_SCHEMA, strict=True)
            ]
            parquet_writer.write_table(pa.Table.from_arrays(columns, schema=FINDING_SCHEMA))
            csv_writer.write(batch)


def audit_findings(store: StateStore, report: AuditReport) -> Iterator[FindingRow]:
    """Stream the findings of an audit, sorted.

    Raises:
        StateCorruptError: the file is missing or unreadable.
    """
    for batch in read_parts(store, [report.parquet]):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        # An audit of an earlier version does not say how many objects a unit has.
        values = [columns[name].to_pylist() if name in columns else [None] * len(batch) for name in AUDIT_COLUMNS]
        yield from map(FindingRow._make, zip(*values, strict=True))


def write_findings(store: StateStore, report: AuditReport, path: Path) -> None:
    """Write the findings of an audit to a local file, whose suffix says how: ``.csv``, ``.parquet`` or ``.json``."""
    if path.suffix == ".parquet":
        with store.local_file(report.parquet.name) as source:
            shutil.copyfile(source, path)
        return
    rows = audit_findings(store, report)
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".json":
            _write_json(file, rows)
        else:  # made again and not copied: that of an older version may hold formulas
            CsvWriter(file, AUDIT_COLUMNS).write(rows)


def _write_json(file: Any, rows: Iterator[FindingRow]) -> None:
    separator = "[\n"
    for row in rows:
        file.write(separator + json.dumps(row._asdict(), ensure_ascii=False))
        separator = ",\n"
    file.write("\n]\n" if separator != "[\n" else "[]\n")
