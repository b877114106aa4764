"""The commands ``chunks`` and ``find``: what they print of chunks and of objects, and what they refuse."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.cli.options import ChunkStateName
from registration_pipeline.tracking.chunk_list import SHOWN_STATES
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import JournalEvent, JournalEventKind

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace

SOURCE = "fleet-cameras"


def test_the_option_has_the_states_of_status():
    assert tuple(state.value for state in ChunkStateName) == SHOWN_STATES


def test_chunks_agree_with_status_and_with_the_plan(synced: Workplace):
    chunks = synced.run("chunks", SOURCE, "--json").document["chunks"]

    numbers = synced.run("status", SOURCE, "--json").document["sources"][SOURCE]
    assert Counter(chunk["state"] for chunk in chunks) == {
        state: count for state, count in numbers["chunks"].items() if count
    }
    assert sum(chunk["objects"] for chunk in chunks) == 9
    assert sum(chunk["failed_units"] for chunk in chunks) == numbers["failed"] == 2
    assert {chunk["attempts"] for chunk in chunks} == {1}
    assert len({chunk["job_id"] for chunk in chunks}) == len(chunks)
    assert {chunk["wave_id"] for chunk in chunks} == {numbers["inventory_id"]}


def test_chunks_of_a_state_are_those_and_no_others(synced: Workplace):
    everything = synced.run("chunks", SOURCE, "--json").document["chunks"]
    failed = synced.run("chunks", SOURCE, "--state", "failed", "--state", "partially_failed", "--json").document[
        "chunks"
    ]

    assert failed == [chunk for chunk in everything if chunk["state"] in {"failed", "partially_failed"}]
    assert failed
    said = synced.run("chunks", SOURCE, "--state", "partially_failed")
    assert f"{len(failed)} chunks that are partially failed" in said.words
    assert failed[0]["chunk_id"] in said.out
    assert "unit failed (" in said.words


def test_a_wide_terminal_shows_a_table_with_whole_ids(synced: Workplace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    chunks = synced.run("chunks", SOURCE, "--json").document["chunks"]

    said = synced.run("chunks", SOURCE, terminal=True)

    assert "last message" in said.out
    assert all(chunk["chunk_id"] in said.out and chunk["job_id"] in said.out for chunk in chunks)


def test_a_state_that_there_is_not_is_refused(synced: Workplace):
    said = synced.run("chunks", SOURCE, "--state", "done")

    assert said.status == 2
    assert "partially_failed" in said.err


def test_a_chunk_whose_start_came_to_nothing_says_why(workplace: Workplace):
    workplace.put("a.jpg")
    (chunk_id,) = workplace.plan()
    project = workplace.project
    journal = Journal(project.store, SOURCE)
    at = project.snapshot(project.source(SOURCE)).history.latest
    assert at is not None
    for kind, message in ((JournalEventKind.INTENT, None), (JournalEventKind.NOT_SENT, "Encord refused the key.")):
        journal.append(
            JournalEvent(
                kind=kind,
                chunk_id=chunk_id,
                attempt=1,
                at=at.planned_at,
                message=message,
                folder_uuid="f" if message is None else None,
                manifest_sha256="s" if message is None else None,
            )
        )

    (chunk,) = workplace.run("chunks", SOURCE, "--json").document["chunks"]

    assert (chunk["state"], chunk["attempts"], chunk["message"]) == ("planned", 1, "Encord refused the key.")


def test_find_prints_the_whole_way_of_an_object(synced: Workplace):
    (found,) = synced.run("find", SOURCE, "day/frame_3.jpg", "--json").document["objects"]

    assert (found["place"], found["message"]) == ("failed", "The object can't be read (404).")
    assert found["listing"]["size"] == 1
    assert found["listing"]["last_modified"].endswith("Z")
    assert [attempt["is_registered"] for attempt in found["history"]] == [False]
    said = synced.run("find", SOURCE, "day/frame_3.jpg").words
    for value in (found["unit_id"], found["chunk_id"], found["history"][0]["job_id"], "submit fleet-cameras --failed"):
        assert value in said


@pytest.mark.parametrize(
    ("key", "words", "status"),
    [
        pytest.param("day/frame_0.jpg", "registered by attempt 1", 0, id="registered"),
        pytest.param("thumbs/a.jpg", 'left out by exclude "**/thumbs/**"', 0, id="excluded"),
        pytest.param("note.xyz", "rejected by plan", 0, id="rejected"),
        pytest.param("empty.jpg", "(empty)", 0, id="empty"),
        pytest.param("day/frame_9.jpg", "Nearest: 'day/frame_", 3, id="unknown"),
        pytest.param("day/", "It is a prefix, of 9 keys such as 'day/frame_0.jpg'; give whole keys.", 3, id="folder"),
        pytest.param("thumbs", "It is a prefix, of 1 key such as 'thumbs/a.jpg'", 3, id="folder without its slash"),
    ],
)
def test_find_says_why_an_object_is_where_it_is(synced: Workplace, key: str, words: str, status: int):
    said = synced.run("find", SOURCE, key)

    assert said.status == status
    assert synced.run("find", SOURCE, "day/frame_0.jpg", key, "--json").status == status
    assert words in said.words


def test_a_key_of_hostile_characters_is_printed_harmlessly(synced: Workplace):
    said = synced.run("find", SOURCE, "[red]\x1b[31m.jpg\n", terminal=True)

    assert said.status == 3
    assert "\x1b[31m.jpg" not in said.out
    assert "[red]" in said.out


def test_reading_commands_write_nothing_and_ask_nothing_of_encord(synced: Workplace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ENCORD_DOMAIN", "http://127.0.0.1:9")
    before = synced.files()

    assert synced.run("find", SOURCE, "day/frame_0.jpg").status == 0
    assert synced.run("chunks", SOURCE).status == 0
    assert synced.files() == before
