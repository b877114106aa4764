"""Marks in the memory of a machine: few files, however many claims are made, and none that other machines have."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.state import machine
from registration_pipeline.state.holder import Holder

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 27, 2, 0, tzinfo=UTC)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "MEMORY", tmp_path)
    monkeypatch.setattr(machine, "file_system_of", lambda _: "tmpfs")
    monkeypatch.setattr(machine, "_MARKS", {})
    return tmp_path


def test_a_thousand_claims_of_a_process_leave_one_file(memory: Path) -> None:
    marks = {Holder.current(NOW).mark for _ in range(1_000)}

    assert len(marks) == len([*memory.iterdir()]) == 1
    assert machine.is_marked(marks.pop())


def test_a_claim_after_ten_minutes_has_a_mark_of_its_own(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = machine.leave_mark()
    monkeypatch.setattr(machine, "_SHARED_SECONDS", 0)

    assert machine.leave_mark() != first
    assert len([*memory.iterdir()]) == 2


def test_a_mark_that_was_removed_is_not_used_again(memory: Path) -> None:
    first = machine.leave_mark()
    next(memory.iterdir()).unlink()

    assert not machine.is_marked(first)
    assert machine.leave_mark() != first


def test_a_forked_process_does_not_share_the_mark_of_its_parent(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = machine.leave_mark()
    monkeypatch.setattr("os.getpid", lambda: 4_194_304)

    assert machine.leave_mark() != first
    assert len([*memory.iterdir()]) == 2
