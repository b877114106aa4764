"""A process that reads objects is killed, twice; the next one loses a part at the most, and clears away what they left."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from registration_pipeline.facts.headers.kind import HEADER_KIND
from registration_pipeline.facts.readers.local import LocalReader
from registration_pipeline.facts.reading.reading import ObjectReading
from registration_pipeline.facts.sets import FactSet, latest_facts, read_facts
from registration_pipeline.facts.sidecars.reading import read_sidecars
from registration_pipeline.inventory.inventory import Inventory, read_inventory, take_inventory
from registration_pipeline.inventory.local import LocalLister
from registration_pipeline.settings.metadata import MetadataEntry
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.dicom_files import image, uid, written

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("reading_child.py")
FILES = 120


def kill_at(bucket: Path, state: Path, key: str, what: str) -> None:
    """Let another process read until it comes to an object, and kill it there."""
    command = [sys.executable, str(CHILD), str(bucket), str(state), key, what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "there\n"
        child.kill()


def put_scan(bucket: Path, number: int) -> None:
    (bucket / f"{number:04d}").write_bytes(written(image(number % 2 + 1, number % 5 + 1, number)))


def put_with_sidecar(bucket: Path, number: int) -> None:
    (bucket / f"{number:04d}").write_bytes(b"x")
    (bucket / f"{number:04d}.json").write_text(f'{{"number": {number}}}')


def inventory_of(bucket: Path, store: LocalStateStore) -> Inventory:
    return take_inventory(lister=LocalLister(bucket), store=store, source="clinic", clock=lambda: datetime.now(UTC))


def check_left(state: Path, facts: FactSet) -> None:
    """Check that nothing is left in the state but the set."""
    left = [path for path in (state / "clinic" / "facts").rglob("*") if path.is_file()]
    assert {path.parent.name for path in left} == {facts.facts_id}
    assert sorted(path.name.partition("-")[0] for path in left) == ["_SUCCESS.json", "part"]


def test_a_reading_of_headers_goes_on_after_kills_and_nothing_is_read_twice_but_a_part(tmp_path: Path) -> None:
    bucket, state = tmp_path / "bucket", tmp_path / "state"
    bucket.mkdir()
    for number in range(FILES):
        put_scan(bucket, number)
    store = LocalStateStore(state)
    inventory = inventory_of(bucket, store)

    kill_at(bucket, state, "0055", "headers")  # 40 are kept
    assert latest_facts(store, "clinic", "headers") is None
    kill_at(bucket, state, "0105", "headers")  # these, and 60 more
    assert latest_facts(store, "clinic", "headers") is None

    reader = LocalReader(bucket)
    reading = ObjectReading(
        kind=HEADER_KIND, store=store, source="clinic", reader=reader, clock=lambda: datetime.now(UTC)
    )
    result = reading.read(lambda: read_inventory(store, inventory), {})

    assert (result.progress.cached, result.progress.read, reader.requests) == (100, 20, 20)
    assert result.facts is not None
    rows = [row for batch in read_facts(store, result.facts) for row in batch.to_pylist()]
    assert [(row["key"], row["series"]) for row in rows] == [
        (f"{number:04d}", uid(number % 2 + 1, number % 5 + 1)) for number in range(FILES)
    ]
    check_left(state, result.facts)


def test_a_reading_of_sidecars_goes_on_after_kills_and_nothing_is_read_twice_but_a_part(tmp_path: Path) -> None:
    bucket, state = tmp_path / "bucket", tmp_path / "state"
    bucket.mkdir()
    for number in range(FILES):
        put_with_sidecar(bucket, number)
    store = LocalStateStore(state)
    inventory = inventory_of(bucket, store)

    kill_at(bucket, state, "0055.json", "sidecars")
    kill_at(bucket, state, "0105.json", "sidecars")
    reader = LocalReader(bucket)
    facts = read_sidecars(
        store=store,
        source="clinic",
        inventory=inventory,
        entry=MetadataEntry(sidecar=".json"),
        reader=reader,
        clock=lambda: datetime.now(UTC),
    )

    assert reader.requests == 20
    rows = [row for batch in read_facts(store, facts) for row in batch.to_pylist()]
    assert [(row["key"], row["values"]) for row in rows] == [
        (f"{number:04d}", f'{{"number":{number}}}') for number in range(FILES)
    ]
    check_left(state, facts)
