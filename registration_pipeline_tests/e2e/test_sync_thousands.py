"""A bucket of thousands of objects through ``registration-pipeline sync`` as a process: all, again, and a little more."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import yaml
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline_tests.doses import DOSES
from registration_pipeline_tests.forked_commands import ForkedCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline_tests.conftest import S3Bucket

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(3600)]

SOURCE = "fleet-cameras"
REJECTED, EXCLUDED = 50, 30
OBJECTS = DOSES.bucket_thousands * 1_000
VIDEOS, PDFS = OBJECTS * 8 // 100, OBJECTS * 6 // 100
TEXTS = PDFS - REJECTED - EXCLUDED
IMAGES = OBJECTS - VIDEOS - PDFS - TEXTS - REJECTED - EXCLUDED
CHUNKS = -(-IMAGES // 1000) + -(-VIDEOS // 100) + -(-PDFS // 1000) + -(-TEXTS // 1000)
ODD = ("a b+c#d?e%20f.jpg", "é/日本/ü.jpg", "//slashes//.jpg", "quote'\"&<>.png", "~tilde-._.jpg")


@dataclass(frozen=True, slots=True)
class Project:
    """A configured folder, its bucket and its sandbox."""

    root: Path
    bucket: S3Bucket
    sandbox: Sandbox

    def put(self, *keys: str) -> None:
        """Put objects straight into the server's memory, which is this process's: over HTTP each takes a millisecond."""
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for key in keys:
            backend.put_object(self.bucket.name, f"raw/{key}", b".", disable_notification=True)

    def sync(self) -> tuple[int, dict[str, Any], float]:
        """Run the command; returns its status, the source's numbers and how long it took."""
        began = time.monotonic()
        process = ForkedCommand("sync", "--json", cwd=self.root, env=os.environ)
        out, said = process.communicate(timeout=1800)
        assert "Traceback" not in said, said
        return process.returncode, json.loads(out)["sources"][SOURCE], time.monotonic() - began

    def urls(self) -> list[str]:
        """Every URL that is registered, as often as it is."""
        folders = {job.folder_uuid for job in self.sandbox.jobs()}
        return [url for folder in folders for item in self.sandbox.folder_items(folder) for url in item.urls]

    def expected(self, keys: list[str]) -> list[str]:
        """The URLs of keys by the interface's own words: every byte encoded but letters, digits and ``-._~/``."""
        start = f"{self.bucket.endpoint_url}/{self.bucket.name}/raw/"
        return sorted(start + quote(key, safe="/-._~") for key in keys)

    def digests(self, folder: str) -> dict[str, str]:
        """The sha256 of every file in a folder of the source's state."""
        root = self.root / "state" / SOURCE / folder
        files = (path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def project(s3_bucket: Callable[[], S3Bucket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    bucket = s3_bucket()
    source = {
        "uri": f"s3://{bucket.name}/raw/",
        "storage": {"region": "eu-west-2", "endpoint_url": bucket.endpoint_url},
        "encord": {"integration": "sandbox"},
        "exclude": ["**/thumbnails/**"],
        "settle_seconds": 1,
    }
    (tmp_path / "registration.yaml").write_text(yaml.safe_dump({"state": "./state", "sources": {SOURCE: source}}))
    for name in ("DAGSTER_HOME", "REGISTRATION_CONFIG", "ENCORD_SSH_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    with Sandbox(SandboxConfig(data=tmp_path / "encord", job_seconds=0.05)) as sandbox:
        monkeypatch.setenv("ENCORD_DOMAIN", sandbox.url)
        monkeypatch.setenv("ENCORD_SSH_KEY_FILE", str(sandbox.private_key_path))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield Project(tmp_path, bucket, sandbox)


def eligible_keys() -> list[str]:
    return [
        *ODD,
        *(f"camera-{number % 50:02d}/frame_{number:06d}.jpg" for number in range(IMAGES - len(ODD))),
        *(f"clips/{number:05d}.mp4" for number in range(VIDEOS)),
        *(f"reports/{number:05d}.pdf" for number in range(PDFS)),
        *(f"notes/{number:05d}.txt" for number in range(TEXTS)),
    ]


def test_a_bucket_of_thousands_is_registered_once_and_then_only_what_is_new(
    project: Project, note_line: Callable[[str], None]
):
    keys = eligible_keys()
    project.put(*keys)
    project.put(*(f"odd/{number}.xyz" for number in range(REJECTED)))
    project.put(*(f"camera-00/thumbnails/{number}.jpg" for number in range(EXCLUDED)))
    numbers = {"objects": OBJECTS, "excluded": EXCLUDED, "rejected": REJECTED, "registered": len(keys), "pending": 0}

    status, source, first_seconds = project.sync()
    assert status == 3
    assert {name: source[name] for name in numbers} == numbers
    assert source["chunks"] == {
        "planned": 0,
        "submitted": 0,
        "succeeded": CHUNKS,
        "partially_failed": 0,
        "failed": 0,
    }
    assert sorted(project.urls()) == project.expected(keys)
    assert len(project.sandbox.jobs()) == CHUNKS
    manifests, waves = project.digests("manifests"), project.digests("plan")
    assert len(manifests) == CHUNKS

    status, source, second_seconds = project.sync()
    assert status == 3
    assert {name: source[name] for name in numbers} == numbers
    assert len(project.sandbox.jobs()) == CHUNKS
    assert project.digests("manifests") == manifests

    added = [
        *(f"new/{number}.jpg" for number in range(5)),
        "new/a.mp4",
        "new/b.mp4",
        "aa/c.mp4",
        "new/d.pdf",
        "a/e.pdf",
    ]
    project.put(*added)
    status, source, third_seconds = project.sync()
    assert status == 3
    assert (source["objects"], source["registered"]) == (OBJECTS + 10, len(keys) + 10)
    assert sorted(project.urls()) == project.expected([*keys, *added])
    assert len(project.sandbox.jobs()) == CHUNKS + 3
    after = project.digests("manifests")
    assert {name: after[name] for name in manifests} == manifests
    new = sorted(name.removesuffix(".json").split("-", 1)[1] for name in after.keys() - manifests.keys())
    assert new == ["images-000001", "pdfs-000001", "videos-000001"]
    assert waves.items() <= project.digests("plan").items()
    assert project.sandbox.duplicates() == {}

    note_line(
        f"{OBJECTS:,} objects on {os.cpu_count()} cores: first sync {first_seconds:.1f} s, "
        f"nothing new {second_seconds:.1f} s, 10 new objects {third_seconds:.1f} s"
    )
