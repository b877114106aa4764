"""Client metadata from every kind of entry at once, from three stores that others wrote and a folder, up to the sandbox."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.project.project import Project
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.urls import url_writer
from registration_pipeline_tests.e2e.command_project import SOURCE, CommandProject, configure, open_sandbox
from registration_pipeline_tests.e2e.described_bucket import (
    BAD,
    DESCRIBED,
    GROUPS,
    OBJECTS,
    PREFIX,
    SCHEMA,
    SIDECARS,
    UNITS,
    entries,
    expected,
    write_tables,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registration_pipeline_tests.stores.hostile_stores import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TABLES = 2
"""In the bucket below ``tables/``, which is not in the source."""


@pytest.mark.parametrize("store", ["moto", "azurite", "gcs_emulator"], indirect=True)
def test_encord_holds_what_every_entry_says_of_the_objects_of_a_bucket(
    store: Store, tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    name, bucket = store.bucket()
    uri = store.uri.format(bucket=name)

    def put(key: str, content: bytes = b"x") -> None:
        if key in DESCRIBED:
            bucket.put_described(key, DESCRIBED[key], {})
        else:
            bucket.put(key, content)

    storage = {"endpoint_url": store.endpoint_url, "region": "us-east-1"}
    _check(tmp_path, clean_environment, put, uri=uri + PREFIX, tables=uri + "tables", storage=storage)


def test_encord_holds_what_every_entry_says_of_the_files_of_a_folder(
    tmp_path: Path, clean_environment: pytest.MonkeyPatch
) -> None:
    bucket = tmp_path / "bucket"

    def put(key: str, content: bytes = b"x") -> None:
        (bucket / key).parent.mkdir(parents=True, exist_ok=True)
        (bucket / key).write_bytes(content)

    _check(
        tmp_path, clean_environment, put, uri=f"file://{bucket}/{PREFIX}", tables=str(bucket / "tables"), storage=None
    )


def _check(
    root: Path,
    patch: pytest.MonkeyPatch,
    put: Callable[..., None],
    *,
    uri: str,
    tables: str,
    storage: dict[str, Any] | None,
) -> None:
    metadata = entries(root / "seen.jsonl", with_object_metadata=storage is not None)
    for entry in metadata:
        if "table" in entry:
            entry["table"] = entry["table"].format(tables=tables)
    more = {"storage": storage} if storage else {}
    configure(root, uri=uri, groups=GROUPS, metadata=metadata, metadata_schema=SCHEMA, **more)
    below = "" if storage else PREFIX  # the keys of a folder are below it
    with open_sandbox(root, patch, job_seconds=0.0) as sandbox:
        project = CommandProject(root, sandbox)
        write = url_writer(Project.load(root / "registration.yaml").source(SOURCE))
        urls = {key: write(key.removeprefix(below)) for key in (*OBJECTS, *BAD)}
        for key in urls:
            put(key)
        write_tables(root, put, lambda key: urls[key], key_of=lambda key: key.removeprefix(below))

        sync = project.sync()

        assert (sync.status, sync.numbers["units"]["registered"]) == (3, len(UNITS)), sync.said
        found = {item.urls: json.loads(item.client_metadata) for item in project.items()}
        own = {"registration.chunk", "registration.unit", "registration.objects"}
        assert all({"registration.chunk", "registration.unit"} <= set(one) for one in found.values())
        told = {where: {name: value for name, value in one.items() if name not in own} for where, one in found.items()}
        assert told == {
            tuple(urls[key] for key in keys): expected(keys, with_object_metadata=storage is not None)
            for keys in UNITS.values()
        }
        rows = {row.key: row for row in source_failures(project.store, SOURCE)}
        assert {key: row.reason for key, row in rows.items()} == {
            key.removeprefix(below): "invalid_metadata" for key in BAD
        }
        for key, named in BAD.items():
            message = rows[key.removeprefix(below)].message or ""
            assert named.removeprefix(below) in message, message
        assert sync.numbers["excluded"] == len(SIDECARS) + 2
        assert sync.numbers["objects"] == len(OBJECTS) + len(BAD) + len(SIDECARS) + 2
