"""A state that another version wrote is refused by every command, and nothing in it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.state.sealed import open_sealed, sealed_json
from registration_pipeline_tests.unit.cli.conftest import SOURCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.unit.cli.conftest import Workplace

COMMANDS = {
    "check": ("check",),
    "sync": ("sync",),
    "inventory": ("inventory", SOURCE),
    "plan": ("plan", SOURCE),
    "plan --dry-run": ("plan", SOURCE, "--dry-run"),
    "submit": ("submit", SOURCE),
    "submit --failed": ("submit", SOURCE, "--failed"),
    "cancel": ("cancel", SOURCE, "--chunk", "20261121T020000Z-images-000001"),
    "status": ("status",),
    "failures": ("failures",),
    "audit": ("audit", SOURCE),
    "audit --adopt": ("audit", SOURCE, "--adopt"),
}


def other_layout(data: bytes) -> bytes:
    return sealed_json({**open_sealed(data), "layout": 2, "created_by": "9.9.9"})


CONDITIONS = {
    "another layout": (other_layout, ("layout 2", "9.9.9", "knows layout 1", "--adopt")),
    "no state.json": (lambda _: None, ("has no state.json", "--adopt")),
    "damaged": (lambda data: data.replace(b'"layout":1', b'"layout":7'), ("is damaged", "backup", "--adopt")),
}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_state_of_another_version_is_refused_with_what_to_do_and_stays_as_it_is(
    synced_state: Workplace, command: str, condition: str
) -> None:
    change, words = CONDITIONS[condition]
    spoil(synced_state, change)
    before = synced_state.files()

    said = synced_state.run(*COMMANDS[command])

    assert said.status == 2, said.words
    for word in ("state.json", *words):
        assert word in said.words
    assert "Traceback" not in said.words
    assert synced_state.files() == before


def spoil(workplace: Workplace, change: Callable[[bytes], bytes | None]) -> None:
    path = workplace.root / "state" / SOURCE / "state.json"
    data = change(path.read_bytes())
    path.unlink()
    if data is not None:
        path.write_bytes(data)


@pytest.fixture
def synced_state(workplace: Workplace) -> Workplace:
    """A state that is written, small: one object, planned."""
    workplace.put("a.jpg")
    workplace.plan()
    return workplace


def test_a_source_without_a_state_is_not_refused_and_reading_commands_begin_none(workplace: Workplace) -> None:
    assert workplace.run("status").status == 0
    assert workplace.files() == {}


def test_the_first_inventory_says_the_layout_before_anything_else(synced_state: Workplace) -> None:
    path = synced_state.root / "state" / SOURCE / "state.json"
    document = open_sealed(path.read_bytes())

    assert (document["layout"], document["source"]) == (1, SOURCE)
    assert set(document) == {"layout", "source", "created_at", "created_by"}
