"""Makes the state that proves layout 1: a small source in every condition that a state can be in, by the product's own code.

``python -m registration_pipeline_tests.state_layouts.make_layout_1 FOLDER`` writes there ``state/``, ``encord.json`` (what
Encord and the bucket hold, so that a test can go on from it) and ``recorded.json`` (what the code that wrote it says of it).
Use it as a pattern when a new layout is made; the state of layout 1 is never written again.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from registration_pipeline.errors import HaltError, PermanentError
from registration_pipeline.facts.sets import facts_schema, write_facts
from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.wave_writer import StateWaveWriter
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.submission.testing import StartScript
from registration_pipeline_tests.state_layouts.describe import manifests, numbers
from registration_pipeline_tests.unit.conftest import Crash, CrashingStore, Fleet

if TYPE_CHECKING:
    from registration_pipeline.planning.wave import PlannedChunk

FARTHEST_ROWS = 6
"""Small, so that the chunk of PDFs among the images is found by its place."""


def make(folder: Path) -> Fleet:
    """Write the state and what Encord holds into an empty folder, and return the fleet that did it."""
    fleet = Fleet(store=LocalStateStore(folder / "state"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "registration_pipeline.planning.planning_run.StateWaveWriter",
            partial(StateWaveWriter, farthest_rows=FARTHEST_ROWS),
        )
        _first_night(fleet)
        _second_night(fleet)
    fleet.sync()  # a night in which nothing changed
    _facts(fleet)
    (folder / "encord.json").write_text(json.dumps(_encord(fleet), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return fleet


def _first_night(fleet: Fleet) -> None:
    fleet.configure(exclude=["skip/*"], chunk_size={"images": 4, "pdfs": 2})
    fleet.put(*(f"raw/{number:02d}.jpg" for number in range(16)), "raw/03.pdf", "raw/12.pdf", "raw/é +%.jpg")
    fleet.put("raw/skip/a.jpg", "raw/film.avi.part")
    fleet.put("raw/empty.jpg", size=0)
    fleet.sync()
    images = [chunk for chunk in fleet.chunks if chunk.kind is MediaKind.IMAGE]
    (pdfs,) = (chunk for chunk in fleet.chunks if chunk.kind is MediaKind.PDF)
    assert pdfs.first_row is not None
    assert all(chunk.first_row is None for chunk in images)
    fleet.encord.fails = lambda url: "Could not decode the file" if url.endswith("01.jpg") else None
    _register(fleet, images[0])  # partially failed, once
    _register(fleet, images[0])  # … and once more
    _register(fleet, pdfs)
    fleet.encord.refuses = lambda manifest: (
        PermanentError("400: 05.jpg is not acceptable") if "05.jpg" in json.dumps(manifest) else None
    )
    _register(fleet, images[1])  # halved down to the one entry that is refused
    fleet.encord.refuses = lambda _: PermanentError("400: refused as a whole")
    with suppress(Crash):
        _register(fleet, images[3], store=CrashingStore(fleet.store, 1, "after", "-split.json"))
    fleet.encord.refuses = lambda _: None
    fleet.encord.fails = lambda url: "403 Forbidden" if url.rsplit("/", 1)[-1] in ("08.jpg", "09.jpg") else None
    _register(fleet, images[2])
    fleet.journal.summarise()


def _second_night(fleet: Fleet) -> None:
    """More objects, some changed and gone; and chunks that stay where a process ended."""
    fleet.encord.fails = lambda url: "Could not decode the file" if "bad" in url else None
    fleet.put("raw/00.jpg", e_tag="written again")
    del fleet.objects["raw/02.jpg"]
    fleet.put(*(f"raw/new/bad{number}.jpg" for number in range(4)), *(f"raw/new/c{number}.jpg" for number in range(14)))
    fleet.sync()
    newest = [chunk for chunk in fleet.chunks if chunk.wave_id == fleet.chunks[-1].wave_id]
    _register(fleet, newest[0])  # every object failed
    fleet.encord.starts = [StartScript.HALT]
    with suppress(HaltError):
        _register(fleet, newest[1])  # nothing was sent: the attempt is closed
    for chunk, moment in ((newest[2], "-intent.json"), (newest[3], "-job.json")):
        with suppress(Crash):
            _register(fleet, chunk, store=CrashingStore(fleet.store, 1, "after", moment))


def _register(fleet: Fleet, chunk: PlannedChunk, **options: Any) -> None:
    tasks = [task for task in fleet.tasks(retry_failed=True) if task.chunk == chunk]
    fleet.register(tasks=tasks, **options)


def _facts(fleet: Fleet) -> None:
    schema = facts_schema(pa.field("modality", pa.string()))
    rows = [{"key": "raw/00.jpg", "e_tag": "written again", "modality": "CT"}]
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    write_facts(fleet.store, "fleet", "headers", "20261121T020100Z", [batch], schema=schema, made_at=fleet.time.clock())


def _encord(fleet: Fleet) -> dict[str, Any]:
    items = {
        folder: [{**asdict(item), "created_at": item.created_at.isoformat()} for item in held]
        for folder, held in fleet.encord.items.items()
    }
    objects = {
        key: {**facts, "last_modified": facts["last_modified"].isoformat()} for key, facts in fleet.objects.items()
    }
    return {
        "seconds": fleet.time.monotonic(),
        "folders": fleet.encord.folders,
        "items": items,
        "bucket": objects,
    }


if __name__ == "__main__":
    target = Path(sys.argv[1])
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    made = make(target)
    with tempfile.TemporaryDirectory() as scratch:
        copy = shutil.copytree(target / "state", Path(scratch) / "state")  # making the missing manifests writes them
        sizes = {name: len(data) for name, data in manifests(LocalStateStore(copy), copy / "fleet").items()}
    recorded = {"numbers": numbers(made.store), "manifests": sizes}
    (target / "recorded.json").write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n", encoding="utf-8")
