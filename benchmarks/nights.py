"""What a quiet night asks of a state in a bucket: after 10 and 300 nights, and after 1,000 and 100,000 chunks."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, environment, write_configuration
from benchmarks.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa

    from benchmarks.measure import Stopwatch

NIGHTS = (10, 300)
CHUNKS = (1_000, 100_000)
MOST_FOR_NIGHTS = 10
MOST_FOR_CHUNKS = 350
_KINDS = ("GET", "HEAD", "LIST", "PUT", "DELETE")


def run(objects: int, folder: Path) -> Table:  # noqa: ARG001 - the number of nights and chunks is given
    """Count the requests of a night's sync; everything is written below ``folder``."""
    table = Table(
        "nights: requests to a state in a bucket, of a `sync` in which nothing is new",
        ("after", *_KINDS, "together", "of these for journals"),
    )
    totals: dict[tuple[int, int], int] = {}
    for nights, chunks in [*((nights, 1) for nights in NIGHTS), *((1, chunks) for chunks in CHUNKS)]:
        place = folder / f"{nights}-{chunks}"
        config = write_configuration(place, chunk_size=1)
        counted = run_stage(quiet_night, environment(config), nights=nights, chunks=chunks).facts
        requests = counted["requests"]
        totals[nights, chunks] = sum(requests.values())
        what = f"{nights} nights of one new chunk" if chunks == 1 else f"one night of {chunks:,} chunks"
        numbers = [f"{requests.get(kind, 0):,}" for kind in _KINDS]
        table.add(what, *numbers, f"{totals[nights, chunks]:,}", f"{counted['listed'].get('journal/', 0):,}")
    place = folder / "moto"
    served = run_stage(night_on_s3, environment(write_configuration(place, chunk_size=1)), nights=NIGHTS[0]).facts
    numbers = [f"{served['requests'].get(kind, 0):,}" for kind in _KINDS]
    table.add(f"{NIGHTS[0]} nights, counted by moto's server", *numbers, f"{sum(served['requests'].values()):,}", "")
    more_nights = totals[NIGHTS[1], 1] - totals[NIGHTS[0], 1]
    more_chunks = totals[1, CHUNKS[1]] - totals[1, CHUNKS[0]]
    table.notes.append(_verdict(f"{NIGHTS[1]} nights instead of {NIGHTS[0]}", more_nights, MOST_FOR_NIGHTS))
    table.notes.append(_verdict(f"{CHUNKS[1]:,} chunks instead of {CHUNKS[0]:,}", more_chunks, MOST_FOR_CHUNKS))
    return table


def _verdict(what: str, more: int, most: int) -> str:
    return f"{what}: {more:+,} requests, {'within' if more <= most else 'above'} {most}."


def quiet_night(watch: Stopwatch, *, nights: int, chunks: int) -> None:
    """Stage: make a state in memory with that many nights of that many new chunks, then count what one more sync asks."""
    from benchmarks.counting_store import CountingStore

    past = CountingStore()
    live(past, nights=nights, chunks=chunks)
    store = CountingStore(past)
    with watch:
        sync(store, nights * chunks, before=store.reset)
    watch.facts.update(requests=dict(store.requests), listed=dict(store.listed))


def night_on_s3(watch: Stopwatch, *, nights: int) -> None:
    """Stage: the same with the state in a real S3 client's bucket, and the server counts."""
    import obstore

    from benchmarks.counting_store import CountingStore
    from registration_pipeline.state.bucket import open_bucket_state_store

    past = CountingStore()
    live(past, nights=nights, chunks=1)
    with s3_server() as requests:
        store = open_bucket_state_store("s3://nights/state")
        for name in past.names(""):
            obstore.put(store._store, name, past.read(name))  # noqa: SLF001 - as it is, not through the state's rules
        with watch:
            sync(store, nights, before=requests.clear)
    watch.facts.update(requests=dict(requests))


