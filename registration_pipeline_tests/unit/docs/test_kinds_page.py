"""The examples of the page on kinds: keys and a rule give the manifests that the page shows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from registration_pipeline.facts.headers.schema import HEADER_SCHEMA
from registration_pipeline.facts.sets import write_facts
from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.manifest.validate import validate_manifest
from registration_pipeline.planning.halves import read_units
from registration_pipeline_tests.unit.planning.conftest import START, Bucket

if TYPE_CHECKING:
    import pyarrow as pa

PAGE = Path(__file__).parents[3] / "docs" / "kinds.md"
_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


class Example(NamedTuple):
    keys: list[str]
    rules: dict[str, Any]
    manifests: str


def examples() -> list[Example]:
    blocks = [(found["language"], found["text"]) for found in _BLOCK.finditer(PAGE.read_text(encoding="utf-8"))]
    assert [language for language, _ in blocks] == ["text", "yaml", "json"] * (len(blocks) // 3)
    return [
        Example(keys.split(), yaml.safe_load(rules), manifests)
        for (_, keys), (_, rules), (_, manifests) in zip(blocks[::3], blocks[1::3], blocks[2::3], strict=True)
    ]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.keys[0])
def test_an_example_gives_the_manifests_that_the_page_shows(example: Example, tmp_path: Path) -> None:
    made = manifests_of(example, tmp_path)

    assert "\n".join(map(shown, made)) + "\n" == example.manifests
    assert [problem for manifest in made for problem in validate_manifest(manifest)] == []


def manifests_of(example: Example, folder: Path) -> list[bytes]:
    bucket = Bucket(folder, name="archive", uri="s3://bucket/", **example.rules)
    bucket.put(*example.keys, last_modified=START.replace(day=1))
    inventory = bucket.inventory()
    write_facts(
        bucket.store,
        "archive",
        "headers",
        inventory.inventory_id,
        [headers_of(bucket)],
        schema=HEADER_SCHEMA,
        made_at=bucket.now,
    )
    plan = bucket.plan(inventory=inventory)
    return [
        render_manifest(chunk.chunk_id, read_units(bucket.store, "archive", chunk.chunk_id)) for chunk in plan.chunks
    ]


def headers_of(bucket: Bucket) -> pa.RecordBatch:
    import pyarrow as pa

    rows = [
        {name: found.get(name) for name in HEADER_SCHEMA.names}
        | {"key": key, "series": "1.2.840.99.7", "study": "1.2.840.99", "modality": "CT", "bytes_read": 16_384}
        for key, found in sorted(bucket.objects.items())
    ]
    return pa.RecordBatch.from_pylist(rows, schema=HEADER_SCHEMA)


def shown(manifest: bytes) -> str:
    """Return a manifest as the page shows it: a line for each key of an item."""
    return json.dumps(json.loads(manifest), indent=2, ensure_ascii=False)
