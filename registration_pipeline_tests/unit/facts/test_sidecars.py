"""Which sidecars are found, what a set of them says, and what is read of them again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import CredentialsError, ObjectReadError, ServiceUnavailableError
from registration_pipeline.facts.metadata.value_sets import VALUES_SCHEMA, entry_set_name
from registration_pipeline.facts.reading.reading import ReadingProgress
from registration_pipeline.facts.reading.spec import latest_reading
from registration_pipeline.facts.sets import read_facts
from registration_pipeline.facts.sidecars import kind as sidecar_kinds
from registration_pipeline.facts.sidecars import search
from registration_pipeline.facts.sidecars.kind import MOST_BYTES, SIDECAR_VALUES_SCHEMA
from registration_pipeline.facts.sidecars.reading import read_sidecars
from registration_pipeline.facts.sidecars.search import find_sidecars
from registration_pipeline.settings.metadata import MetadataEntry
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.unit.facts.conftest import Clinic, WatchedReader

if TYPE_CHECKING:
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.inventory.inventory import Inventory

SUFFIX = ".json"


def entry(**values: Any) -> MetadataEntry:
    return MetadataEntry.model_validate({"sidecar": SUFFIX, **values})


def put(clinic: Clinic, key: str, values: object) -> None:
    """Put a sidecar beside an object."""
    clinic.put(key + SUFFIX, values if isinstance(values, bytes) else json.dumps(values).encode())


def fill(clinic: Clinic, number: int) -> None:
    for index in range(number):
        clinic.put(f"{index:04d}", b"x")
        put(clinic, f"{index:04d}", {"number": index})


def read(
    clinic: Clinic, inventory: Inventory | None = None, reader: WatchedReader | None = None, **options: Any
) -> FactSet:
    values = {"entry": entry(), "threads": 4, **options}
    return read_sidecars(
        store=clinic.store,
        source="clinic",
        inventory=inventory or clinic.listed(),
        reader=reader or WatchedReader(clinic.bucket),
        clock=clinic.clock,
        **values,
    )


def rows_of(clinic: Clinic, facts: FactSet) -> dict[str, dict[str, Any]]:
    found = [row for batch in read_facts(clinic.store, facts) for row in batch.to_pylist()]
    return {row.pop("key"): row for row in found}


def values_of(clinic: Clinic, facts: FactSet) -> dict[str, Any]:
    rows = rows_of(clinic, facts)
    return {key: row["values"] and json.loads(row["values"]) for key, row in rows.items()}


def test_a_set_has_the_values_of_each_object_with_a_sidecar(clinic: Clinic) -> None:
    for key in ("a.png", "b.png", "none.png", "c/d.png"):
        clinic.put(key, b"x")
    put(clinic, "a.png", {"site": "west", "count": 3, "empty": None})
    put(clinic, "b.png", {})
    put(clinic, "c/d.png", {"$encord": {"frames": {"0": {"e": [0.5, 1]}}}})
    put(clinic, "gone.png", {"site": "of no object"})
    facts = read(clinic, entry=entry(prefix="cam."))

    assert facts.name == entry_set_name(entry(prefix="cam."))
    rows = rows_of(clinic, facts)
    assert [*rows] == ["a.png", "b.png", "c/d.png"]
    assert rows["a.png"]["values"] == '{"cam.count":3,"cam.site":"west"}'
    assert rows["b.png"]["values"] is None
    assert rows["c/d.png"]["values"] == '{"$encord":{"frames":{"0":{"cam.e":[0.5,1]}}}}'
    assert {(row["e_tag"], row["size"], row["last_modified"], row["problem"]) for row in rows.values()} == {(None,) * 4}
    assert rows["a.png"]["sidecar_size"] == (clinic.bucket / "a.png.json").stat().st_size
    assert SIDECAR_VALUES_SCHEMA.names[: len(VALUES_SCHEMA)] == VALUES_SCHEMA.names


def test_values_come_in_the_order_of_the_objects_and_not_of_the_sidecars(clinic: Clinic) -> None:
    keys = ["a", "a-2", "a.json-2", "a.jso", "a_b"]
    for number, key in enumerate(keys):
        clinic.put(key, b"x")
        put(clinic, key, {"n": number})

    assert [*values_of(clinic, read(clinic))] == sorted(keys)
    assert sorted(keys) != [key.removesuffix(SUFFIX) for key in sorted(key + SUFFIX for key in keys)]


BAD = {
    "twice": (b'{"a": 1,\n "a": 2}', 'has the key "a" twice in one object (line 2, column 2). Correct it'),
    "not finite": (b'{"a": NaN}', "has NaN, which is not JSON; leave the value out, or write null (line 1, column 7)"),
    "beyond 64 bits": (b'{"a": 18446744073709551616}', "must have at most 64 bits"),
    "too deep": (b'{"a":' * 300 + b"1" + b"}" * 300, "has more than 240 objects and lists within each other"),
    "not UTF-8": (b'{"a": "\xff"}', "is not UTF-8 at line 1, column 8: byte 0xff"),
    "a list": (b"[]", "is not an object: it is a list"),
    "empty": (b"", "is empty"),
    "a name of Encord's rules": (b'{"a/b": 1}', "is not a name that Encord"),
    "a name of ours": (b'{"registration.key": 1}', "which is kept for what the pipeline writes itself"),
    "a character": (b'{"a": "\\u0000"}', "U+0000"),
}


@pytest.mark.parametrize("name", BAD, ids=str)
def test_a_sidecar_that_cant_be_sent_is_named_with_its_place(clinic: Clinic, name: str) -> None:
    content, said = BAD[name]
    clinic.put("a.png", b"x")
    clinic.put("b.png", b"x")
    put(clinic, "a.png", content)
    put(clinic, "b.png", {"good": True})
    rows = rows_of(clinic, read(clinic))

    assert (rows["a.png"]["problem"], rows["a.png"]["values"]) == ("invalid_metadata", None)
    assert said in rows["a.png"]["message"]
    assert rows["a.png"]["message"].startswith("'a.png' has metadata that can't be sent")
    assert "'a.png.json'" in rows["a.png"]["message"]
    assert rows["b.png"]["values"] == '{"good":true}'


def test_a_sidecar_that_is_too_large_is_not_read(clinic: Clinic) -> None:
    clinic.put("a", b"x")
    with (clinic.bucket / "a.json").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    reader = WatchedReader(clinic.bucket)
    rows = rows_of(clinic, read(clinic, reader=reader))

    assert rows["a"]["problem"] == "invalid_metadata"
    assert "has 10,000,001 bytes, and Encord accepts 10,000,000" in rows["a"]["message"]
    assert reader.keys == []


def test_the_largest_one_is_read_in_pieces_of_a_megabyte(clinic: Clinic) -> None:
    content = b'{"a": "' + b"x" * (MOST_BYTES - 9) + b'"}'
    clinic.put("a", b"x")
    put(clinic, "a", content)
    reader = WatchedReader(clinic.bucket)

    assert values_of(clinic, read(clinic, reader=reader)) == {"a": json.loads(content)}
    assert reader.keys == ["a.json"] * 10


def test_what_is_known_is_not_read_again_and_what_is_another_version_is(clinic: Clinic) -> None:
    fill(clinic, 20)
    read(clinic)
    put(clinic, "0003", {"number": "another one"})
    (clinic.bucket / "0004.json").unlink()
    (clinic.bucket / "0005").write_bytes(b"the object itself is another one")
    clinic.put("new", b"x")
    put(clinic, "new", {"number": 99})
    reader, said = WatchedReader(clinic.bucket), list[ReadingProgress]()
    values = values_of(clinic, read(clinic, reader=reader, progress=said.append))

    assert sorted(reader.keys) == ["0003.json", "new.json"]
    assert (values["0003"], values["new"]) == ({"number": "another one"}, {"number": 99})
    assert "0004" not in values
    assert (said[-1].cached, said[-1].read, said[-1].requests) == (18, 2, 2)


def test_a_bad_sidecar_is_not_read_again_until_it_is_another_one(clinic: Clinic) -> None:
    clinic.put("a", b"x")
    put(clinic, "a", b"no")
    read(clinic)
    reader = WatchedReader(clinic.bucket)
    assert rows_of(clinic, read(clinic, reader=reader))["a"]["problem"] == "invalid_metadata"
    assert reader.keys == []
    put(clinic, "a", {"fixed": 1})

    assert values_of(clinic, read(clinic)) == {"a": {"fixed": 1}}


def test_a_denied_sidecar_is_unreadable_and_tried_again(clinic: Clinic) -> None:
    fill(clinic, 2)
    denied = WatchedReader(clinic.bucket, {"0001.json": ObjectReadError("Not allowed to read it", is_refused=True)})
    facts = read(clinic, reader=denied)
    row = rows_of(clinic, facts)["0001"]

    assert (row["problem"], row["message"]) == ("metadata_unreadable", "Not allowed to read it")
    assert facts.notes["problems"] == {"metadata_unreadable": 1}
    reader = WatchedReader(clinic.bucket)
    assert values_of(clinic, read(clinic, reader=reader))["0001"] == {"number": 1}
    assert reader.keys == ["0001.json"]


def test_what_cant_be_read_now_holds_its_object_and_is_tried_again(clinic: Clinic) -> None:
    fill(clinic, 3)
    silent = WatchedReader(clinic.bucket, {"0001.json": ObjectReadError("no reply", is_silent=True)})
    said: list[ReadingProgress] = []
    facts = read(clinic, reader=silent, progress=said.append)
    row = rows_of(clinic, facts)["0001"]

    assert (row["problem"], row["message"], row["values"]) == ("waiting", "no reply", None)
    assert (said[-1].waiting, said[-1].read, said[-1].objects, said[-1].problems) == (1, 2, 2, {})
    reader = WatchedReader(clinic.bucket)
    assert values_of(clinic, read(clinic, reader=reader))["0001"] == {"number": 1}
    assert reader.keys == ["0001.json"]


def test_a_sidecar_that_changed_since_the_listing_holds_its_object(clinic: Clinic) -> None:
    fill(clinic, 2)
    inventory = clinic.listed()
    put(clinic, "0001", {"number": "much longer than it was"})

    assert rows_of(clinic, read(clinic, inventory))["0001"]["problem"] == "waiting"
    assert values_of(clinic, read(clinic))["0001"] == {"number": "much longer than it was"}


def test_a_store_that_is_silent_for_many_ends_the_reading(clinic: Clinic) -> None:
    fill(clinic, 30)
    trouble = {f"{number:04d}.json": ObjectReadError("no reply", is_silent=True) for number in range(30)}

    with pytest.raises(ServiceUnavailableError, match="The sidecars of 20 objects in a row can't be read"):
        read(clinic, reader=WatchedReader(clinic.bucket, trouble))


def test_a_bucket_whose_sidecars_may_not_be_read_says_so_by_their_keys(clinic: Clinic) -> None:
    fill(clinic, 120)

    def denied(_: str) -> None:
        raise ObjectReadError("Not allowed", is_refused=True)

    for _ in range(2):  # also when the set before held nothing else
        rows = rows_of(clinic, read(clinic, reader=WatchedReader(clinic.bucket, denied)))
        assert rows["0119"]["message"].startswith("'0119.json' was not read: 100 objects before it may not be read")
        assert {row["problem"] for row in rows.values()} == {"metadata_unreadable"}


def test_many_bytes_of_sidecars_are_not_in_memory_at_once(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecar_kinds, "_RANGE_BYTES", 1_000)
    for number in range(20):
        clinic.put(f"{number:04d}", b"x")
        put(clinic, f"{number:04d}", b'{"a": "' + b"x" * 391 + b'"}')
    clinic.put("large", b"x")
    put(clinic, "large", {"a": "x" * 5_000})
    said: list[ReadingProgress] = []
    values = values_of(clinic, read(clinic, progress=said.append))

    assert [one.read for one in said] == [*range(2, 22, 2), 21]
    assert len(values) == 21


def test_a_reading_that_ended_early_is_gone_on_with(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecar_kinds, "_RANGE_BYTES", 150)  # ten of them
    fill(clinic, 95)
    inventory = clinic.listed()

    def die(key: str) -> None:
        if key == "0057.json":
            raise CredentialsError("the credentials have ended")

    with pytest.raises(CredentialsError):
        read(clinic, inventory, WatchedReader(clinic.bucket, die))
    assert latest_reading(clinic.store, "clinic", str(entry_set_name(entry())), SIDECAR_VALUES_SCHEMA) is None

    reader = WatchedReader(clinic.bucket)
    values = values_of(clinic, read(clinic, inventory, reader))
    assert values == {f"{number:04d}": {"number": number} for number in range(95)}
    assert 38 <= len(reader.keys) <= 48


def test_entries_have_sets_of_their_own(clinic: Clinic) -> None:
    fill(clinic, 2)
    plain, prefixed = read(clinic), read(clinic, entry=entry(prefix="p."))

    assert plain.name != prefixed.name
    assert values_of(clinic, plain)["0001"] == {"number": 1}
    assert values_of(clinic, prefixed)["0001"] == {"p.number": 1}


def test_without_sidecars_the_set_is_empty_and_nothing_is_asked_for(clinic: Clinic) -> None:
    clinic.put("a", b"x")
    reader = WatchedReader(clinic.bucket)

    assert read(clinic, reader=reader).rows == 0
    assert reader.keys == []


NAMES = st.text("a.-/json", min_size=1, max_size=6).filter(
    lambda name: not name.startswith("/") and "//" not in name and not {"", ".", ".."} & set(name.split("/"))
)


@settings(max_examples=examples(20, thorough=600), deadline=None)
@given(
    keys=st.sets(NAMES | st.builds(str.__add__, NAMES, st.just(".j")), max_size=40),
    suffix=st.sampled_from([".j", "j", "-"]),
)
def test_sidecars_are_found_as_a_dictionary_finds_them(
    keys: set[str], suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("clinic")
    (folder / "bucket").mkdir()
    clinic = Clinic(folder / "bucket", LocalStateStore(folder / "state"))
    files = {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}
    for key in files:
        clinic.put(key, key.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_SORT_BYTES", 200)  # on disk, in many runs
        batches = list(find_sidecars(clinic.store, clinic.listed(), suffix))

    found = {row["key"]: row["size"] for batch in batches for row in batch.to_pylist()}
    assert found == {key: len(key + suffix) for key in files if key + suffix in files}
    assert [*found] == sorted(found)
    assert sum(batch.num_rows for batch in batches) == len(found)
    assert all(batch.schema.equals(pa.schema(search.SIDECAR_SCHEMA)) for batch in batches)
