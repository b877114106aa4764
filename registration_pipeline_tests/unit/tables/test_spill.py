"""Rows set aside on disk: what goes in comes out, in its key's partition, and memory does not hold it meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from registration_pipeline.audit import report as audit_report
from registration_pipeline.audit.report import FindingSpool
from registration_pipeline.audit.rows import FindingRow
from registration_pipeline.errors import StateError
from registration_pipeline.tables import spill as spills
from registration_pipeline.tables.spill import Spill, SpillRoom, partitions_for


class Word(NamedTuple):
    text: str
    note: str | None
    number: int
    is_short: bool


class Other(NamedTuple):
    number: int


WORDS = [Word(text, None if number % 3 else "é\0\n", number, len(text) < 2) for number, text in enumerate("abcde" * 4)]


def by_number(word: Word) -> int:
    return word.number


@pytest.fixture(params=[1, 3, 1000], ids=lambda rows: f"{rows} buffered")
def room(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpillRoom:
    """Room for seven partitions, written after this many rows."""
    monkeypatch.setattr(spills, "_BUFFERED_ROWS", request.param)
    return SpillRoom(tmp_path, 7)


def test_every_row_comes_back_once_and_in_the_order_of_its_partition(room: SpillRoom):
    spill = room.spill("words", Word)
    for word in WORDS:
        spill.add(word.text.encode(), word)

    read = [list(spill.read(partition)) for partition in spill.partitions]

    assert spill.rows == len(WORDS)
    assert sorted((word for words in read for word in words), key=by_number) == WORDS
    assert all(words == sorted(words, key=by_number) for words in read)


def test_rows_of_one_key_are_in_partitions_of_one_number_whatever_they_are(room: SpillRoom):
    words, others = room.spill("words", Word), room.spill("others", Other)
    for word in WORDS:
        words.add(word.text.encode(), word)
        others.add(word.text.encode(), Other(word.number))

    for partition in words.partitions:
        assert [word.number for word in words.read(partition)] == [other.number for other in others.read(partition)]


def test_reading_leaves_the_rows_and_taking_removes_them(room: SpillRoom):
    spill = room.spill("words", Word)
    spill.add(b"", WORDS[0])

    (partition,) = (number for number in spill.partitions if list(spill.read(number)))

    assert list(spill.take(partition)) == [WORDS[0]]
    assert list(spill.read(partition)) == []
    assert list(room.folder.iterdir()) == []


def test_rows_may_be_added_to_other_partitions_while_one_is_read(room: SpillRoom):
    first, second = room.spill("first", Word), room.spill("second", Word)
    for word in WORDS:
        first.add(word.text.encode(), word)
    for partition in first.partitions:
        for word in first.take(partition):
            second.add(str(word.number).encode(), word)

    read = (word for partition in second.partitions for word in second.read(partition))
    assert sorted(read, key=by_number) == WORDS


def test_a_folder_without_room_says_what_to_do(tmp_path: Path):
    spill = Spill(tmp_path / "missing", "words", Word, partitions=1)
    spill.add(b"", WORDS[0])

    with pytest.raises(StateError, match="TMPDIR"):
        list(spill.read(0))


@pytest.mark.parametrize(("rows", "partitions"), [(0, 1), (1, 1), (100, 1), (101, 2), (10**9, 512)])
def test_partitions_grow_with_the_rows_up_to_a_limit(rows: int, partitions: int):
    assert partitions_for(rows, 100) == partitions


def test_findings_are_sorted_with_few_open_files_however_many_runs_there_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_report, "_RUN_BYTES", 2)
    monkeypatch.setattr(audit_report, "_BATCH_ROWS", 2)
    spool = FindingSpool(tmp_path)
    keys = [f"{number * 7919 % 1000:04d}" for number in range(1000)]
    for key in keys:
        spool.add(FindingRow("missing", key, None, None, None, 1, None, None, None))
    opened = 0

    found = []
    for row in spool.sorted_rows():
        found.append(row.key)
        if len(found) % 250 == 1:
            opened = max(opened, sum(path.is_relative_to(tmp_path) for path in open_files()))

    assert found == sorted(keys)
    assert opened <= 128


def open_files() -> list[Path]:
    return [path.resolve() for path in Path("/proc/self/fd").iterdir() if path.exists()]
