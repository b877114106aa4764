"""Which metadata and tags of an object become values, what HTTP did to them, and what is read again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.errors import ObjectReadError
from registration_pipeline.facts.metadata.value_sets import VALUES_SCHEMA, entry_set_name
from registration_pipeline.facts.object_metadata.kind import described_values
from registration_pipeline.facts.object_metadata.reading import read_object_metadata
from registration_pipeline.facts.reader import ObjectDescription
from registration_pipeline.facts.readers.described import TagCounts, header_metadata, header_text
from registration_pipeline.facts.sets import read_facts
from registration_pipeline.inventory.inventory import read_inventory
from registration_pipeline.settings.metadata import MetadataEntry
from registration_pipeline_tests.unit.facts.conftest import Clinic, WatchedReader

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.facts.reader import StoredObject
    from registration_pipeline.facts.sets import FactSet

ENTRY = MetadataEntry(object_metadata=True)


def values(prefix: str = "", **described: dict[str, str]) -> Any:
    found = described_values(ObjectDescription(**described), "a.png", prefix)
    assert found.problem is None
    return found.values and json.loads(found.values)


def test_all_values_are_texts_and_have_the_prefix() -> None:
    assert values("s3.", metadata={"count": "3", "site": ""}, tags={"team": "blue"}) == {
        "s3.count": "3",
        "s3.site": "",
        "s3.team": "blue",
    }


def test_nothing_is_kept_of_an_object_that_has_nothing() -> None:
    assert values() is None


def test_a_tag_wins_over_metadata_of_its_name() -> None:
    assert values(metadata={"site": "west", "a": "1"}, tags={"site": "east"}) == {"site": "east", "a": "1"}


def test_what_tools_of_google_write_is_left_out() -> None:
    metadata = {"goog-reserved-file-mtime": "1", "firebaseStorageDownloadTokens": "secret", "site": "west"}
    assert values(metadata=metadata) == {"site": "west"}


@pytest.mark.parametrize("name", ["cost:center", "a/b", "größe", "registration.key", "keyframes", "$encord"], ids=str)
def test_a_tag_that_encord_does_not_accept_is_left_out(name: str) -> None:
    assert values(tags={name: "x", "team": "blue"}) == {"team": "blue"}


@pytest.mark.parametrize("name", ["cost:center", "a/b", "größe", "registration.key", "keyframes"], ids=str)
def test_metadata_that_encord_does_not_accept_rejects_the_object_by_name(name: str) -> None:
    found = described_values(ObjectDescription(metadata={name: "x", "fine": "y"}), "a.png", "")

    assert (found.problem, found.values) == ("invalid_metadata", None)
    assert found.message is not None
    assert found.message.startswith("'a.png' has metadata that can't be sent (the object's own metadata): field ")
    assert json.dumps(name)[1:-1] in found.message


def test_a_prefix_makes_a_reserved_name_another_one() -> None:
    assert values("own.", metadata={"registration.key": "x"}, tags={"keyframes": "y"}) == {
        "own.registration.key": "x",
        "own.keyframes": "y",
    }


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("plain", "plain"),
        ("=?UTF-8?B?R3LDtsOfZQ==?=", "Größe"),
        ("=?utf-8?Q?Gr=C3=B6=C3=9Fe_1?=", "Größe 1"),
        ("=?UTF-8?B?R3LDtg==?= =?UTF-8?B?w59l?=", "Größe"),
        ("=?iso-8859-1?Q?Gr=F6=DFe?=", "Größe"),
        ("Größe".encode().decode("latin-1"), "Größe"),
        ("Gr\xf6\xdfe", "Größe"),
        ("see =?UTF-8?B?R3LDtsOfZQ==?=", "see =?UTF-8?B?R3LDtsOfZQ==?="),
        ("=?no-such-charset?B?R3LDtsOfZQ==?=", "=?no-such-charset?B?R3LDtsOfZQ==?="),
        ("=?UTF-8?B?/////w==?=", "=?UTF-8?B?/////w==?="),
        ("=?UTF-8?B?R?=", "=?UTF-8?B?R?="),
    ],
    ids=[
        "plain",
        "base64",
        "quoted",
        "two words",
        "other charset",
        "UTF-8",
        "Latin-1",
        "in a text",
        "charset",
        "bytes",
        "cut",
    ],
)
def test_texts_of_headers_are_decoded_where_they_are_encoded(sent: str, text: str) -> None:
    assert header_text(sent) == text


@given(st.text(max_size=60))
def test_no_text_of_a_header_fails(sent: str) -> None:
    assert isinstance(header_text(sent), str)
    assert isinstance(header_text(f"=?utf-8?B?{sent}?="), str)


def test_names_of_headers_are_lower_case() -> None:
    assert header_metadata({"Site-Name": "West"}) == {"site-name": "West"}


def test_amazon_is_asked_for_tags_where_it_counts_them_or_might_hide_them() -> None:
    counts = TagCounts(is_reliable=True)
    assert counts.ask(None)  # is there a permission at all?
    counts.answered()
    assert [counts.ask(None), counts.ask(0), counts.ask(2)] == [False, False, True]


def test_a_store_that_never_counted_tags_is_asked_every_time() -> None:
    counts = TagCounts(is_reliable=False)
    for _ in range(3):
        assert counts.ask(None)
        counts.answered()
    assert counts.ask(1)
    assert not counts.ask(None)


def test_a_store_without_tags_is_asked_once() -> None:
    counts = TagCounts(is_reliable=False)
    assert counts.ask(None)
    counts.has_none()
    assert not counts.ask(None)


class DescribingReader(WatchedReader):
    """Describes a file by what is in it: a stand-in for the stores, which are tried elsewhere."""

    description_permission = "permission to describe"

    def describe(self, item: StoredObject) -> ObjectDescription:
        self._watch(item)
        return ObjectDescription(metadata=json.loads(self._reader.read(item, 0, item.size)))


def read(clinic: Clinic, reader: WatchedReader, **options: Any) -> FactSet:
    inventory = clinic.listed()
    return read_object_metadata(
        store=clinic.store,
        source="clinic",
        candidates=lambda: read_inventory(clinic.store, inventory),
        entry=ENTRY,
        reader=reader,
        clock=clinic.clock,
        **options,
    )


def rows_of(clinic: Clinic, facts: FactSet) -> dict[str, dict[str, Any]]:
    found = [row for batch in read_facts(clinic.store, facts) for row in batch.to_pylist()]
    return {row.pop("key"): row for row in found}


def put(bucket: Path, key: str, metadata: dict[str, str]) -> None:
    (bucket / key).write_text(json.dumps(metadata))


def test_a_set_has_a_row_for_every_object_and_is_read_once(clinic: Clinic) -> None:
    for number in range(20):
        put(clinic.bucket, f"{number:04d}", {"n": str(number)} if number else {})
    facts = read(clinic, DescribingReader(clinic.bucket))
    rows = rows_of(clinic, facts)

    assert facts.name == entry_set_name(ENTRY)
    assert facts.notes["columns"] == VALUES_SCHEMA.names
    assert [row["values"] for row in rows.values()] == [None, *(f'{{"n":"{number}"}}' for number in range(1, 20))]
    assert rows["0007"]["size"] == (clinic.bucket / "0007").stat().st_size
    assert rows["0007"]["last_modified"] is not None

    put(clinic.bucket, "0007", {"n": "another"})
    reader = DescribingReader(clinic.bucket)
    assert rows_of(clinic, read(clinic, reader))["0007"]["values"] == '{"n":"another"}'
    assert reader.keys == ["0007"]


def test_an_object_that_may_not_be_described_is_unreadable_and_one_without_a_reply_waits(clinic: Clinic) -> None:
    for key in ("denied", "fine", "silent"):
        put(clinic.bucket, key, {"a": "b"})
    trouble = {
        "denied": ObjectReadError("Not allowed", is_refused=True),
        "silent": ObjectReadError("no reply", is_silent=True),
    }
    facts = read(clinic, DescribingReader(clinic.bucket, trouble))
    rows = rows_of(clinic, facts)

    assert (rows["denied"]["problem"], rows["denied"]["message"]) == ("metadata_unreadable", "Not allowed")
    assert [*rows] == ["denied", "fine"]
    assert facts.notes["counts"]["waiting"] == 1

    reader = DescribingReader(clinic.bucket)
    assert {row["values"] for row in rows_of(clinic, read(clinic, reader)).values()} == {'{"a":"b"}'}
    assert sorted(reader.keys) == ["denied", "silent"]


def test_what_is_lacking_is_the_permission_to_describe(clinic: Clinic) -> None:
    for number in range(120):
        put(clinic.bucket, f"{number:04d}", {})

    def denied(_: str) -> None:
        raise ObjectReadError("Not allowed", is_refused=True)

    rows = rows_of(clinic, read(clinic, DescribingReader(clinic.bucket, denied)))
    assert "Grant permission to describe" in rows["0119"]["message"]
