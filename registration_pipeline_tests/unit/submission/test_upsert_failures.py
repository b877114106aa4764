"""What `failures` and `status` say of registered units whose metadata did not get to Encord, and that the remedies help."""

from __future__ import annotations

import json

import pytest

from registration_pipeline.objects import MediaKind
from registration_pipeline.tracking.due import ChunkTask
from registration_pipeline.tracking.upserts import UpsertCounts
from registration_pipeline.verification.state import verify_state
from registration_pipeline_tests.planned_units import Group, plan_groups
from registration_pipeline_tests.upsert_model.fleet import MetadataFleet

KEYS = A, B, C = ("raw/a.jpg", "raw/b.jpg", "raw/c.jpg")
SUN, RAIN = ({"weather": "sun"}, {"weather": "rain"})
INVALID = "invalid_metadata"
PROBLEMS = [INVALID, "metadata_unreadable", "unit_too_large"]


@pytest.fixture
def fleet() -> MetadataFleet:
    """Return three registered images, of which nothing is known yet."""
    made = MetadataFleet(chunk_size={"images": 10})
    made.put(*KEYS).sync().register()
    return made


def rows(fleet: MetadataFleet) -> list[tuple[str, str, str | None]]:
    return [(row.key, row.reason, row.message) for row in fleet.upsert_failures()]


def remove(fleet: MetadataFleet, title: str) -> None:
    for found in fleet.encord.items.values():
        found[:] = [item for item in found if item.name != title]


def register_by_force(fleet: MetadataFleet, chunk_id: str | None) -> None:
    """Do what ``submit --chunk ID --force`` does; only a chunk of the registration is accepted."""
    (chunk,) = [chunk for chunk in fleet.chunks if chunk.chunk_id == chunk_id]
    fleet.register(tasks=[ChunkTask(chunk=chunk, after_attempt=1, is_fresh=True, is_forced=True)])


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_registered_unit_with_invalid_metadata_is_a_failure_until_it_is_right_again(
    fleet: MetadataFleet, problem: str
) -> None:
    (chunk,) = fleet.chunks
    fleet.know(dict.fromkeys(KEYS, SUN)).upsert()
    sent = len(fleet.encord.manifests)
    fleet.know({A: SUN, B: RAIN, C: SUN}, problems={B: problem})

    assert fleet.upsert() == []

    (row,) = fleet.upsert_failures()
    assert (row.source, row.key, row.stage, row.reason) == ("fleet", B, "upsert", problem)
    assert (row.objects, row.message) == (1, f"{B!r} has a problem")
    assert row.chunk_id == chunk.chunk_id
    assert fleet.counts() == UpsertCounts(done=2, failed=1)
    assert len(fleet.encord.manifests) == sent
    files = list(fleet.store.names(""))
    assert fleet.upsert() == []
    assert list(fleet.store.names("")) == files  # a night without changes
    assert fleet.counts() == UpsertCounts(done=2, failed=1)
    assert verify_state(fleet.store, "fleet").damaged == {}

    fleet.know({A: SUN, B: SUN, C: SUN}).upsert()
    assert (rows(fleet), fleet.counts()) == ([], UpsertCounts(done=3))
    assert len(fleet.encord.manifests) == sent
    fleet.know({A: SUN, B: RAIN, C: SUN}, problems={B: problem}).upsert()
    fleet.know({A: SUN, B: RAIN, C: SUN}).upsert()
    assert (rows(fleet), fleet.counts()) == ([], UpsertCounts(done=3))
    assert fleet.shown() == {A: SUN, B: RAIN, C: SUN}


def test_a_unit_that_was_never_sent_again_is_a_failure_as_well(fleet: MetadataFleet) -> None:
    fleet.know({A: SUN, B: {}, C: {}}, problems={B: INVALID}).upsert()

    assert fleet.counts() == UpsertCounts(done=1, failed=1)
    assert rows(fleet) == [(B, INVALID, f"{B!r} has a problem")]
    fleet.know({A: SUN, B: {}, C: {}}).upsert()
    assert (rows(fleet), fleet.counts()) == ([], UpsertCounts(done=1))


def test_a_unit_of_several_with_two_invalid_objects_is_one_failure_named_by_its_first_object() -> None:
    fleet = MetadataFleet()
    group = Group(MediaKind.IMAGE_GROUP, "rig x", tuple(f"raw/x/{number}.jpg" for number in range(3)))
    plan_groups(fleet, [group])
    fleet.register()
    first, second, third = group.keys
    fleet.know({first: SUN, second: {}, third: {}}, problems={second: INVALID, third: "metadata_unreadable"})

    assert fleet.upsert() == []

    (row,) = fleet.upsert_failures()
    assert (row.key, row.objects, row.reason) == (first, 3, INVALID)
    assert row.message == f"{second!r} has a problem"
    assert fleet.counts() == UpsertCounts(failed=1)


