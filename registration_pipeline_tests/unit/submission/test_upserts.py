"""Upserts from facts to Encord: what changed is sent, once, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registration_pipeline_tests.upsert_model.fleet import MetadataFleet

KEYS = ("raw/a.jpg", "raw/b.jpg", "raw/c.jpg")


@pytest.fixture
def fleet() -> MetadataFleet:
    """Return three registered images."""
    made = MetadataFleet()
    made.put(*KEYS).sync().register()
    return made


def sent(fleet: MetadataFleet) -> list[dict[str, Any]]:
    """Return the manifests of upserts that reached Encord."""
    return [document for document in map(json.loads, fleet.encord.manifests) if document.get("upsert_metadata")]


def test_only_what_changed_is_sent(fleet: MetadataFleet) -> None:
    fleet.know({KEYS[0]: {"weather": "sun"}, KEYS[1]: {}, KEYS[2]: {"weather": "rain"}})
    (first,) = fleet.upsert()
    assert first.chunk.chunk_id == "20261121T030002Z-upsert-images-000001"
    assert first.registered_units == 2
    assert fleet.shown() == {"raw/a.jpg": {"weather": "sun"}, "raw/b.jpg": {}, "raw/c.jpg": {"weather": "rain"}}
    assert fleet.upsert() == []
    fleet.know({KEYS[0]: {"weather": "sun"}, KEYS[1]: {"weather": "fog"}, KEYS[2]: {"weather": "rain"}})
    fleet.upsert()
    assert [len(manifest["images"]) for manifest in sent(fleet)] == [2, 1]
    fleet.assert_exactly_once()