@contextmanager
def s3_server() -> Iterator[Counter[str]]:
    """Run moto's server in this process, and give what it counts; the environment of S3 clients is set."""
    import logging
    from threading import Thread

    import boto3
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    from benchmarks.bucket_server import QuietRequestHandler

    requests: Counter[str] = Counter()
    app = DomainDispatcherApplication(create_backend_app)

    def counted(environ: dict[str, Any], start_response: Any) -> Any:
        method = "LIST" if "list-type=2" in environ.get("QUERY_STRING", "") else environ["REQUEST_METHOD"]
        requests["DELETE" if method == "POST" else method] += 1  # obstore posts what is to be deleted
        return app(environ, start_response)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=QuietRequestHandler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    os.environ.update(AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.server_port}", AWS_REGION="us-east-1")
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="nights")
    yield requests
    server.shutdown()
    server.server_close()


def live(store: Any, *, nights: int, chunks: int) -> None:
    """List, plan and register night after night, each with that many new objects, a chunk for each."""
    from registration_pipeline.planning.plan import plan_source
    from registration_pipeline.project.project import Project
    from registration_pipeline.tracking.journal.journal import Journal

    source = Project.load().source(SOURCE)
    for night in range(1, nights + 1):
        take_inventory_of(store, night * chunks)
        plan = plan_source(store=store, source=source, clock=now)
        assert len(plan.chunks) == chunks
        register(store, [chunk.chunk_id for chunk in plan.chunks])
        Journal(store, SOURCE).summarise()


def register(store: Any, chunk_ids: list[str]) -> None:
    """Write what registering chunks of one object would have written to the journal, and a term of the lease."""
    from threading import Event

    from benchmarks.quiet_night import entries_of
    from registration_pipeline.state.lease import hold_lease
    from registration_pipeline.tracking.journal.journal import Journal
    from registration_pipeline.tracking.journal.states import JournalEvent

    journal = Journal(store, SOURCE)
    with hold_lease(store, SOURCE, clock=now, notify=print, stop=Event()):
        for chunk_id in chunk_ids:
            for facts in entries_of(1):
                journal.append(JournalEvent(chunk_id=chunk_id, attempt=1, at=now(), **facts))


def sync(store: Any, objects: int, *, before: Callable[[], object] = lambda: None) -> None:
    """Run the command on that state and a bucket of that many objects, in this process, calling ``before`` before it.

    Dagster is given for an answer that it shows every chunk as registered: recording 100,000 of them would take an hour.
    Encord, which a sync asks for its key and folder first, is left out: it is not the state.
    """
    from unittest.mock import patch

    from registration_pipeline.cli.app import run as run_command
    from registration_pipeline.planning.history import load_chunks_of, load_history
    from registration_pipeline.project.project import Project

    shown = set(load_chunks_of(store, load_history(store, SOURCE)))
    before()

    with (
        patch("registration_pipeline.state.factory.open_state_store", lambda _: store),
        patch.object(Project, "ask_encord", lambda *_: None),
        patch("registration_pipeline.orchestration.jobs.shown_as_done", lambda *_: shown),
        patch("registration_pipeline.project.clients.listers.make_lister", lambda *_, **__: _Listed(objects)),
    ):
        status = run_command(["sync", SOURCE, "--json"])
    assert status == 0, status


class _Listed:
    """``ObjectLister`` of that many keys, in order."""

    requests = 0
    description = "a benchmark's bucket"

    def __init__(self, objects: int) -> None:
        self._objects = objects

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        from benchmarks.synthetic import SyntheticLister

        return SyntheticLister(self._objects).list_objects()


def take_inventory_of(store: Any, objects: int) -> None:
    """List a bucket of that many objects."""
    from registration_pipeline.inventory.inventory import take_inventory

    take_inventory(lister=_Listed(objects), store=store, source=SOURCE, clock=now)


def now() -> datetime:
    """Return the time."""
    from registration_pipeline.project.project import utc_now

    return utc_now()