def test_a_unit_that_is_not_registered_is_no_failure_of_upserts() -> None:
    fleet = MetadataFleet(encord={"fails": lambda url: "boom" if url.endswith("b.jpg") else None})
    fleet.put(*KEYS).sync().register()

    fleet.know(dict.fromkeys(KEYS, SUN), problems={B: INVALID}).upsert()

    assert (rows(fleet), fleet.counts()) == ([], UpsertCounts(done=2))
    assert fleet.preview().invalid == ()


def test_what_failed_before_and_is_invalid_now_has_one_row_and_the_first_reason_comes_back(
    fleet: MetadataFleet,
) -> None:
    remove(fleet, B)
    fleet.know(dict.fromkeys(KEYS, SUN)).upsert()
    (gone,) = fleet.upsert_failures()

    fleet.know(dict.fromkeys(KEYS, SUN), problems={B: INVALID}).upsert()

    assert rows(fleet) == [(B, INVALID, f"{B!r} has a problem")]
    assert fleet.counts() == UpsertCounts(done=2, failed=1)
    fleet.upsert(failed=True, force=True)
    assert rows(fleet) == [(B, INVALID, f"{B!r} has a problem")]
    fleet.know(dict.fromkeys(KEYS, SUN)).upsert()
    assert fleet.upsert_failures() == [gone]
    assert fleet.counts() == UpsertCounts(done=2, failed=1)


def test_a_preview_names_the_first_invalid_units(fleet: MetadataFleet) -> None:
    fleet.know(dict.fromkeys(KEYS, SUN), problems={A: INVALID, C: "metadata_unreadable"})

    plan = fleet.preview()

    assert [tuple(unit) for unit in plan.invalid] == [
        (A, INVALID, f"{A!r} has a problem"),
        (C, "metadata_unreadable", f"{C!r} has a problem"),
    ]
    assert (plan.wave.upserts["units"], plan.wave.upserts["invalid"]) == (1, 2)


def test_the_chunk_that_a_failure_names_can_be_registered_again_and_that_heals_it(fleet: MetadataFleet) -> None:
    (chunk,) = fleet.chunks
    remove(fleet, B)
    fleet.know(dict.fromkeys(KEYS, SUN)).upsert()
    (row,) = fleet.upsert_failures()
    assert row.chunk_id == chunk.chunk_id
    assert f"`submit fleet --chunk {chunk.chunk_id} --force`" in str(row.message)
    fleet.know(dict.fromkeys(KEYS, RAIN)).upsert()  # it is kept by the next wave
    (row,) = fleet.upsert_failures()
    assert row.chunk_id == chunk.chunk_id

    register_by_force(fleet, row.chunk_id)
    fleet.upsert(failed=True)

    assert (rows(fleet), fleet.counts()) == ([], UpsertCounts(done=3))
    assert fleet.shown() == dict.fromkeys(KEYS, RAIN)


def test_a_unit_that_a_forced_registration_did_not_register_is_a_failure_of_registration_alone(
    fleet: MetadataFleet,
) -> None:
    (chunk,) = fleet.chunks
    remove(fleet, B)
    fleet.know(dict.fromkeys(KEYS, SUN)).upsert()
    fleet.encord.fails = lambda url: "404 not found" if url.endswith("b.jpg") else None

    register_by_force(fleet, chunk.chunk_id)
    fleet.upsert(failed=True)

    assert (rows(fleet), fleet.counts()) == ([], UpsertCounts(done=2))


def test_each_failure_names_the_chunk_of_its_unit(fleet: MetadataFleet) -> None:
    fleet.put("raw/d.jpg").sync().register()
    before = {chunk.chunk_id for chunk in fleet.chunks}
    fleet.encord.ignores_upserts = True
    fleet.know(dict.fromkeys([A, "raw/d.jpg"], SUN) | {B: {}, C: {}}).upsert()

    found = fleet.upsert_failures()

    assert [row.reason for row in found] == ["metadata_not_shown"] * 2
    assert {row.chunk_id for row in found} == before
    provenance = [
        {unit["title"]: unit["clientMetadata"]["registration.chunk"] for unit in json.loads(manifest)["images"]}
        for manifest in fleet.encord.manifests[:2]
    ]
    assert {row.key: row.chunk_id for row in found}.items() <= (provenance[0] | provenance[1]).items()
