"""A bucket with the keys of an example of Encord's pages gives the JSON of the example, for every provider and kind.

Left aside: ``skip_duplicate_urls``, which every manifest has, and the two keys of client metadata that identify a unit.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.manifest.format import (
    CHUNK_METADATA_KEY,
    CLIENT_METADATA,
    OBJECTS_METADATA_KEY,
    UNIT_METADATA_KEY,
)
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.manifest.validate import validate_manifest
from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit
from registration_pipeline.planning.wave import load_chunks, read_chunk_units
from registration_pipeline.settings import SourceSettings
from registration_pipeline.urls import object_url
from registration_pipeline_tests.encord_examples import EXAMPLES, PROVIDERS, Example
from registration_pipeline_tests.unit.planning.conftest import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    UnitsOf = Callable[[dict[str, Any], Example, Path], list[ChunkUnits]]


def by_hand(settings: dict[str, Any], example: Example, _root: Path) -> list[ChunkUnits]:
    """Return the units that an example has, as one chunk."""
    source = SourceSettings.model_validate({"name": "cams", "encord": {"integration": "i"}, **settings})
    units = [
        PlannedUnit(
            f"{index:016x}",
            unit.kind,
            unit.title,
            tuple(PlannedObject(key, object_url(source, key), 10) for key in unit.keys),
            index,
        )
        for index, unit in enumerate(example.units)
    ]
    return [ChunkUnits.of(units)]


def planned(settings: dict[str, Any], example: Example, root: Path) -> list[ChunkUnits]:
    """Return the units that the plan of a bucket with these keys has, chunk by chunk."""
    bucket = Bucket(root, **{"storage": {}, **settings, **example.rules})
    bucket.put(*example.keys)
    bucket.sync()
    chunks = load_chunks(bucket.store, "cams").values()
    return [read_chunk_units(bucket.store, "cams", chunk) for chunk in chunks]


def registered(data: bytes) -> dict[str, Any]:
    """Return a manifest without what is only ours."""
    document: dict[str, Any] = json.loads(data)
    assert document.pop("skip_duplicate_urls") is True
    for items in document.values():
        for item in items:
            metadata = item.pop(CLIENT_METADATA, {})
            assert metadata.keys() <= {CHUNK_METADATA_KEY, OBJECTS_METADATA_KEY, UNIT_METADATA_KEY}
    return document


def in_order(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose lists are in the order of titles: a chunk holds one kind, so a list comes in several parts."""
    return {kind: sorted(items, key=lambda item: str(item["title"])) for kind, items in document.items()}


@pytest.mark.parametrize("units_of", [by_hand, planned], ids=["by hand", "planned"])
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_a_bucket_with_the_keys_of_an_example_gives_its_json(
    tmp_path: Path, example: Example, provider: str, units_of: UnitsOf
) -> None:
    settings, base = PROVIDERS[provider]

    made: dict[str, Any] = {}
    for number, units in enumerate(units_of(settings, example, tmp_path)):
        data = render_manifest(f"chunk-{number}", units)
        assert validate_manifest(data) == []
        for kind, items in registered(data).items():
            made.setdefault(kind, []).extend(items)

    assert in_order(made) == in_order(example.document(base))


def test_every_kind_has_an_example() -> None:
    assert {unit.kind.value for example in EXAMPLES.values() for unit in example.units} == {
        *("images", "videos", "audio", "pdfs", "text", "nifti", "image_groups", "image_sequences", "dicom_series")
    }
