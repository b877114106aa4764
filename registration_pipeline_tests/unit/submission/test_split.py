"""A chunk that Encord refuses as a whole is halved down to the entries that it refuses alone; the rest goes through."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import AmbiguousError, HaltError, PayloadTooLargeError, PermanentError
from registration_pipeline.limits import ManifestLimits
from registration_pipeline.planning.halves import halve, is_within, read_units
from registration_pipeline.submission.split import GIVE_UP_AFTER
from registration_pipeline.submission.testing import StartScript
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline_tests.doses import examples


def urls_of(manifest: dict[str, Any]) -> list[str]:
    return [item["objectUrl"] for items in manifest.values() if isinstance(items, list) for item in items]


def refusing(*names: str) -> Any:
    """Refuse every manifest that holds one of these objects, as Encord does."""

    def refuse(manifest: dict[str, Any]) -> Exception | None:
        bad = [url for url in urls_of(manifest) if url.rsplit("/", 1)[-1] in names]
        return PermanentError(f"400: {bad[0]} is not acceptable") if bad else None

    return refuse


def larger_than(units: int) -> Any:
    return lambda manifest: PayloadTooLargeError("413: too large") if len(urls_of(manifest)) > units else None


def named(fleet: Any, *names: str) -> set[str]:
    return {url for url in fleet.urls() if url.rsplit("/", 1)[-1] in names}


@pytest.fixture
def fleet(fleet_of: Any) -> Any:
    """One chunk of twenty images."""
    return fleet_of(*(f"{number:02d}.jpg" for number in range(20)), chunk_size={"images": 20})


@settings(deadline=None, max_examples=examples(5, thorough=100))
@given(bad=st.sets(st.integers(0, 19), min_size=1, max_size=4))
def test_exactly_the_bad_entries_fail(fleet_of: Any, bad: set[int]):
    names = [f"{number:02d}.jpg" for number in bad]
    fleet = fleet_of(*(f"{number:02d}.jpg" for number in range(20)), chunk_size={"images": 20})
    fleet.encord.refuses = refusing(*names)

    (result,) = fleet.register()

    fleet.assert_exactly_once(failing=named(fleet, *names))
    assert (result.state, result.failed_units) == (ChunkState.PARTIALLY_FAILED, len(bad))
    assert dict(result.reasons) == {"manifest_refused": len(bad)}
    assert all("is not acceptable" in failed.first.message for failed in result.failures)


def test_one_bad_entry_costs_two_starts_a_level(fleet: Any):
    fleet.encord.refuses = refusing("07.jpg")

    fleet.register()

    assert len(fleet.journal.chunk_ids()) <= 1 + 2 * 5


def test_what_is_too_large_is_split_until_it_fits(fleet: Any):
    fleet.encord.refuses = larger_than(6)

    (result,) = fleet.register()

    fleet.assert_exactly_once()
    assert result.state is ChunkState.SUCCEEDED
    assert "submitted in parts" in result.message
    whole = fleet.chunks[0].chunk_id
    assert fleet.journal.chunk_ids() == sorted(
        [whole, *(f"{whole}-{path}" for path in ("a", "aa", "ab", "b", "ba", "bb"))]
    )
    assert sorted(len(urls_of_bytes(data)) for data in fleet.encord.manifests) == [5, 5, 5, 5]


def urls_of_bytes(data: bytes) -> list[str]:
    import json

    return urls_of(json.loads(data))


def test_a_refusal_of_everything_is_recognised_after_a_few_units(fleet: Any):
    """Not an entry is wrong but something else: two thousand starts a chunk would not tell more."""
    fleet.encord.refuses = lambda _: PermanentError("400: the integration takes nothing today")

    (result,) = fleet.register()

    assert (result.state, result.failed_units) == (ChunkState.FAILED, 20)
    alone = [one for one in fleet.journal.chunk_ids() if fleet.journal.progress(one).state is ChunkState.FAILED]
    assert len(alone) < 3 * GIVE_UP_AFTER
    messages = {outcome.message for outcome in fleet.outcomes()}
    assert any("the first 8 units that were tried alone as well" in message for message in messages)
    assert fleet.status().adds_up


def test_a_retry_sends_only_the_parts_that_failed(fleet: Any):
    fleet.encord.refuses = refusing("07.jpg", "12.jpg")
    fleet.register()
    sent = len(fleet.encord.manifests)
    fleet.encord.refuses = lambda _: None

    (result,) = fleet.register(retry_failed=True)

    assert (result.state, result.attempt) == (ChunkState.SUCCEEDED, 2)
    assert [len(urls_of_bytes(data)) for data in fleet.encord.manifests[sent:]] == [1, 1]
    fleet.assert_exactly_once()


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_write_while_a_chunk_is_split(fleet_of: Any, crash: Any, crashing_store: Any, moment: str):
    for number in count(1):
        fleet = fleet_of(*(f"{digit}.jpg" for digit in range(5)), chunk_size={"images": 5})
        fleet.encord.refuses = refusing("3.jpg")
        store = crashing_store(fleet.store, number, moment)
        with suppress(crash, HaltError):
            fleet.register(store=store)
        fleet.register_until_done(settle_seconds=5)
        fleet.assert_exactly_once(failing=named(fleet, "3.jpg"))
        if not store.is_dead:
            break
    assert number > 20


def test_parts_whose_start_is_in_doubt_are_settled_like_chunks(fleet: Any):
    fleet.encord.job_seconds = 50
    fleet.encord.refuses = refusing("07.jpg")
    scripts = [StartScript.ACCEPT, StartScript.LOSE_REPLY, StartScript.LOSE_REQUEST, StartScript.LOSE_REPLY]
    fleet.encord.starts = scripts

    fleet.register()

    fleet.assert_exactly_once(failing=named(fleet, "07.jpg"))


def test_a_start_in_doubt_is_not_mistaken_for_a_refusal(fleet: Any):
    class Once:
        def __init__(self) -> None:
            self.errors: list[Exception] = [AmbiguousError("502")]

        def __call__(self, _: object) -> Exception | None:
            return self.errors.pop() if self.errors else None

    fleet.encord.refuses = Once()

    (result,) = fleet.register()

    assert result.attempt == 2
    assert fleet.journal.chunk_ids() == [fleet.chunks[0].chunk_id]
    fleet.assert_exactly_once()


@settings(deadline=None, max_examples=examples(8, thorough=200))
@given(units=st.integers(2, 20))
def test_halves_are_all_units_in_order_and_have_ids_of_their_own(fleet_of: Any, units: int):
    fleet = fleet_of(*(f"{number:02d}.jpg" for number in range(units)), chunk_size={"images": units})
    whole, found, waiting = fleet.chunks[0], [], [(fleet.chunks[0], fleet.units_of(fleet.chunks[0]))]
    ids = {whole.chunk_id}
    while waiting:
        chunk, members = waiting.pop()
        assert (chunk.units, chunk.objects) == (len(members), len(members))
        assert list(read_units(fleet.store, "fleet", chunk.chunk_id)) == list(members)
        if len(members) == 1:
            found.append(members[0])
            continue
        for part, part_members in halve(chunk, members):
            assert part.chunk_id not in ids
            assert is_within(part.chunk_id, chunk.chunk_id)
            assert is_within(part.chunk_id, whole.chunk_id)
            assert not is_within(chunk.chunk_id, part.chunk_id)
            ids.add(part.chunk_id)
            waiting.append((part, part_members))
    assert sorted(found, key=lambda unit: unit.unit_index) == fleet.units()


def test_a_chunk_that_an_earlier_wider_plan_allowed_is_halved_before_anything_is_sent(fleet: Any):
    limits = ManifestLimits(entries=6, bytes=10_000_000)

    (result,) = fleet.register(limits=limits)

    fleet.assert_exactly_once()
    assert (result.state, result.registered_units) == (ChunkState.SUCCEEDED, 20)
    assert [len(urls_of(json.loads(data))) for data in fleet.encord.manifests] == [5, 5, 5, 5]
