"""Messages arrive at least once: kills between recording and sending, channels that are down, and two that see the same."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import StateError
from registration_pipeline.notify import IncidentKind, send_again
from registration_pipeline.notify.known import Fingerprint, compare
from registration_pipeline.notify.records import AlertRecords
from registration_pipeline.state.holder import Holder
from registration_pipeline.verification.state import verify_state
from registration_pipeline_tests.message_servers import MessageServer, Reply, message_server
from registration_pipeline_tests.unit.notify.conftest import QUICK, SOURCE, Story, failed, rejected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.tracking.failures.files import FailureRow


class KilledError(BaseException):
    """What a kill looks like from inside: nothing after it is done."""


def again(story: Story, minutes: int) -> None:
    """Let what sends again come by after some time."""
    story.now += timedelta(minutes=minutes)
    settings = story.settings
    send_again(
        story.store,
        settings,
        settings.sources[SOURCE],
        environ={},
        warn=story.warnings.append,
        clock=lambda: story.now,
        patience=QUICK,
    )


def killed_between_recording_and_sending(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as killing:
        killing.setattr("registration_pipeline.notify.delivery.send_to_all", kill)
        with pytest.raises(KilledError):
            story.night(failed("a.jpg"))


def test_a_message_whose_process_was_killed_before_it_was_sent_is_sent_by_the_next(
    story: Story, webhook: MessageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_between_recording_and_sending(story, monkeypatch)
    assert webhook.kinds == []
    again(story, 1)
    assert webhook.kinds == []  # its process may be sending it right now

    again(story, 15)
    again(story, 15)
    story.night(failed("a.jpg"))

    assert webhook.kinds == ["failed"]
    assert webhook.documents[0]["id"] == "fleet-cameras/00000001"


def test_a_process_that_is_dead_for_certain_is_not_waited_for(
    story: Story, webhook: MessageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_between_recording_and_sending(story, monkeypatch)
    monkeypatch.setattr(Holder, "is_dead_for_certain", lambda _: True)

    again(story, 1)

    assert webhook.kinds == ["failed"]


def test_what_a_channel_did_not_take_is_sent_to_that_channel_alone(webhook: MessageServer) -> None:
    with message_server() as other:
        story = Story([{"webhook": webhook.url}, {"webhook": other.url}])
        other.answer(Reply(status=404))
        assert story.night(failed("a.jpg"))
        other.answer(Reply())
        for minutes in (4, 2, 60):
            again(story, minutes)

        assert len(webhook.received) == 1
        assert [len(other.received), other.documents[0] == other.documents[1]] == [2, True]


def test_a_channel_that_stays_down_is_tried_six_times_within_a_day(story: Story, webhook: MessageServer) -> None:
    webhook.answer(Reply(status=404))
    assert not story.night(failed("a.jpg"))
    for _ in range(48 * 60):
        again(story, 1)

    assert len(webhook.received) == 6
    assert len(story.warnings) == 6


def test_of_many_processes_that_see_the_same_run_one_sends(webhook: MessageServer) -> None:
    story = Story([{"webhook": webhook.url}])
    story.night(failed("a.jpg"))
    webhook.forget()
    story.now += timedelta(hours=1)
    start = threading.Barrier(6)

    def see() -> None:
        start.wait()
        story.happens(IncidentKind.KILLED, minutes=0, run_id="the run", error="its process 7 is gone")

    threads = [threading.Thread(target=see) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert webhook.kinds == ["killed"]
    assert story.warnings == []


def test_a_damaged_record_is_a_warning_and_does_not_silence_what_comes(story: Story, webhook: MessageServer) -> None:
    story.night(failed("a.jpg"))
    name = f"{SOURCE}/alerts/00000001.json"
    data = story.store.read(name)
    story.store.delete(name)
    story.store.create(name, data.replace(b"a.jpg", b"b.jpg"))

    assert story.night(failed("c.jpg"))
    assert not story.night(failed("c.jpg"))

    assert "00000001.json" in story.warnings[0]
    assert webhook.kinds == ["failed", "failed"]


def test_a_state_that_can_not_be_written_is_a_warning_and_never_an_error(
    story: Story, webhook: MessageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StateError("The state can't be written: the disk is full.")

    monkeypatch.setattr(type(story.store), "create", refuse)

    assert not story.night(failed("c.jpg"))
    assert webhook.kinds == []

    assert story.warnings == ["fleet-cameras: no message could be sent: The state can't be written: the disk is full."]
    assert webhook.kinds == []


def test_a_halt_is_reported_although_the_state_is_down_once_by_each_process(
    story: Story, webhook: MessageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StateError("The state can't be read: no answer.")

    monkeypatch.setattr(type(story.store), "read", refuse)
    for _ in range(3):
        story.happens(IncidentKind.HALTED, run_id="a-run", error="The state can't be read: no answer.")

    (document,) = webhook.documents
    assert document["id"] == "fleet-cameras/unrecorded-a-run"
    assert "can't be recorded, so it may be repeated" in story.warnings[0]


def test_lost_digests_make_all_failures_new_rather_than_none(story: Story, webhook: MessageServer) -> None:
    story.night(failed("a.jpg"))
    for name in [name for name in story.store.names(f"{SOURCE}/alerts/") if name.endswith(".parquet")]:
        story.store.delete(name)

    story.night(failed("a.jpg"), failed("b.jpg"))

    assert [document["new_objects"] for document in webhook.documents] == [1, 2]
    assert "all failures are new" in story.warnings[0]


def test_old_digests_do_not_stay(story: Story) -> None:
    for number in range(1, 5):
        story.night(*(failed(f"{one}.jpg") for one in range(number)))

    parts = [name for name in story.store.names(f"{SOURCE}/alerts/") if name.endswith(".parquet")]
    assert len(parts) == 1


def test_failures_beyond_the_sorting_memory_are_compared_exactly(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registration_pipeline.notify.known._SORT_BYTES", 4_000)
    monkeypatch.setattr("registration_pipeline.notify.known._BATCH_ROWS", 50)
    before = [rejected(f"{number}.dat") for number in range(2_000)]
    known = compare(story.store, SOURCE, None, lambda: iter(before)).known
    new = [failed(f"new-{number}.jpg") for number in range(7)]
    after = [*before[:700], *new[:3], *before[900:1_500], *new[3:]]

    news = compare(story.store, SOURCE, known, lambda: iter(after))

    assert (news.rows, news.objects, news.new_rows) == (1_307, 1_307, 7)
    assert [row.key for row in news.first] == ["new-0.jpg", "new-1.jpg", "new-2.jpg"]
    assert news.new_objects == {("registration", "unreadable"): 7}


def test_an_unchanged_night_reads_the_failures_once(story: Story) -> None:
    rows = [rejected(f"{number}.dat") for number in range(100)]
    reads = 0

    def failures() -> Iterator[FailureRow]:
        nonlocal reads
        reads += 1
        return iter(rows)

    known = compare(story.store, SOURCE, None, failures).known
    reads = 0

    assert compare(story.store, SOURCE, known, failures).known is None
    assert reads == 1
    assert known is not None
    assert known.fingerprint == Fingerprint.of(reversed(rows))


def test_units_of_several_objects_are_one_failure_whichever_object_comes_first(
    story: Story, webhook: MessageServer
) -> None:
    from dataclasses import replace

    unit = replace(failed("clip/0.png"), objects=3, unit_id="u-clip")
    story.night(unit)

    assert not story.night(replace(unit, key="clip/1.png", objects=2))
    (first,) = webhook.documents[0]["first_objects"]
    assert (webhook.documents[0]["new_objects"], first["objects"]) == (3, 3)


def test_records_name_who_sends(story: Story) -> None:
    story.night(failed("a.jpg"))

    (tries,) = AlertRecords(story.store, SOURCE).tries()
    assert (tries.number, tries.results) == (1, {1: "sent"})


@pytest.mark.parametrize("file", ["00000001.json", "00000001-0001-sent.json", "known"])
def test_verification_finds_a_flipped_bit_in_every_file_and_says_what_to_do(story: Story, file: str) -> None:
    story.night(failed("a.jpg"))
    assert verify_state(story.store, SOURCE).damaged == {}
    (name,) = [name for name in story.store.names(f"{SOURCE}/alerts/") if f"/{file}" in name]
    data = bytearray(story.store.read(name))
    data[len(data) // 2] ^= 1
    story.store.delete(name)
    story.store.create(name, bytes(data))

    (damage,) = verify_state(story.store, SOURCE).damaged.values()

    assert damage.name.startswith(f"{SOURCE}/alerts/")
    assert "move alerts/ of the source out of the state" in damage.to_do


def test_a_record_under_another_number_does_not_count_as_that(story: Story, webhook: MessageServer) -> None:
    story.night(failed("a.jpg"))
    story.store.create(f"{SOURCE}/alerts/00000002.json", story.store.read(f"{SOURCE}/alerts/00000001.json"))

    assert story.night(failed("b.jpg"))

    assert "00000002.json" in story.warnings[0]
    assert [document["id"][-1] for document in webhook.documents] == ["1", "3"]
