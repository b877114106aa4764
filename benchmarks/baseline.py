"""The way that Encord documents, as its users write it: one boto3 loop, JSON documents, one SDK call after the other.

Encord's page "Upload data" gives the calls ``add_private_data_to_folder_start`` and ``..._get_result`` on a JSON file; its
page "Best practices" the limits: 10,000 entries a JSON file at most, and its upload page the advice of 1,000 images at a
time. No journal, no retry, no verdict per object, no second run that knows the first.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_ENTRIES = 10_000
"""Entries per JSON file: Encord's best-practices page."""

ADVISED_ENTRIES = 1_000
"""Images at a time: Encord's upload page."""


def list_keys(endpoint_url: str, bucket: str) -> list[str]:
    """List a bucket with boto3's paginator into a list."""
    import boto3

    client = boto3.client("s3", endpoint_url=endpoint_url, region_name="eu-west-2")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def document_of(keys: Sequence[str], url_prefix: str) -> dict[str, Any]:
    """Return the upload document of images; the keys must need no percent-encoding."""
    return {
        "images": [{"objectUrl": url_prefix + key, "title": key} for key in keys],
        "skip_duplicate_urls": True,
    }


def write_documents(keys: Sequence[str], url_prefix: str, folder: Path, entries: int) -> list[Path]:
    """Write one JSON file for every ``entries`` keys."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for start in range(0, len(keys), entries):
        path = folder / f"upload-{len(paths):05d}.json"
        path.write_text(json.dumps(document_of(keys[start : start + entries], url_prefix)), encoding="utf-8")
        paths.append(path)
    return paths


def submit(
    paths: Sequence[Path], *, domain: str, key_file: Path, integration: str, folder_uuid: str | None = None
) -> str:
    """Submit the files one after the other, each waited for, and return the folder's UUID; None makes a new one."""
    from encord import EncordUserClient

    client = EncordUserClient.create_with_ssh_private_key(key_file.read_text(encoding="ascii"), domain=domain)
    folder = client.get_storage_folder(folder_uuid) if folder_uuid else client.create_storage_folder("bench")
    for path in paths:
        job_id = folder.add_private_data_to_folder_start(integration, path, ignore_errors=True)
        folder.add_private_data_to_folder_get_result(job_id)
    return str(folder.uuid)
