"""The audit: a bucket, a ledger and an Encord folder of ten and twenty times the objects, with six discrepancies planted.

The items are put straight into the sandbox's database: what is measured is finding out that they are there, not registering.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, environment, load_project, prepare, write_configuration
from benchmarks.servers import sandbox_server
from benchmarks.synthetic import MODIFIED_AT, SyntheticLister, key_of
from benchmarks.table import Table, figures, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from benchmarks.measure import Measured, Stopwatch

PLANTED = 10
"""Of each discrepancy."""

_INSERT = """
INSERT INTO items (uuid, folder_id, identity, item_type, name, description, client_metadata, owner, created_at,
                   last_edited_at, job_id, file_size)
VALUES (?, ?, ?, 'image', ?, '', ?, 'benchmark', ?, ?, 0, 1)"""


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    smaller, larger = objects * 10, objects * 20
    table = Table(
        f"audit: {smaller:,} and {larger:,} objects, {PLANTED} of each of six discrepancies planted",
        ("", "objects/s", "time", "own CPU", "peak memory", "of which libraries", "against baseline"),
    )
    baseline = naive = None
    for size in (smaller, larger):
        with sandbox_server(folder / f"sandbox-{size}", job_seconds=0) as sandbox:
            environ = environment(write_configuration(folder / str(size)), sandbox)
            run_stage(prepare, environ, objects=size, plan=True)
            run_stage(register_in_bulk, environ, objects=size, data=str(folder / f"sandbox-{size}"))
            run_stage(list_changed, environ, objects=size)
            if baseline is None:
                baseline = run_stage(
                    list_through_sdk, environ, url=sandbox.facts["url"], key_file=sandbox.facts["key_file"]
                )
                naive = run_stage(compare_in_dictionaries, environ)
                _add(table, "baseline: every page through the SDK, nothing compared", size, baseline, baseline)
                _add(table, "all three sides in dictionaries, compared", size, naive, baseline)
            measured = run_stage(audit, environ)
        found = measured.facts["findings"]
        assert found == {finding: PLANTED if finding != "archived" else 0 for finding in found}, found
        same = baseline if size == smaller else None
        _add(table, f"audit, {size:,}", size, measured, same)
    table.notes.append(
        "Each audit found every planted discrepancy and nothing else. The sandbox's pages share the machine's cores; its part "
        "is in the time and not in the CPU."
    )
    return table


def _add(table: Table, name: str, objects: int, measured: Measured, baseline: Measured | None) -> None:
    table.add(
        name,
        *figures(objects, measured),
        ratio(baseline.seconds, measured.seconds) if baseline else "",
    )


def planted(number: int, objects: int) -> int:
    """Return which discrepancy an object has, from 1; 0 for most."""
    return number % (objects // PLANTED) if number % (objects // PLANTED) <= 6 else 0


MISSING, MOVED, DUPLICATE, UNKNOWN, CHANGED, GONE = range(1, 7)


def item_uuid_of(number: int, copy: int = 0) -> str:
    """Return the UUID of an object's item."""
    return str(UUID(bytes=hashlib.md5(f"{copy}/{number}".encode(), usedforsecurity=False).digest()))


def register_in_bulk(watch: Stopwatch, *, objects: int, data: str) -> None:
    """Stage: conclude every chunk in the journal, and put the items into the sandbox's database."""
    from registration_pipeline.planning.wave import load_chunks, read_chunk_units

    project, source = load_project()
    gateway = project.gateway
    home, archive = (gateway.create_folder(name) for name in (source.encord.folder, "archive"))
    numbers = {key_of(number): number for number in range(objects)}
    with watch, closing(sqlite3.connect(Path(data) / "sandbox.sqlite3", timeout=60)) as database:
        ids: Mapping[str, int] = dict(database.execute("SELECT uuid, id FROM folders").fetchall())
        for chunk in load_chunks(project.store, SOURCE).values():
            units = read_chunk_units(project.store, SOURCE, chunk)
            _conclude(project.store, chunk.chunk_id, units, home, numbers)
            rows = (row for unit in units for row in _item_rows(unit, numbers, objects, ids[home], ids[archive]))
            with database:
                database.executemany(_INSERT, rows)


def _item_rows(
    unit: Any, numbers: Mapping[str, int], objects: int, home: int, archive: int
) -> Iterator[tuple[Any, ...]]:
    key, url = unit.objects[0].key, unit.objects[0].object_url
    number = numbers[key]
    metadata = json.dumps({"registration.unit": unit.unit_id})
    kind = planted(number, objects)
    at = (MODIFIED_AT + timedelta(milliseconds=number)).isoformat().replace("+00:00", "Z")  # as on the wire
    if kind != MISSING:
        folder = archive if kind == MOVED else home
        yield item_uuid_of(number), folder, url, key, metadata, at, at
    if kind == DUPLICATE:
        yield item_uuid_of(number, 1), home, url, key, metadata, at, at
    if kind == UNKNOWN:
        yield item_uuid_of(number, 2), home, f"s3://elsewhere/{number}.jpg", "unknown", "{}", at, at


