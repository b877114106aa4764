"""Manifests and registrations in one stream: each chunk's manifest right before the chunk is sent, few of them at a time."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.manifest import files
from registration_pipeline.manifest.files import Manifest
from registration_pipeline.manifest.validate import validate_manifest
from registration_pipeline.manifest.violation import Violation
from registration_pipeline.state.layout import manifest_name
from registration_pipeline.submission.calls.slots import Slots
from registration_pipeline.submission.registrar import stream_chunks
from registration_pipeline.submission.result import ChunkResult, ReadyChunk
from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.submission.testing import ScriptedGateway
    from registration_pipeline.tracking.due import ChunkTask
    from registration_pipeline_tests.unit.conftest import Fleet

CHUNKS = 24
MOST, AHEAD = 2, 1


@pytest.fixture
def fleet(fleet_of: Callable[..., Fleet]) -> Fleet:
    """Many chunks of one image."""
    return fleet_of(*(f"{number:02d}.jpg" for number in range(CHUNKS)), chunk_size={"images": 1})


def stream(
    fleet: Fleet, tasks: Iterator[ChunkTask] | None = None, **options: Any
) -> Iterator[ReadyChunk | ChunkResult]:
    context = fleet.context(slots=Slots(MOST), ahead=AHEAD, **options)
    return stream_chunks(context, tasks or iter(fleet.tasks()), with_manifests=True)


def manifests_made(fleet: Fleet) -> int:
    return sum(1 for _ in fleet.store.names(f"{fleet.source.name}/manifests/"))


class Watching:
    """A gateway that counts the manifests that are there when the first chunk is sent."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.inner = fleet, fleet.encord
        self.made_at_first_start: int | None = None

    def start_job(self, **arguments: Any) -> str:
        if self.made_at_first_start is None:
            self.made_at_first_start = manifests_made(self.fleet)
        return self.inner.start_job(**arguments)

    def __getattr__(self, attribute: str) -> Any:
        inner: ScriptedGateway = self.inner
        return getattr(inner, attribute)


def test_the_first_chunk_is_sent_when_hardly_any_manifest_is_made(fleet: Fleet):
    gateway = Watching(fleet)

    found = list(stream(fleet, gateway=gateway))

    assert gateway.made_at_first_start is not None
    assert 1 <= gateway.made_at_first_start <= MOST + AHEAD
    assert manifests_made(fleet) == CHUNKS
    assert sum(isinstance(one, ReadyChunk) for one in found) == sum(isinstance(one, ChunkResult) for one in found)
    fleet.assert_exactly_once()


def test_a_chunk_is_shown_with_its_manifest_before_anything_of_it_is_recorded(fleet: Fleet):
    shown: set[str] = set()
    for one in stream(fleet):
        if isinstance(one, ReadyChunk):
            shown.add(one.chunk.chunk_id)
            assert fleet.journal.progress(one.chunk.chunk_id).state is ChunkState.PLANNED
            assert fleet.store.read(one.manifest.name)
        else:
            assert one.chunk.chunk_id in shown

    assert shown == {chunk.chunk_id for chunk in fleet.chunks}


def manifests_held() -> int:
    """Count the manifests in memory; tests before this one may have left some."""
    gc.collect()
    return sum(type(held) is Manifest for held in gc.get_objects())


def test_no_more_chunks_and_manifests_are_held_than_there_is_room_for(fleet: Fleet):
    taken, concluded = 0, 0
    before = manifests_held()

    def tasks() -> Iterator[ChunkTask]:
        nonlocal taken
        for task in fleet.tasks():
            taken += 1
            yield task

    for one in stream(fleet, tasks()):
        concluded += isinstance(one, ChunkResult)
        assert taken <= concluded + MOST + AHEAD
        assert manifests_made(fleet) <= concluded + MOST + AHEAD
        if concluded == CHUNKS // 2:
            assert manifests_held() - before <= MOST + AHEAD + 1

    assert (taken, concluded) == (CHUNKS, CHUNKS)


def test_an_invalid_manifest_in_the_middle_keeps_no_other_chunk_from_being_sent(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
):
    (url,) = (url for url in fleet.urls() if url.endswith("/12.jpg"))

    def with_a_new_rule(data: bytes, limits: ManifestLimits | None, **_: Any) -> list[Violation]:
        return [
            *validate_manifest(data, limits),
            *([Violation("images[0]", "is refused since today")] if url.encode() in data else []),
        ]

    monkeypatch.setattr(files, "validate_manifest", with_a_new_rule)

    found = list(stream(fleet))

    invalid = [one for one in found if isinstance(one, ReadyChunk) and one.manifest.violations]
    failed = [one for one in found if isinstance(one, ChunkResult) and one.has_failures]
    assert [one.chunk.chunk_id for one in invalid] == [one.chunk.chunk_id for one in failed]
    assert [one.message for one in failed] == [
        "the manifest is not valid and was not sent: images[0]: is refused since today"
    ]
    assert len(fleet.encord.manifests) == CHUNKS - 1
    fleet.assert_exactly_once(failing={url})


def test_a_manifest_that_was_changed_stops_the_stream_and_what_was_sent_before_stays(fleet: Fleet):
    changed = fleet.chunks[CHUNKS // 2].chunk_id
    fleet.store.create(manifest_name(fleet.source.name, changed), b"{}")
    results: list[ChunkResult] = []

    with pytest.raises(StateCorruptError, match=changed):
        results.extend(one for one in stream(fleet) if isinstance(one, ChunkResult))

    assert len(results) >= CHUNKS // 2 - MOST - AHEAD
    assert fleet.journal.progress(changed).state is ChunkState.PLANNED
    fleet.store.delete(manifest_name(fleet.source.name, changed))
    assert sum(isinstance(one, ChunkResult) for one in stream(fleet)) == CHUNKS
    fleet.assert_exactly_once()


def test_a_chunk_that_is_registered_is_shown_with_its_manifest_and_not_sent_again(fleet: Fleet):
    list(stream(fleet))
    sent = len(fleet.encord.manifests)

    again = list(stream(fleet))

    assert sum(isinstance(one, ReadyChunk) for one in again) == CHUNKS
    assert all(not one.is_new for one in again if isinstance(one, ChunkResult))
    assert len(fleet.encord.manifests) == sent
