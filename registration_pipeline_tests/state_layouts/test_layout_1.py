"""Layout 1 of the stored state, proven on a state that an earlier version of the code wrote.

``layout_1/`` is never written again. A test that fails here says that a version reads, counts or writes something else than
the one that made it: that needs a new layout and an upgrade, which is proven here too.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.facts.sets import latest_facts, read_facts
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.planning.wave import load_chunks, load_waves, read_chunk_units
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline.state.version import require_layout
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline_tests.state_layouts.describe import description, manifests, names, numbers
from registration_pipeline_tests.state_layouts.going_on import LAYOUT_1, continued
from registration_pipeline_tests.state_layouts.make_layout_1 import make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORDED: dict[str, Any] = json.loads((LAYOUT_1 / "recorded.json").read_text(encoding="utf-8"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A copy of the state, to read and to go on from."""
    return shutil.copytree(LAYOUT_1 / "state", tmp_path / "state")


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_state_is_accepted(state: Path) -> None:
    assert require_layout(LocalStateStore(state), "fleet")


def test_it_shows_the_numbers_that_were_recorded(state: Path) -> None:
    before = bytes_below(state)

    assert json.loads(json.dumps(numbers(LocalStateStore(state)))) == RECORDED["numbers"]

    assert bytes_below(state) == before


def test_it_has_chunks_in_every_state(state: Path) -> None:
    store = LocalStateStore(state)
    journal = Journal(store, "fleet")
    found = {journal.progress(chunk_id).state for chunk_id in (*load_chunks(store, "fleet"), *journal.chunk_ids())}

    assert found == set(ChunkState)


def test_every_manifest_is_made_again_with_the_same_bytes(state: Path) -> None:
    stored = bytes_below(state / "fleet" / "manifests")
    made = manifests(LocalStateStore(state), state / "fleet")

    assert {name: data for name, data in bytes_below(state / "fleet" / "manifests").items() if name in stored} == stored
    assert len(made) == RECORDED["numbers"]["chunk_count"]
    assert RECORDED["manifests"] == {name: len(data) for name, data in made.items()}


def test_going_on_sends_nothing_twice(state: Path) -> None:
    fleet = continued(LocalStateStore(state), LAYOUT_1)
    held = fleet.encord.urls()
    assert len(held) == len(set(held)) > 0

    fleet.register_until_done()
    fleet.register(tasks=fleet.tasks(retry_failed=True))

    assert sorted(fleet.encord.urls()) == fleet.urls()
    assert {outcome.verdict.is_registered for outcome in fleet.outcomes()} == {True}


def test_a_night_after_it_plans_only_what_is_new(state: Path) -> None:
    fleet = continued(LocalStateStore(state), LAYOUT_1)
    planned = list(fleet.chunks)
    before = bytes_below(state / "fleet" / "plan")

    fleet.put("raw/later.jpg").sync()

    assert [chunk.objects for chunk in fleet.chunks if chunk not in planned] == [1]
    assert [chunk for chunk in fleet.chunks if chunk in planned] == planned
    after = bytes_below(state / "fleet" / "plan")
    assert {name: data for name, data in after.items() if name in before} == before


def test_a_chunk_that_is_found_by_place_is_among_them(state: Path) -> None:
    store = LocalStateStore(state)
    (placed,) = (chunk for chunk in load_chunks(store, "fleet").values() if chunk.first_row is not None)

    assert [entry.key for unit in read_chunk_units(store, "fleet", placed) for entry in unit.objects] == [
        "raw/03.pdf",
        "raw/12.pdf",
    ]


def test_the_facts_and_the_inventory_are_read(state: Path) -> None:
    store = LocalStateStore(state)
    facts = latest_facts(store, "fleet", "headers")
    inventory = latest_inventory(store, "fleet")

    assert facts is not None
    assert [row for batch in read_facts(store, facts) for row in batch.to_pylist()] == [
        {"key": "raw/00.jpg", "e_tag": "written again", "modality": "CT"}
    ]
    assert inventory is not None
    assert inventory.inventory_id == load_waves(store, "fleet")[-1].inventory_id


@pytest.fixture(scope="module")
def made_today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same state, written by the code as it is."""
    folder = tmp_path_factory.mktemp("layout")
    make(folder)
    return folder / "state" / "fleet"


OPTIONAL = {
    "plan/…/_SUCCESS.json": {
        ".counts.changed_units: int",
        ".counts.deleted_units: int",
        ".counts.held_units: int",
        ".counts.rejected_suffixes..part: int",
        ".counts.rejected_suffixes: object",
        ".grouped_by: list",
        ".groupings: list",
        ".groupings[]: str",
        ".uri: str",
        ".warnings.first: list",
        ".warnings.first[]: str",
        ".warnings.total: int",
    },
    "ledger/…/_SUCCESS.json": {".group_runs: list"},
    **{key: {"trace_id: string"} for key in ("failures/…/….parquet", "failure_log/…/….parquet")},
    **{key: {"trace_id"} for key in ("failures/…/….csv", "failure_log/…/….csv")},
}
"""What later versions of layout 1 write besides: readers do without it. Those of the lineage's entries and of the newest wave
in the ledger are the same as those of the wave's own marker."""


def optional_members(kind: str) -> set[str]:
    wave = OPTIONAL["plan/…/_SUCCESS.json"]
    return {
        "lineage/…/….json": wave,
        "ledger/…/_SUCCESS.json": OPTIONAL["ledger/…/_SUCCESS.json"] | {f".latest{member}" for member in wave},
    }.get(kind, OPTIONAL.get(kind, set()))


def test_what_is_written_today_has_the_same_columns_and_members_and_the_optional_ones(made_today: Path) -> None:
    today = description(made_today)
    before = description(LAYOUT_1 / "state" / "fleet")

    assert today.keys() == before.keys()
    for kind, content in before.items():
        assert {*content} <= {*today[kind]} <= {*content} | optional_members(kind), kind


def test_what_is_written_today_has_the_same_names(made_today: Path) -> None:
    assert names(made_today) == names(LAYOUT_1 / "state" / "fleet")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data.replace(b'"registered"', b'"accepted"'), id="a word"),
        pytest.param(lambda data: bytes([data[0] ^ 1]) + data[1:], id="a bit"),
    ],
)
def test_the_description_of_a_state_tells_a_changed_file_from_the_one_that_was_written(
    state: Path, damage: Callable[[bytes], bytes]
) -> None:
    """The comparison above can fail: it sees what is in the files."""
    path = max((state / "fleet" / "journal").rglob("*-closed.json"))
    path.write_bytes(damage(path.read_bytes()))

    try:
        changed = description(state / "fleet")
    except ValueError:
        return  # not even JSON any more
    assert changed != description(LAYOUT_1 / "state" / "fleet")
