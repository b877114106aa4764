"""Events of chunks stored in batches say what Dagster's own, stored one by one, say; soon, whole, and however a step ends."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    DagsterEventType,
    DagsterInstance,
    EventLogEntry,
    Failure,
    MetadataValue,
    Nothing,
    OpExecutionContext,
    Out,
    job,
    op,
)

from registration_pipeline.orchestration.runs import event_batches
from registration_pipeline.orchestration.runs.chunk_events import ChunkEvent, ChunkEventWriter, stored_in_batches

Body = Callable[[], Generator[ChunkEvent, None, str]]

MANIFEST, REGISTRATION = AssetKey(["fleet", "manifest"]), AssetKey(["fleet", "registration"])
KINDS = {DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_OBSERVATION}
CHUNKS = event_batches.BATCH + 7
SOON_SECONDS = 200.0


def events_of_chunks(chunks: int = CHUNKS) -> Generator[ChunkEvent, None, str]:
    """Yield what a run of chunks yields, every ninth of them refused, and return a result."""
    for number in range(chunks):
        chunk_id = f"20261121T020000Z-images-{number:05d}"
        yield AssetMaterialization(MANIFEST, partition=chunk_id, metadata={"file": MetadataValue.path(f"/{number}")})
        metadata: dict[str, int | str] = {"dagster/partition_row_count": number, "kind": "images"}
        if number % 9 == 4:
            yield AssetObservation(REGISTRATION, partition=chunk_id, metadata=metadata)
        else:
            tags = {"dagster/code_version": "7"} if number % 5 == 0 else None
            said = "Made by hand." if number % 7 == 0 else None
            yield AssetMaterialization(REGISTRATION, partition=chunk_id, metadata=metadata, tags=tags, description=said)
    return "a result"


def run_op(instance: DagsterInstance, body: Body, *, in_batches: bool) -> tuple[str, bool]:
    """Run a job whose op gives these events, and return the run's id and whether it went through."""

    @op(name="register_chunks", out=Out(Nothing))
    def register(context: OpExecutionContext) -> Iterator[ChunkEvent]:
        events = body()
        assert (yield from stored_in_batches(context, events) if in_batches else events) == "a result"

    @job(name="fleet_submit")
    def submit() -> None:
        register()

    result = submit.execute_in_process(instance=instance, raise_on_error=False)
    return result.run_id, result.success


def seen_by_run(instance: DagsterInstance, run_id: str) -> list[tuple[object, ...]]:
    """Return the events as the page of the run shows them, without the times."""
    return [
        (entry.level, entry.user_message, entry.job_name, entry.step_key, event._replace(logging_tags=None))
        for entry in instance.all_logs(run_id, of_type=KINDS)
        if (event := entry.dagster_event) is not None
    ]


def seen_by_asset(instance: DagsterInstance, key: AssetKey, since: int) -> tuple[object, ...]:
    """Return what the asset's page shows of events since the one of this number."""
    (record,) = instance.get_asset_records([key])
    newest = record.asset_entry.last_materialization_record
    assert newest is not None
    assert newest.storage_id == newest_of(instance, key)
    records = [
        (one.partition_key, one.asset_materialization)
        for one in instance.fetch_materializations(key, limit=10 * CHUNKS, ascending=True).records
        if one.storage_id > since
    ]
    tagged = instance.get_event_tags_for_asset(key, filter_tags={"dagster/code_version": "7"})
    return newest.partition_key, records, len(tagged)


def newest_of(instance: DagsterInstance, key: AssetKey) -> int:
    """Return the number of the newest materialization of an asset; 0 if there is none."""
    records = instance.fetch_materializations(key, limit=1).records
    return records[0].storage_id if records else 0


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


@pytest.mark.slow
def test_a_batch_says_what_single_events_say(sqlite: DagsterInstance) -> None:
    single, _ = run_op(sqlite, events_of_chunks, in_batches=False)
    expected = {key: seen_by_asset(sqlite, key, 0) for key in (MANIFEST, REGISTRATION)}
    ended = {key: newest_of(sqlite, key) for key in expected}

    batched, _ = run_op(sqlite, events_of_chunks, in_batches=True)

    assert seen_by_run(sqlite, batched) == seen_by_run(sqlite, single)
    assert len(seen_by_run(sqlite, batched)) == 2 * CHUNKS
    for key, (partition, records, tagged) in expected.items():
        found = seen_by_asset(sqlite, key, ended[key])
        assert found[:2] == (partition, records)
        assert found[2] == 2 * int(str(tagged))


def test_a_storage_without_batches_gets_each_event_from_dagster() -> None:
    with DagsterInstance.ephemeral() as instance:
        assert event_batches.batch_store(instance) is None
        run_id, succeeded = run_op(instance, lambda: events_of_chunks(2), in_batches=True)

        assert succeeded
        assert len(seen_by_run(instance, run_id)) == 4


def test_events_are_stored_soon_while_the_step_waits_and_all_of_them_when_it_fails(sqlite: DagsterInstance) -> None:
    seen_while_waiting: list[int] = []

    def waits_and_fails() -> Generator[ChunkEvent, None, str]:
        yield from events_of_chunks(3)
        deadline = time.monotonic() + SOON_SECONDS
        while newest_of(sqlite, REGISTRATION) == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        seen_while_waiting.append(newest_of(sqlite, REGISTRATION))
        yield AssetMaterialization(REGISTRATION, partition="last")
        raise Failure(allow_retries=False)

    run_id, succeeded = run_op(sqlite, waits_and_fails, in_batches=True)

    assert not succeeded
    assert seen_while_waiting[0] > 0
    assert len(seen_by_run(sqlite, run_id)) == 3 * 2 + 1
    assert [one.name for one in threading.enumerate() if one.name == "chunk-events"] == []


def test_a_storage_that_refuses_a_batch_ends_the_step_and_its_events(
    sqlite: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []

    def endless() -> Generator[ChunkEvent, None, str]:
        try:
            while True:
                yield AssetMaterialization(REGISTRATION, partition="one")
                time.sleep(0.01)
        finally:
            ended.append(True)

    def refuse(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(event_batches, "_store_in_sqlite", refuse)

    _, succeeded = run_op(sqlite, endless, in_batches=True)

    assert not succeeded
    assert ended == [True]


def test_a_writer_stores_every_entry_once_in_order_and_in_batches() -> None:
    stored: list[list[EventLogEntry]] = []
    entries = [
        EventLogEntry(None, "DEBUG", str(number), "run", 0.0)  # type: ignore[no-untyped-call]
        for number in range(2 * event_batches.BATCH + 1)
    ]

    def store(batch: object) -> None:
        assert isinstance(batch, list)
        stored.append(batch)

    with ChunkEventWriter(store) as writer:
        for entry in entries:
            writer.add(entry)

    assert [entry for batch in stored for entry in batch] == entries
    assert max(map(len, stored)) <= event_batches.BATCH
