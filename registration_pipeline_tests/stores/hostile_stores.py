"""Four stores that tests can fill, each through its provider's own client, and which keys each can't hold.

What does not belong here: the keys (``hostile_keys.py``) and starting the servers (``processes.py``).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlencode

from registration_pipeline_tests.stores.hostile_keys import HOSTILE_KEYS
from registration_pipeline_tests.stores.processes import AZURITE_ACCOUNT, AZURITE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REGION: Final = "us-east-1"

_DOTS = "the client's HTTP library resolves . and .. before it sends the request, so the signature does not fit"
_CONTROLS = "its answer is XML 1.0, which has no such character: every listing of the container fails"

CANT_HOLD: Final[Mapping[str, Mapping[str, str]]] = {
    "moto": {
        "new\nline": "its routes are regular expressions whose dot stops at a newline: 404",
        "both\r\nof them": "its routes are regular expressions whose dot stops at a newline: 404",
    },
    "swift": {},
    "azurite": {
        "back\\slash": "it takes a backslash for a slash",
        **dict.fromkeys(
            ["start\x01end", "bell\x07", "escape\x1b[31m", "unit\x1fseparator", "noncharacter\uffff"], _CONTROLS
        ),
        **dict.fromkeys([key for key in HOSTILE_KEYS if {".", ".."} & set(key.split("/"))], _DOTS),
    },
    "gcs": dict.fromkeys(
        [key for key in HOSTILE_KEYS if ".." in key.split("/")],
        "it keeps contents below a folder and refuses paths that lead upwards",
    ),
}
"""By store: key and why. A test fails when a key of these can be held after all, and when another can't."""


class Bucket(Protocol):
    """A bucket in one of the stores, through the provider's own client."""

    def put(self, key: str, content: bytes = b"x") -> None:
        """Put an object under exactly this key."""

    def put_described(self, key: str, metadata: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Put an object with metadata, and with tags where the store has them."""

    def delete(self, key: str) -> None:
        """Remove it."""

    def keys(self) -> list[str]:
        """Return every key as the provider's own client lists it."""


@dataclass(frozen=True, slots=True)
class Store:
    """A running store.

    Args:
        name: of ``CANT_HOLD``.
        uri: of a source, with ``{bucket}`` in the bucket's place.
        endpoint_url: where it listens.
        environ: what the provider's client reads.
        new_bucket: makes an empty bucket of this name.
    """

    name: str
    uri: str
    endpoint_url: str
    environ: Mapping[str, str]
    new_bucket: Callable[[str], Bucket] = field(repr=False)

    def bucket(self) -> tuple[str, Bucket]:
        """Return a new bucket and its name."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        return name, self.new_bucket(name)

    @property
    def held(self) -> list[str]:
        """The hostile keys that the store can hold."""
        return [key for key in HOSTILE_KEYS if key not in CANT_HOLD[self.name]]


class S3Bucket:
    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name
        client.create_bucket(Bucket=name)

    def put(self, key: str, content: bytes = b"x") -> None:
        self._client.put_object(Bucket=self._name, Key=key, Body=content)

    def put_described(self, key: str, metadata: Mapping[str, str], tags: Mapping[str, str]) -> None:
        tagging = {"Tagging": urlencode(tags)} if tags else {}
        self._client.put_object(Bucket=self._name, Key=key, Body=b"x", Metadata=dict(metadata), **tagging)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self._name, Key=key)

    def keys(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


class AzureBucket:
    def __init__(self, client: Any) -> None:
        self._client = client
        client.create_container()

    def put(self, key: str, content: bytes = b"x") -> None:
        self._client.upload_blob(key, content, overwrite=True)

    def put_described(self, key: str, metadata: Mapping[str, str], tags: Mapping[str, str]) -> None:
        self._client.upload_blob(key, b"x", overwrite=True, metadata=dict(metadata), tags=dict(tags) or None)

    def delete(self, key: str) -> None:
        self._client.delete_blob(key)

    def keys(self) -> list[str]:
        return [blob.name for blob in self._client.list_blobs()]


class GCSBucket:
    def __init__(self, client: Any, name: str) -> None:
        self._bucket = client.create_bucket(name)

    def put(self, key: str, content: bytes = b"x") -> None:
        kind = "image/jpeg" if content == b"x" else "application/octet-stream"
        self._bucket.blob(key).upload_from_string(content, content_type=kind, retry=None)

    def put_described(self, key: str, metadata: Mapping[str, str], tags: Mapping[str, str]) -> None:
        assert not tags, "Google's objects have none"
        blob = self._bucket.blob(key)
        blob.metadata = dict(metadata)
        blob.upload_from_string(b"x", content_type="image/jpeg", retry=None)

    def delete(self, key: str) -> None:
        self._bucket.blob(key).delete()

    def keys(self) -> list[str]:
        return [blob.name for blob in self._bucket.list_blobs(retry=None)]


def s3_store(name: str, endpoint_url: str, key_id: str, secret: str) -> Store:
    import boto3
    from botocore.config import Config

    client: Any = boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        config=Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
            retries={"total_max_attempts": 1},
        ),
    )
    environ = {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret}
    return Store(name, "s3://{bucket}/", endpoint_url, environ, lambda bucket: S3Bucket(client, bucket))


def azure_store(endpoint_url: str) -> Store:
    from azure.storage.blob import BlobServiceClient

    credential = {"account_name": AZURITE_ACCOUNT, "account_key": AZURITE_KEY}
    client = BlobServiceClient(endpoint_url, credential=credential, retry_total=0)
    environ = {"AZURE_STORAGE_KEY": AZURITE_KEY}
    uri = "az://{bucket}@" + AZURITE_ACCOUNT + "/"
    return Store("azurite", uri, endpoint_url, environ, lambda bucket: AzureBucket(client.get_container_client(bucket)))


def gcs_store(endpoint_url: str) -> Store:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    anonymous: Any = AnonymousCredentials
    client = storage.Client(project="tests", credentials=anonymous(), client_options={"api_endpoint": endpoint_url})
    return Store("gcs", "gs://{bucket}/", endpoint_url, {}, lambda bucket: GCSBucket(client, bucket))
