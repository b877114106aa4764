"""Upserts of metadata: the nightly pass over everything planned, with all, none and one in a hundred of the units changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import run_stage
from benchmarks.project import environment, load_project, prepare, write_configuration
from benchmarks.synthetic import key_of
from benchmarks.table import Table, figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from benchmarks.measure import Stopwatch
    from registration_pipeline.planning.upserts.request import UpsertRequest

_BATCH: Final = 65_536
_SETTINGS: Final = "    metadata:\n      - {table: /nowhere/labels.parquet, key: image}\n    upsert_metadata: true\n"
_SHARE: Final = 100
_FOLDER_UUID: Final = "0f0f0f0f-0000-4000-8000-000000000000"


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    table = Table(
        f"upserts: {objects:,} registered units, four values for each",
        ("", "units/s", "time", "CPU", "peak memory", "of which libraries"),
    )
    config = write_configuration(folder)
    environ = environment(config)
    run_stage(prepare, environ, objects=objects, plan=True)
    # Only now, as with a source that is given metadata later: a plan would hold objects of which nothing is known yet.
    config.write_text(config.read_text(encoding="utf-8") + _SETTINGS, encoding="utf-8")
    run_stage(conclude, environ, of_upserts=False)
    nights = (
        ("all changed", 0, objects),
        ("none changed", 0, 0),
        ("one in a hundred changed", 1, -(-objects // _SHARE)),
    )
    for number, (name, version, expected) in enumerate(nights):
        run_stage(write_set, environ, objects=objects, night=number, version=version)
        passed = run_stage(plan_pass, environ)
        assert passed.facts["units"] == expected, passed.facts
        table.add(name, *figures(objects, passed))
        run_stage(conclude, environ, of_upserts=True)
    quiet = run_stage(ask_whether_due, environ)
    assert quiet.facts["is_due"] is False
    table.add("the same metadata and registrations as before", *figures(objects, quiet))
    return table


def write_set(watch: Stopwatch, *, objects: int, night: int, version: int) -> None:
    """Stage: write the metadata of a night; ``version`` 1 has one row in a hundred changed."""
    from registration_pipeline.facts.metadata.metadata_set import METADATA, METADATA_SCHEMA
    from registration_pipeline.facts.sets import write_facts
    from registration_pipeline.project.project import utc_now

    project, source = load_project()
    batches = _rows(METADATA_SCHEMA, objects, night=night, version=version)
    facts_id, now = f"2026112{night}T000000Z", utc_now()
    write_facts(project.store, source.name, METADATA, facts_id, batches, schema=METADATA_SCHEMA, made_at=now)
    with watch:
        pass


def _rows(schema: pa.Schema, objects: int, *, night: int, version: int) -> Iterator[pa.RecordBatch]:
    from datetime import UTC, datetime

    import pyarrow as pa

    for start in range(0, objects, _BATCH):
        numbers = range(start, min(start + _BATCH, objects))
        count = len(numbers)
        # The time makes each night's set another one, as new objects do.
        at = pa.scalar(datetime(2026, 11, 20 + night, tzinfo=UTC), schema.field("last_modified").type)
        columns: dict[str, Any] = {
            "key": pa.array([key_of(number) for number in numbers], pa.string()),
            "size": pa.repeat(pa.scalar(1, pa.int64()), count),
            "last_modified": pa.repeat(at, count),
            "client_metadata": pa.array([_text(number, version) for number in numbers], pa.string()),
        }
        arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _text(number: int, version: int) -> str:
    weather = ("sun", "rain", "snow")[(number + version * (number % _SHARE == 0)) % 3]
    return f'{{"checked":true,"note":"row {number}","speed":{number / 8},"weather":"{weather}"}}'


def conclude(watch: Stopwatch, *, of_upserts: bool) -> None:
    """Stage: write what a submission without trouble leaves of every chunk that has no verdict."""
    from uuid import NAMESPACE_URL, uuid5

    from registration_pipeline.planning.wave import load_chunks, read_chunk_units
    from registration_pipeline.project.project import utc_now
    from registration_pipeline.state.layout import upserts_source
    from registration_pipeline.submission.spread import UnitVerdict, spread
    from registration_pipeline.submission.verdicts import verdict_facts
    from registration_pipeline.tracking.journal.journal import Journal
    from registration_pipeline.tracking.journal.states import JournalEvent, JournalEventKind
    from registration_pipeline.tracking.outcomes import Verdict, write_outcomes

    project, source = load_project()
    name = upserts_source(source.name) if of_upserts else source.name
    journal, store = Journal(project.store, name), project.store
    done = {*journal.chunk_ids()}
    for chunk_id, chunk in load_chunks(store, name).items():
        if chunk_id in done:
            continue
        units, now = read_chunk_units(store, name, chunk), utc_now()
        verdicts: Sequence[UnitVerdict] = [
            UnitVerdict(Verdict.REGISTERED, str(uuid5(NAMESPACE_URL, unit_id)))
            for unit_id in units.first_values("unit_id")
        ]
        outcomes = spread(units, verdicts, attempt=1, at=now)
        journal.append(
            JournalEvent(kind=JournalEventKind.INTENT, chunk_id=chunk_id, attempt=1, at=now, folder_uuid=_FOLDER_UUID)
        )
        base_name = write_outcomes(store, name, chunk_id, 1, outcomes)
        journal.append(
            JournalEvent(
                kind=JournalEventKind.VERDICT,
                chunk_id=chunk_id,
                attempt=1,
                at=now,
                outcomes=base_name,
                **verdict_facts(units, outcomes),
            )
        )
    journal.summarise()
    with watch:
        pass


def plan_pass(watch: Stopwatch) -> None:
    """Stage: compare everything, and commit the wave."""
    from registration_pipeline.planning.upserts.plan import plan_upserts
    from registration_pipeline.planning.upserts.request import is_due

    project, _ = load_project()
    with watch:
        request = _request()
        assert is_due(request, has_retries=False)
        plan = plan_upserts(project.store, request)
    watch.facts.update(units=plan.wave.upserts["units"], chunks=len(plan.chunks))


def ask_whether_due(watch: Stopwatch) -> None:
    """Stage: what a night costs in which nothing changed."""
    from registration_pipeline.planning.upserts.request import is_due

    with watch:
        due = is_due(_request(), has_retries=False)
    watch.facts.update(is_due=due)


def _request() -> UpsertRequest:
    from registration_pipeline.facts.metadata.metadata_set import METADATA
    from registration_pipeline.facts.sets import latest_facts
    from registration_pipeline.objects import MediaKind
    from registration_pipeline.planning.upserts.request import UpsertRequest
    from registration_pipeline.project.project import utc_now
    from registration_pipeline.state.layout import upserts_source
    from registration_pipeline.tracking.upserts import RegistrationView, retry_policy, upsert_view

    project, source = load_project()
    store = project.store
    metadata, view = latest_facts(store, source.name, METADATA), upsert_view(store, upserts_source(source.name))
    assert metadata is not None
    return UpsertRequest(
        source=source.name,
        sizes={kind: source.chunk_size.of(kind) for kind in MediaKind},
        limits=project.manifest_limits,
        submit_as=source.submit_as,
        metadata=metadata,
        registrations=RegistrationView(store, project.snapshot(source)),
        history=view.snapshot.history,
        outcomes=view,
        policy=retry_policy(max_attempts=source.max_attempts),
        clock=utc_now,
    )
