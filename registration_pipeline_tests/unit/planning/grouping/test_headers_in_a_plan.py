"""DICOM objects in a plan: what was read of their headers, as a set of facts, says which series they are in."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from registration_pipeline.facts.sets import FactSet, facts_schema, write_facts
from registration_pipeline.planning.wave import FactsUsed, load_waves, read_census, read_chunk_units

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = facts_schema(
    pa.field("size", pa.int64(), nullable=False),
    pa.field("last_modified", pa.timestamp("us", tz="UTC"), nullable=False),
    *(pa.field(name, pa.string()) for name in ("series", "study", "modality", "problem", "message")),
)


NOTHING: Mapping[str, Mapping[str, Any]] = MappingProxyType({})


def read_headers(
    bucket: Any, headers: Mapping[str, Mapping[str, Any]] = NOTHING, *, number: int = 1, but: tuple[str, ...] = ()
) -> FactSet:
    """Write what was read of objects, by the name behind ``raw/``; every other one is in series 1.2."""
    rows = [
        {
            "key": key,
            **{name: facts[name] for name in ("e_tag", "size", "last_modified")},
            "series": "1.2",
            "study": "1",
            "modality": "CT",
            **headers.get(key.removeprefix("raw/"), {}),
        }
        for key, facts in sorted(bucket.objects.items())
        if key.removeprefix("raw/") not in but
    ]
    batches = [pa.RecordBatch.from_pylist(rows, schema=SCHEMA)]
    return write_facts(
        bucket.store, "cams", "headers", f"2026112{number}T000000Z", batches, schema=SCHEMA, made_at=bucket.now
    )


def series(bucket: Any, plan: Any) -> dict[str, list[str]]:
    return {
        unit.title: [entry.key for entry in unit.objects]
        for chunk in plan.chunks
        for unit in read_chunk_units(bucket.store, "cams", chunk)
    }


def rejected(bucket: Any, wave: Any) -> dict[str, str]:
    rows = [row for batch in read_census(bucket.store, wave, "rejected") for row in batch.to_pylist()]
    return {row["key"]: row["reason"] for row in rows}


def test_interleaved_files_become_their_series_without_any_rule(bucket: Any) -> None:
    bucket.put("raw/1.dcm", "raw/2.dcm", "raw/10.dcm", "raw/3", "raw/a.jpg", content_type=None)
    bucket.put("raw/3", content_type="application/dicom")
    inventory = bucket.inventory()
    facts = read_headers(bucket, {"2.dcm": {"series": "1.3"}})
    plan = bucket.plan(inventory=inventory)

    assert series(bucket, plan) == {
        "1.2": ["raw/1.dcm", "raw/3", "raw/10.dcm"],
        "1.3": ["raw/2.dcm"],
        "raw/a.jpg": ["raw/a.jpg"],
    }
    assert plan.wave.facts == (FactsUsed("headers", facts.facts_id, facts.digest),)
    assert load_waves(bucket.store, "cams")[-1].facts == plan.wave.facts


def test_objects_without_a_known_kind_are_dicom_if_a_rule_by_headers_takes_them(bucket: Any) -> None:
    bucket.configure(groups=[{"match": "scans/**", "as": "dicom_series", "by": "headers", "title": "{study} {series}"}])
    bucket.put("raw/scans/IM1", "raw/scans/IM2", "raw/IM3", "raw/scans/notes.pdf")
    inventory = bucket.inventory()
    read_headers(bucket)
    plan = bucket.plan(inventory=inventory)

    assert series(bucket, plan) == {
        "1 1.2": ["raw/scans/IM1", "raw/scans/IM2"],
        "raw/scans/notes.pdf": ["raw/scans/notes.pdf"],
    }
    assert rejected(bucket, plan.wave) == {"raw/IM3": "unsupported_type"}


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"e_tag": "other"}, id="another version"),
        pytest.param({"e_tag": None, "size": 11}, id="another size without ETags"),
    ],
)
def test_a_header_of_another_version_is_not_known_and_holds_every_unit_of_its_rule(
    bucket: Any, changed: dict[str, Any]
) -> None:
    bucket.put("raw/1.dcm", "raw/2.dcm", "raw/3.dcm", "raw/a.jpg")
    read = {"3.dcm": {"series": "1.3"}}
    bucket.inventory()
    read_headers(bucket, read)
    bucket.put("raw/1.dcm", **changed)
    plan = bucket.plan(inventory=bucket.inventory())

    assert (plan.wave.counts.held, plan.wave.counts.new) == (3, 1)
    assert plan.warnings.first[0].startswith("1 object waits for its header to be read")
    assert "every DICOM series that is found by headers waits, too" in plan.warnings.first[0]
    assert "registration-pipeline probe cams" in plan.warnings.first[0]

    inventory = bucket.inventory()
    read_headers(bucket, read, number=2)
    assert series(bucket, bucket.plan(inventory=inventory)) == {
        "1.2": ["raw/1.dcm", "raw/2.dcm"],
        "1.3": ["raw/3.dcm"],
    }


def test_a_late_object_of_a_series_says_that_a_copy_is_late_too(bucket: Any) -> None:
    bucket.put("raw/1.dcm")
    inventory = bucket.inventory()
    read_headers(bucket)
    bucket.plan(inventory=inventory)
    bucket.put("raw/2.dcm", "raw/copy/1.dcm")
    inventory = bucket.inventory()
    read_headers(bucket, number=2)
    wave = bucket.plan(inventory=inventory).wave

    assert rejected(bucket, wave) == {"raw/2.dcm": "late_member", "raw/copy/1.dcm": "late_member"}
    rows = [row for batch in read_census(bucket.store, wave, "rejected") for row in batch.to_pylist()]
    assert all("A copy has the same SeriesInstanceUID and would be late, too" in row["message"] for row in rows)


def test_a_header_counts_by_size_and_time_where_there_are_no_etags(bucket: Any) -> None:
    bucket.put("raw/1.dcm", e_tag=None)
    inventory = bucket.inventory()
    read_headers(bucket)

    assert bucket.plan(inventory=inventory).wave.counts.new == 1


def test_without_any_headers_dicom_objects_are_held(bucket: Any) -> None:
    bucket.put("raw/1.dcm", "raw/a.jpg")
    counts = bucket.sync().wave.counts

    assert (counts.held, counts.new, counts.rejected) == (1, 1, 0)


def test_an_archived_object_whose_header_is_unknown_is_rejected_alone_and_holds_nothing(bucket: Any) -> None:
    bucket.put("raw/1.dcm", "raw/2.dcm")
    bucket.put("raw/3.dcm", storage_class="GLACIER")
    inventory = bucket.inventory()
    read_headers(bucket, but=("3.dcm",))
    plan = bucket.plan(inventory=inventory)

    assert rejected(bucket, plan.wave) == {"raw/3.dcm": "archived"}
    assert plan.wave.counts.new == 2
    assert plan.warnings.first == (
        (
            "Rejected objects whose DICOM series is not known: 1, the first is 'raw/3.dcm'. Series are planned without "
            "them, and what is planned stays as it is: correct or exclude them before"
        ),
    )


def test_an_unread_header_holds_the_series_of_every_rule(bucket: Any) -> None:
    bucket.configure(groups=[{"match": "a/**", "as": "dicom_series", "by": "headers"}])
    bucket.put("raw/a/1.dcm", "raw/b/2.dcm", "raw/b/3.dcm")
    inventory = bucket.inventory()
    read_headers(bucket, but=("b/3.dcm",))
    plan = bucket.plan(inventory=inventory)

    assert (plan.wave.counts.held, plan.wave.counts.new) == (3, 0)


def test_a_bad_header_rejects_the_object_and_with_a_series_its_unit(bucket: Any) -> None:
    bucket.put("raw/1.dcm", "raw/2.dcm", "raw/3.dcm", "raw/4.dcm", "raw/5.dcm")
    inventory = bucket.inventory()
    read_headers(
        bucket,
        {
            "1.dcm": {"series": None, "problem": "invalid_header", "message": "'raw/1.dcm' is not DICOM"},
            "2.dcm": {"series": None, "problem": "header_unreadable", "message": "'raw/2.dcm' may not be read"},
            "3.dcm": {"series": "1.3", "problem": "invalid_header", "message": "'raw/3.dcm' has no StudyInstanceUID"},
            "4.dcm": {"series": "1.3"},
        },
    )
    plan = bucket.plan(inventory=inventory)

    assert rejected(bucket, plan.wave) == {
        "raw/1.dcm": "invalid_header",
        "raw/2.dcm": "header_unreadable",
        "raw/3.dcm": "invalid_header",
        "raw/4.dcm": "unit_incomplete",
    }
    assert series(bucket, plan) == {"1.2": ["raw/5.dcm"]}


def test_a_key_that_the_expression_of_a_rule_does_not_match_is_rejected_by_name(bucket: Any) -> None:
    bucket.configure(groups=[{"match": "**", "as": "dicom_series", "by": r"^(?P<scan>\d+)/"}])
    bucket.put("raw/1/a.dcm", "raw/x.dcm")
    plan = bucket.sync()

    assert rejected(bucket, plan.wave) == {"raw/x.dcm": "unit_incomplete"}
    assert series(bucket, plan) == {"1": ["raw/1/a.dcm"]}


def test_other_headers_are_other_rules_for_the_same_inventory(bucket: Any) -> None:
    bucket.put("raw/1.dcm")
    first = bucket.sync()
    read_headers(bucket)
    second = bucket.plan()

    assert first.wave.counts.held == 1
    assert second.wave.wave_id == f"{first.wave.wave_id}-2"
    assert second.wave.counts.new == 1


def test_a_set_that_an_earlier_version_wrote_holds_what_has_to_be_read_again(bucket: Any) -> None:
    bucket.put("raw/1.dcm")
    inventory = bucket.inventory()
    rows = pa.RecordBatch.from_pylist([{"key": "raw/1.dcm", "e_tag": "tag-of-raw/1.dcm", "modality": "CT"}])
    write_facts(
        bucket.store,
        "cams",
        "headers",
        "20261121T000000Z",
        [rows.select(["key", "e_tag", "modality"]).cast(facts_schema(pa.field("modality", pa.string())))],
        schema=facts_schema(pa.field("modality", pa.string())),
        made_at=bucket.now,
    )

    assert bucket.plan(inventory=inventory).wave.counts.held == 1