def _conclude(store: Any, chunk_id: str, units: Sequence[Any], folder: str, numbers: Mapping[str, int]) -> None:
    from registration_pipeline.project.project import utc_now
    from registration_pipeline.submission.verdicts import FolderEvidence, judge_adopted
    from registration_pipeline.tracking.journal.journal import Journal
    from registration_pipeline.tracking.journal.states import ChunkState, JournalEvent, JournalEventKind
    from registration_pipeline.tracking.outcomes import write_outcomes

    found = FolderEvidence(by_unit_id={unit.unit_id: item_uuid_of(numbers[unit.objects[0].key]) for unit in units})
    outcomes = judge_adopted(units, found, attempt=1, at=utc_now())
    journal = Journal(store, SOURCE)
    facts: dict[str, Any] = {"chunk_id": chunk_id, "attempt": 1, "at": utc_now()}
    journal.append(JournalEvent(kind=JournalEventKind.INTENT, folder_uuid=folder, manifest_sha256="0" * 64, **facts))
    base_name = write_outcomes(store, SOURCE, chunk_id, 1, outcomes)
    journal.append(
        JournalEvent(
            kind=JournalEventKind.VERDICT,
            state=ChunkState.SUCCEEDED,
            registered=len(outcomes),
            outcomes=base_name,
            **facts,
        )
    )


class ChangedLister(SyntheticLister):
    """The synthetic bucket a day later: some objects were written again, some are gone."""

    def __init__(self, objects: int) -> None:
        super().__init__(objects)
        self._kinds = {
            key_of(number): planted(number, objects)
            for start in range(0, objects, objects // PLANTED)
            for number in (start + CHANGED, start + GONE)
        }

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``."""
        import pyarrow as pa
        import pyarrow.compute as pc

        gone = pa.array([key for key, kind in self._kinds.items() if kind == GONE])
        changed = pa.array([key for key, kind in self._kinds.items() if kind == CHANGED])
        for batch in super().list_objects():
            rows = batch.filter(pc.invert(pc.is_in(batch.column("key"), gone)))
            is_changed = pc.is_in(rows.column("key"), changed)
            e_tags = pc.if_else(is_changed, pa.scalar("another"), rows.column("e_tag"))
            yield rows.set_column(rows.schema.get_field_index("e_tag"), "e_tag", e_tags)


def list_changed(watch: Stopwatch, *, objects: int) -> None:
    """Stage: take the second inventory."""
    from registration_pipeline.inventory.inventory import take_inventory
    from registration_pipeline.project.project import utc_now

    project, _ = load_project()
    with watch:
        take_inventory(lister=ChangedLister(objects), store=project.store, source=SOURCE, clock=utc_now)


def list_through_sdk(watch: Stopwatch, *, url: str, key_file: str) -> None:
    """Stage: the baseline, every item of the folder as the SDK gives it."""
    from encord import EncordUserClient

    client = EncordUserClient.create_with_ssh_private_key(ssh_private_key_path=key_file, domain=url)
    (folder,) = client.list_storage_folders(search=SOURCE)
    with watch:
        watch.facts["items"] = sum(1 for _ in folder.list_items(page_size=1000))


def compare_in_dictionaries(watch: Stopwatch) -> None:
    """Stage: the same three sides as the audit reads them, in memory; all but missing and moved ones are distinguished."""
    from registration_pipeline.audit.sides import folder_items, ledger_units, open_books
    from registration_pipeline.inventory.inventory import latest_inventory, read_inventory
    from registration_pipeline.submission.calls.retry import RetryPolicy

    project, source = load_project()
    gateway, store = project.gateway, project.store
    home = gateway.find_folder(source.encord.folder)
    with watch:
        books = open_books(store, SOURCE, home)
        ledger = {row.object_url: row for row in ledger_units(books)}
        inventory = latest_inventory(store, SOURCE)
        assert inventory is not None
        bucket = {
            key: tag
            for batch in read_inventory(store, inventory, ("key", "e_tag"))
            for key, tag in zip(batch.column("key").to_pylist(), batch.column("e_tag").to_pylist(), strict=True)
        }
        items: dict[str, list[Any]] = {}
        for item in folder_items(gateway, RetryPolicy(), home):
            items.setdefault(item.url or "", []).append(item)
        watch.facts.update(
            absent=sum(url not in items for url in ledger),
            duplicate=sum(len(same) - 1 for same in items.values()),
            unknown=sum(url not in ledger for url in items),
            gone=sum(row.key not in bucket for row in ledger.values()),
        )


def audit(watch: Stopwatch) -> None:
    """Stage: the audit, up to its report in the state."""
    import registration_pipeline.audit.audit
    from registration_pipeline.stages.auditing import audit_source

    project, source = load_project()
    assert project.gateway
    with watch:
        report = audit_source(project, source, lambda _: None)
    watch.facts["findings"] = dict(report.findings)
    del registration_pipeline
