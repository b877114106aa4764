"""The form in which a chunk is sent changes what is posted, and neither the manifest file nor what is in the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import PermanentError
from registration_pipeline.objects import FailureReason
from registration_pipeline.settings import SubmitAs
from registration_pipeline.submission.gateway import unguarded
from registration_pipeline.submission.testing import ScriptedGateway
from registration_pipeline.tracking.journal.states import ChunkState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registration_pipeline_tests.unit.conftest import Fleet, FleetOf


class NotingGateway(ScriptedGateway):
    """Notes what is posted."""

    def __init__(self, fleet: Fleet, **options: Any) -> None:
        super().__init__(clock=fleet.time.clock, **options)
        self.posted: list[dict[str, Any] | None] = []

    def start_job(
        self,
        *,
        folder_uuid: str,
        integration_uuid: str | None,
        manifest: Path,
        data_items: dict[str, Any] | None = None,
        may_send: Callable[[], None] = unguarded,
    ) -> str:
        self.posted.append(data_items)
        return super().start_job(
            folder_uuid=folder_uuid,
            integration_uuid=integration_uuid,
            manifest=manifest,
            data_items=data_items,
            may_send=may_send,
        )


@pytest.fixture
def fleet(fleet_of: FleetOf) -> Fleet:
    return fleet_of()


def digests(fleet: Fleet) -> dict[tuple[str, int], tuple[str | None, str | None]]:
    """Return chunk and attempt -> digest and form of each intent."""
    return {
        (chunk.chunk_id, event.attempt): (event.manifest_sha256, event.submit_as)
        for chunk in fleet.chunks
        for event in fleet.journal.events(chunk.chunk_id)
        if event.manifest_sha256
    }


def test_chunks_are_sent_in_the_typed_form_and_the_manifest_file_is_the_same(fleet: Fleet, fleet_of: FleetOf) -> None:
    gateway, other = NotingGateway(fleet), fleet_of()
    other.register(gateway=NotingGateway(other))

    results = fleet.register(gateway=gateway, submit_as=SubmitAs.DATA_ITEMS)

    assert [result.state for result in results] == [ChunkState.SUCCEEDED] * 2
    posted = [one["images"] for one in gateway.posted if one is not None]  # in any order: both chunks are sent at once
    assert sorted([item["title"] for item in images] for images in posted) == [
        ["raw/a.jpg", "raw/b.jpg"],
        ["raw/c.jpg"],
    ]
    assert sorted(gateway.urls()) == fleet.urls()
    assert {key: (sha256, "data_items") for key, (sha256, _) in digests(other).items()} == digests(fleet)
    assert {form for _, form in digests(other).values()} == {None}


def test_a_retry_in_the_other_form_sends_what_is_missing_and_nothing_twice(fleet: Fleet) -> None:
    broken = {"a.jpg"}
    gateway = NotingGateway(fleet, fails=lambda url: "corrupt" if url.rpartition("/")[2] in broken else None)
    fleet.register(gateway=gateway)
    broken.clear()

    fleet.register(gateway=gateway, retry_failed=True, submit_as=SubmitAs.DATA_ITEMS)

    assert [posted is not None for posted in gateway.posted] == [False, False, True]
    assert sorted(gateway.urls()) == fleet.urls()
    assert len({sha256 for (chunk, _), (sha256, _) in digests(fleet).items() if chunk == fleet.chunks[0].chunk_id}) == 1


def test_what_the_sdk_refuses_of_one_unit_is_that_units_failure(fleet: Fleet) -> None:
    class RefusingGateway(NotingGateway):
        def start_job(self, **arguments: Any) -> str:
            if any(item["title"] == "raw/b.jpg" for item in arguments["data_items"]["images"]):
                raise PermanentError("the SDK refuses the chunk")
            return super().start_job(**arguments)

    gateway = RefusingGateway(fleet)

    results = fleet.register(gateway=gateway, submit_as=SubmitAs.DATA_ITEMS)
    first, second = sorted(results, key=lambda result: result.chunk.chunk_id)

    assert (first.state, second.state) == (ChunkState.PARTIALLY_FAILED, ChunkState.SUCCEEDED)
    assert dict(first.reasons) == {FailureReason.MANIFEST_REFUSED: 1}
    assert sorted(gateway.urls()) == [url for url in fleet.urls() if not url.endswith("b.jpg")]


@pytest.mark.parametrize("submit_as", SubmitAs)
def test_strict_client_only_sends_nothing_that_has_no_media_metadata(fleet: Fleet, submit_as: SubmitAs) -> None:
    gateway = NotingGateway(fleet)

    results = fleet.register(gateway=gateway, submit_as=submit_as, needs_media_metadata=True)

    assert gateway.posted == []
    assert [result.state for result in results] == [ChunkState.FAILED] * 2
    outcomes = [
        event.message for chunk in fleet.chunks for event in fleet.journal.events(chunk.chunk_id) if event.message
    ]
    assert any("imageMetadata: is missing, and strict_client_only sends nothing without" in text for text in outcomes)
