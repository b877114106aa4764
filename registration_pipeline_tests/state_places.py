"""Where a state can be kept: on a path, and in buckets of four servers that others wrote, each started when it is asked for.

What does not belong here: what is tested on them, and buckets that are registered (``stores/hostile_stores.py``).
"""

from __future__ import annotations

import json
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import unquote, urlencode, urlsplit

from benchmarks.front import Front, Request
from registration_pipeline.state.factory import open_state_store
from registration_pipeline_tests.stores.hostile_stores import azure_store, gcs_store, s3_store
from registration_pipeline_tests.stores.processes import (
    AZURITE_ACCOUNT,
    AZURITE_KEY,
    SEAWEEDFS_KEY,
    SWIFT_KEY,
    SWIFT_USER,
    azurite,
    fake_gcs_server,
    moto_alone,
    seaweedfs,
    swift,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pytest

    from registration_pipeline.state.store import StateStore
    from registration_pipeline_tests.stores.hostile_stores import Store

BUCKETS: Final = ("moto", "seaweedfs", "gcs", "azurite")
"""The servers; Swift is not among them: of two writers at the same moment it lets both win, so no state may be kept there."""
PLACES: Final = ("path", *BUCKETS)

_REGION: Final = "us-east-1"
_OTHERS: Final = (
    *("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"),
    *("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ENDPOINT"),
    *("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"),
    *("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"),
)
_BOUNDARY: Final = "5f0c2f7f-b231-4c2d-97f2-of-tests"
"""Of the parts of a request; no file of a state contains it."""


@dataclass(frozen=True, slots=True)
class StatePlace:
    """A place for one state, empty.

    Args:
        name: of ``PLACES``.
        uri: for the setting ``state``.
        environ: what a process needs to get there.
        endpoint_url: of the server; empty for a path.
        server: the server it is in; None for a path.
    """

    name: str
    uri: str
    environ: Mapping[str, str]
    endpoint_url: str = ""
    server: Store | None = field(default=None, repr=False)

    def use(self, patch: pytest.MonkeyPatch) -> Self:
        """Put the environment in place, and nothing of the user's own."""
        for name in _OTHERS:
            patch.delenv(name, raising=False)
        for name, value in self.environ.items():
            patch.setenv(name, value)
        return self

    def open(self) -> StateStore:
        """Return the state's store; the environment must be in place."""
        return open_state_store(self.uri)


class StateServers:
    """The servers of one session; a context manager.

    Args:
        folder: for their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._running = folder, ExitStack()
        self._stores: dict[str, tuple[Store, Mapping[str, str], str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def place(self, name: str, folder: Path, *, through: Callable[[str], str] = lambda url: url) -> StatePlace:
        """Return a new place.

        Args:
            name: of ``PLACES``, or ``swift``.
            folder: of a state on a path.
            through: gives the URL of what lies in front of the server, from the server's own.
        """
        if name == "path":
            return StatePlace(name, str(folder / "state"), {})
        if name not in self._stores:
            started, environ = self._started(name)
            # One bucket for all: SeaweedFS sets disk space aside for each.
            self._stores[name] = started, environ, started.uri.format(bucket=started.bucket()[0])
        server, environ, bucket_uri = self._stores[name]
        endpoint = through(server.endpoint_url)
        reached = {variable: value.format(endpoint=endpoint) for variable, value in environ.items()}
        return StatePlace(name, f"{bucket_uri}{uuid.uuid4().hex[:8]}/state", reached, endpoint, server)

    def _started(self, name: str) -> tuple[Store, Mapping[str, str]]:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)

        def run(server: Callable[[Path], AbstractContextManager[str]]) -> str:
            return self._running.enter_context(server(folder))

        nothing = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), f"{folder}/nothing")
        amazon = nothing | {
            "AWS_ENDPOINT_URL_S3": "{endpoint}",
            "AWS_REGION": _REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if name == "azurite":
            key = {"AZURE_STORAGE_KEY": AZURITE_KEY, "AZURE_STORAGE_ACCOUNT_NAME": AZURITE_ACCOUNT}
            return azure_store(run(azurite)), key | {"AZURE_STORAGE_ENDPOINT": "{endpoint}"}
        if name == "gcs":
            emulator = run(fake_gcs_server)
            front = Front(emulator, rewrite=AsJson(emulator), complete=AsJson.headers_of_upload)
            self._running.enter_context(front)
            return gcs_store(front.url), {"STORAGE_EMULATOR_HOST": "{endpoint}"}
        started, key_id, secret = {
            "moto": (moto_alone, "testing", "testing"),
            "seaweedfs": (seaweedfs, SEAWEEDFS_KEY, SEAWEEDFS_KEY),
            "swift": (swift, SWIFT_USER, SWIFT_KEY),
        }[name]
        store = s3_store(name, run(started), key_id, secret)
        return store, {**amazon, **store.environ}


class AsJson:
    """Turns obstore's upload, of Google's XML API, into the one of its JSON API, the only one that the emulator knows.

    The condition goes along as it is, so it is the emulator that keeps or refuses a file. Listing, reading and deleting in XML
    the emulator knows, under its own name.

    Args:
        url: of the emulator.
    """

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc

    def __call__(self, request: Request) -> None:
        """Change a request."""
        request.headers = [pair for pair in request.headers if pair[0].lower() != "host"] + [("Host", self._host)]
        place = urlsplit(request.target)
        if request.method == "PUT" and not place.path.startswith(("/storage/", "/upload/", "/resumable/")):
            self._upload(request, place.path)

    def _upload(self, request: Request, path: str) -> None:
        bucket, _, name = unquote(path).removeprefix("/").partition("/")
        conditions = [value for header, value in request.headers if header.lower() == "x-goog-if-generation-match"]
        condition = {"ifGenerationMatch": conditions[0]} if conditions else {}
        query = {"uploadType": "multipart", "name": name, **condition}
        request.method, request.target = "POST", f"/upload/storage/v1/b/{bucket}/o?{urlencode(query)}"
        parts = (b"Content-Type: application/json", b"{}"), (b"Content-Type: application/octet-stream", request.body)
        mark = b"--" + _BOUNDARY.encode()
        request.body = b"".join(b"%s\r\n%s\r\n\r\n%s\r\n" % (mark, *part) for part in parts) + mark + b"--\r\n"
        kept = [pair for pair in request.headers if pair[0].lower() not in {"content-length", "content-type"}]
        kind = f"multipart/related; boundary={_BOUNDARY}"
        request.headers = [*kept, ("Content-Type", kind), ("Content-Length", str(len(request.body)))]

    @staticmethod
    def headers_of_upload(request: Request, said: bytes) -> list[tuple[str, str]]:
        """Return what the XML API says of a new object in headers, and JSON in its body."""
        if not request.target.startswith("/upload/storage/") or b'"storage#object"' not in said:
            return []
        made = json.loads(said)
        return [("ETag", made["etag"]), ("x-goog-generation", made["generation"])]
