"""What a reading of headers commits, what it asks the store for, and what is left of one that ended early."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import CredentialsError, ObjectReadError, ServiceUnavailableError
from registration_pipeline.facts.headers.kind import HEADER_KIND
from registration_pipeline.facts.headers.schema import HEADER_SCHEMA, INVALID, UNREADABLE, latest_headers
from registration_pipeline.facts.reading.progress import unfinished_readings
from registration_pipeline.facts.reading.reading import ObjectReading
from registration_pipeline.facts.sets import facts_schema, latest_facts, write_facts
from registration_pipeline.inventory.key_ranges.reading import bounds_of, read_key_range
from registration_pipeline.state.layout import facts_folder
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.dicom_files import PATIENT, image, uid, written
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.unit.facts.conftest import START, Clinic, WatchedReader

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.facts.reading.reading import ReadingProgress

FOLDER = facts_folder("clinic", "headers")


def files_of(clinic: Clinic) -> list[str]:
    return [name.removeprefix(FOLDER) for name in clinic.store.names(FOLDER)]


def fill(clinic: Clinic, number: int, series: int = 3) -> None:
    for index in range(number):
        clinic.put(f"{index:04d}.dcm", series=index % series + 1, number=index)


def test_a_row_says_of_each_object_what_its_header_says(clinic: Clinic) -> None:
    clinic.put("b.dcm", study=2, series=7)
    clinic.put("a", b"not one")
    reading = clinic.read()

    rows = clinic.rows(reading)
    assert [*rows] == ["a", "b.dcm"]
    assert (rows["b.dcm"]["study"], rows["b.dcm"]["series"], rows["b.dcm"]["modality"]) == (uid(2), uid(2, 7), "CT")
    assert (rows["a"]["problem"], rows["a"]["series"]) == (INVALID.value, None)
    assert rows["b.dcm"]["bytes_read"] == rows["b.dcm"]["size"] == (clinic.bucket / "b.dcm").stat().st_size
    assert reading.progress.problems == {"invalid_header": 1}
    assert (reading.progress.objects, reading.progress.read, reading.progress.cached) == (2, 2, 0)
    assert str(reading.progress).startswith("2 objects, 2 read (")


def test_nothing_about_a_patient_is_in_the_state(clinic: Clinic, tmp_path: Path) -> None:
    clinic.put("a.dcm")
    clinic.put("b.dcm", written(image())[:450])
    clinic.put("c.dcm", Rows=None)
    clinic.read()

    for path in (tmp_path / "state").rglob("*"):
        assert not path.is_file() or PATIENT.encode() not in path.read_bytes()


def test_a_second_reading_asks_for_nothing(clinic: Clinic) -> None:
    fill(clinic, 20)
    first = clinic.rows(clinic.read())
    reader = WatchedReader(clinic.bucket)
    second = clinic.read(reader=reader)

    assert reader.keys == []
    assert clinic.rows(second) == first
    assert (second.progress.cached, second.progress.read, second.progress.requests) == (20, 0, 0)


def test_only_what_is_new_or_another_one_is_read_and_what_is_gone_drops_out(clinic: Clinic) -> None:
    fill(clinic, 10)
    clinic.read()
    (clinic.bucket / "0003.dcm").unlink()
    clinic.put("0005.dcm", study=9, series=9)
    clinic.put("new.dcm")
    reader = WatchedReader(clinic.bucket)
    rows = clinic.rows(clinic.read(reader=reader))

    assert sorted(reader.keys) == ["0005.dcm", "new.dcm"]
    assert "0003.dcm" not in rows
    assert rows["0005.dcm"]["series"] == uid(9, 9)
    assert len(rows) == 10


def test_what_could_not_be_read_is_read_again_the_next_time(clinic: Clinic) -> None:
    fill(clinic, 3)
    trouble = {"0001.dcm": ObjectReadError("Not allowed to read it", is_refused=True)}
    rows = clinic.rows(clinic.read(reader=WatchedReader(clinic.bucket, trouble)))

    assert (rows["0001.dcm"]["problem"], rows["0001.dcm"]["message"]) == (UNREADABLE.value, "Not allowed to read it")
    reader = WatchedReader(clinic.bucket)
    again = clinic.read(reader=reader)
    assert reader.keys == ["0001.dcm"]
    assert clinic.rows(again)["0001.dcm"]["series"] == uid(1, 2)
    assert again.progress.problems == {}


def test_an_invalid_header_is_not_read_again(clinic: Clinic) -> None:
    clinic.put("a.dcm", b"no")
    clinic.read()
    reader = WatchedReader(clinic.bucket)

    assert clinic.read(reader=reader).progress.problems == {"invalid_header": 1}
    assert reader.keys == []


def test_an_object_that_changed_since_the_listing_waits_for_the_next_one(clinic: Clinic) -> None:
    fill(clinic, 2)
    inventory = clinic.listed()
    clinic.put("0001.dcm", study=5)
    reading = clinic.read(inventory)

    assert [*clinic.rows(reading)] == ["0000.dcm"]
    assert (reading.progress.waiting, reading.progress.problems) == (1, {})
    assert clinic.read(clinic.listed()).progress.waiting == 0


def test_an_object_that_is_gone_since_the_listing_is_unreadable(clinic: Clinic) -> None:
    fill(clinic, 2)
    inventory = clinic.listed()
    (clinic.bucket / "0000.dcm").unlink()

    assert "is gone" in clinic.rows(clinic.read(inventory))["0000.dcm"]["message"]


def test_a_reading_that_ended_early_is_gone_on_with_from_where_it_was(clinic: Clinic) -> None:
    fill(clinic, 95)
    inventory = clinic.listed()

    def die(key: str) -> None:
        if key == "0057.dcm":
            raise CredentialsError("the credentials have ended")

    with pytest.raises(CredentialsError):
        clinic.read(inventory, WatchedReader(clinic.bucket, die), range_objects=10)
    assert latest_facts(clinic.store, "clinic", "headers") is None

    reader = WatchedReader(clinic.bucket)
    reading = clinic.read(inventory, reader, range_objects=10)

    assert sorted(reader.keys) == [f"{number:04d}.dcm" for number in range(50, 95)]
    assert len(clinic.rows(reading)) == 95
    assert (reading.progress.cached, reading.progress.read) == (50, 45)
    assert {name.partition("/")[0] for name in files_of(clinic)} == {reading.facts.facts_id if reading.facts else ""}
    assert all("progress" not in name and "writer" not in name for name in files_of(clinic))


def test_progress_that_is_damaged_is_read_again(clinic: Clinic, tmp_path: Path) -> None:
    fill(clinic, 30)
    inventory = clinic.listed()

    def die(key: str) -> None:
        if key == "0025.dcm":
            raise CredentialsError("the credentials have ended")

    with pytest.raises(CredentialsError):
        clinic.read(inventory, WatchedReader(clinic.bucket, die), range_objects=10)
    (part,) = (tmp_path / "state" / FOLDER).rglob("progress-*.parquet")
    content = bytearray(part.read_bytes())
    content[50] ^= 1
    part.chmod(0o644)
    part.write_bytes(content)

    reading = clinic.read(inventory)
    assert reading.progress.read == 30
    assert len(clinic.rows(reading)) == 30


def test_progress_of_another_version_of_an_object_is_not_used(clinic: Clinic) -> None:
    fill(clinic, 30)

    def die(key: str) -> None:
        if key == "0025.dcm":
            raise CredentialsError("the credentials have ended")

    with pytest.raises(CredentialsError):
        clinic.read(reader=WatchedReader(clinic.bucket, die), range_objects=10)
    clinic.put("0004.dcm", study=8, series=8)
    reader = WatchedReader(clinic.bucket)
    rows = clinic.rows(clinic.read(reader=reader))

    assert sorted(reader.keys) == ["0004.dcm", *(f"{number:04d}.dcm" for number in range(20, 30))]
    assert rows["0004.dcm"]["series"] == uid(8, 8)


def test_a_store_that_is_silent_for_many_objects_ends_the_reading_and_keeps_what_was_read(clinic: Clinic) -> None:
    fill(clinic, 60)

    def silent(key: str) -> None:
        if key > "0019.dcm":
            raise ObjectReadError("no reply", is_silent=True)

    inventory = clinic.listed()
    with pytest.raises(ServiceUnavailableError, match="20 objects in a row can't be read; the last one: no reply"):
        clinic.read(inventory, WatchedReader(clinic.bucket, silent), range_objects=20)

    assert clinic.read(inventory).progress.cached == 20


def test_single_silent_objects_do_not_end_a_reading(clinic: Clinic) -> None:
    fill(clinic, 60)
    trouble = {f"{number:04d}.dcm": ObjectReadError("no reply", is_silent=True) for number in range(0, 60, 2)}

    reading = clinic.read(reader=WatchedReader(clinic.bucket, trouble))
    assert (reading.progress.waiting, reading.progress.read) == (30, 30)
    assert clinic.read().progress.read == 30


def test_a_bucket_that_may_not_be_read_is_not_asked_object_by_object(clinic: Clinic) -> None:
    for number in range(250):
        clinic.put(f"{number:04d}.dcm", b"x")

    def denied(_: str) -> None:
        raise ObjectReadError("Not allowed", is_refused=True)

    reader = WatchedReader(clinic.bucket, denied)
    rows = clinic.rows(clinic.read(reader=reader, range_objects=50))

    assert len(reader.keys) <= 150
    assert {row["problem"] for row in rows.values()} == {UNREADABLE.value}
    assert "100 objects before it may not be read" in rows["0249.dcm"]["message"]
    assert len(rows) == 250


def test_a_part_of_a_bucket_that_may_not_be_read_is_asked_for_object_by_object(clinic: Clinic) -> None:
    for number in range(150):
        clinic.put(f"secret/{number:04d}.dcm", b"x")
    clinic.put("a.dcm")
    trouble = ObjectReadError("Not allowed", is_refused=True)
    reader = WatchedReader(clinic.bucket, {f"secret/{number:04d}.dcm": trouble for number in range(150)})

    clinic.read(reader=reader)

    assert len(reader.keys) == 151


def test_old_sets_are_removed_but_for_the_one_before(clinic: Clinic) -> None:
    clinic.put("a.dcm")
    readings = [clinic.read() for _ in range(4)]

    kept = [reading.facts.facts_id for reading in readings if reading.facts][-2:]
    assert sorted({name.partition("/")[0] for name in files_of(clinic)}) == kept


def test_the_reading_of_a_living_process_is_left_alone(clinic: Clinic) -> None:
    clinic.put("a.dcm")
    inventory = clinic.listed()
    seen: list[list[str]] = []

    def look(_: str) -> None:
        clinic.read(inventory)  # another one, from its beginning to its end
        seen.append(files_of(clinic))

    clinic.read(inventory, WatchedReader(clinic.bucket, look))

    ids = {name.partition("/")[0] for name in seen[0]}
    assert len(ids) == 2
    assert any(name.endswith("writer.json") for name in seen[0])


def test_a_set_of_an_earlier_version_with_other_columns_is_not_used(clinic: Clinic) -> None:
    clinic.put("a.dcm")
    inventory = clinic.listed()
    write_facts(clinic.store, "clinic", "headers", "20200101T000000Z", [], schema=facts_schema(), made_at=START)

    assert latest_headers(clinic.store, "clinic") is None
    assert clinic.read(inventory).progress.read == 1
    assert latest_headers(clinic.store, "clinic") is not None


def test_without_objects_a_set_is_committed_only_if_it_is_wanted_or_there_was_one(clinic: Clinic) -> None:
    inventory = clinic.listed()
    assert _never(clinic) is None

    clinic.put("a.dcm")
    clinic.read()
    (clinic.bucket / "a.dcm").unlink()
    assert _never(clinic) is not None
    assert latest_headers(clinic.store, "clinic").rows == 0  # type: ignore[union-attr]
    assert clinic.read(inventory).facts is not None


def _never(clinic: Clinic) -> object:
    reading = ObjectReading(
        kind=HEADER_KIND, store=clinic.store, source="clinic", reader=WatchedReader(clinic.bucket), clock=clinic.clock
    )
    clinic.moment += timedelta(hours=1)
    return reading.read(list, {}, always=False).facts


def test_progress_is_reported_as_it_goes_on(clinic: Clinic) -> None:
    fill(clinic, 30)
    said: list[ReadingProgress] = []
    clinic.read(progress=said.append, range_objects=10)

    assert [one.objects for one in said] == [10, 20, 30]
    assert said[-1].requests == 30


def unfinished(clinic: Clinic) -> list[list[str]]:
    runs = unfinished_readings(clinic.store, "clinic", HEADER_KIND, but="")
    return [[row["key"] for batch in run for row in batch.to_pylist()] for run in runs]


def test_unfinished_readings_whose_keys_overlap_are_newest_first_and_others_come_as_one(clinic: Clinic) -> None:
    fill(clinic, 4)
    for series in (1, 2):
        with pytest.raises(CredentialsError):
            clinic.read(
                reader=WatchedReader(clinic.bucket, {f"000{series + 1}.dcm": CredentialsError("x")}), range_objects=1
            )
    assert unfinished(clinic) == [["0000.dcm", "0001.dcm", "0002.dcm"]]

    clinic.put("0001.dcm", series=9)
    with pytest.raises(CredentialsError):
        clinic.read(reader=WatchedReader(clinic.bucket, {"0003.dcm": CredentialsError("x")}), range_objects=1)
    assert unfinished(clinic) == [["0001.dcm", "0002.dcm"], ["0000.dcm", "0001.dcm"]]


def test_key_ranges_that_were_read_by_themselves_are_not_read_again_by_the_reading_of_all(clinic: Clinic) -> None:
    fill(clinic, 9)
    inventory = clinic.listed()
    readers = [WatchedReader(clinic.bucket) for _ in range(4)]
    for number in (2, 0, 1, 1):
        bounds = bounds_of(clinic.store, inventory, number, 3)
        reading = ObjectReading(
            kind=HEADER_KIND, store=clinic.store, source="clinic", reader=readers[number], clock=clinic.clock
        )
        reading.read_part(partial(read_key_range, clinic.store, inventory, bounds))
    assert latest_headers(clinic.store, "clinic") is None

    made = clinic.read(inventory, readers[3])

    assert [{*reader.keys} for reader in readers[:3]] == [
        {f"000{number}.dcm" for number in numbers} for numbers in ((0, 1, 2), (3, 4, 5), (6, 7, 8))
    ]
    assert readers[3].keys == []
    assert [*clinic.rows(made)] == [f"000{number}.dcm" for number in range(9)]
    assert {name.rpartition("/")[2].partition("-")[0] for name in files_of(clinic)} == {"_SUCCESS.json", "part"}


@settings(max_examples=examples(8, thorough=200), deadline=None)
@given(data=st.data())
def test_any_order_of_nights_gives_what_reading_everything_gives(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A dictionary model: what is in the bucket, and what a reader without any memory would say of it."""
    folder = tmp_path_factory.mktemp("clinic")
    (folder / "bucket").mkdir()
    clinic = Clinic(folder / "bucket", LocalStateStore(folder / "state"))
    model: dict[str, int] = {}
    writes = 0
    for _ in range(data.draw(st.integers(1, 4))):
        for key in data.draw(st.lists(st.sampled_from("abcdefgh"), max_size=6)):
            if key in model and data.draw(st.booleans()):
                (clinic.bucket / key).unlink()
                del model[key]
            else:
                writes += 1
                clinic.put(key, study=1, series=writes)
                model[key] = writes
        dies_at = data.draw(st.sampled_from([None, *"abcdefgh"]))
        inventory = clinic.listed()
        trouble = {dies_at: CredentialsError("ended")} if dies_at else {}
        try:
            clinic.read(inventory, WatchedReader(clinic.bucket, trouble), range_objects=2)
        except CredentialsError:
            continue
    rows = clinic.rows(clinic.read(range_objects=data.draw(st.integers(1, 5))))

    assert {key: row["series"] for key, row in rows.items()} == {key: uid(1, number) for key, number in model.items()}
    assert [*rows] == sorted(model)
    assert HEADER_SCHEMA.names[0] == "key"
