"""Google's listing: every column, many pages, and what becomes of its refusals."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import (
    ConfigurationError,
    CredentialsError,
    HaltError,
    ListingError,
    NotFoundError,
    PermissionDeniedError,
    ServiceUnavailableError,
)
from registration_pipeline.inventory.gcs.lister import GCSLister
from registration_pipeline.inventory.reports.bucket_places import open_google_place
from registration_pipeline.inventory.schema import INVENTORY_SCHEMA
from registration_pipeline.orchestration.storage.gcs import ListingGCSResource
from registration_pipeline.project.clients.listers import make_lister
from registration_pipeline.settings import SourceSettings, StorageSettings
from registration_pipeline_tests.answers import saying, server

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline_tests.stores.hostile_stores import Store

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}
ITEM = {"name": "a.jpg", "size": "5", "updated": "2026-11-21T02:00:00.123Z"}


def lister_at(endpoint: str, **options: Any) -> GCSLister:
    client = ListingGCSResource(endpoint_url=endpoint).get_client()
    return GCSLister(client, "bucket", source="fleet", retry_seconds=0.2, **options)


def listed(lister: GCSLister) -> list[dict[str, Any]]:
    return [row for batch in lister.list_objects() for row in batch.to_pylist()]


def page(*items: dict[str, str], **more: str) -> str:
    return json.dumps({"kind": "storage#objects", "items": items, **more})


def refusal(status: int, message: str) -> str:
    return json.dumps({"error": {"code": status, "message": message, "errors": [{"message": message}]}})


def test_every_column_is_what_the_store_says(gcs_emulator_store: Store, clean_environment: pytest.MonkeyPatch) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    name, _ = gcs_emulator_store.bucket()
    anonymous: Any = AnonymousCredentials
    options = {"api_endpoint": gcs_emulator_store.endpoint_url}
    bucket = storage.Client(project="p", credentials=anonymous(), client_options=options).bucket(name)
    blob = bucket.blob("caf\u00e9.jpg")
    blob.storage_class = "ARCHIVE"
    blob.upload_from_string(b"12345", content_type="image/jpeg")
    uri, settings = f"gs://{name}/caf", StorageSettings(endpoint_url=gcs_emulator_store.endpoint_url)
    lister = make_lister(SourceSettings(name="fleet", uri=uri, storage=settings))

    [batch] = lister.list_objects()
    [row] = batch.to_pylist()

    assert batch.schema.equals(INVENTORY_SCHEMA)
    assert abs(row.pop("last_modified") - datetime.now(UTC)) < timedelta(minutes=5)
    assert row == {
        "key": "caf\u00e9.jpg",
        "size": 5,
        "e_tag": base64.b64encode(hashlib.md5(b"12345").digest()).decode(),
        "storage_class": "ARCHIVE",
        "content_type": "image/jpeg",
        "version": str(blob.generation),
    }
    assert lister.requests == 1
    assert lister.description == f"gs://{name}/caf via Objects: list"


@pytest.mark.parametrize(
    ("hashes", "e_tag"),
    [
        ({"md5Hash": "bWQ1", "crc32c": "AAAA", "etag": "x"}, "bWQ1"),
        ({"crc32c": "AAAA", "etag": "x"}, "crc32c:AAAA"),
        ({"etag": "x"}, "x"),
        ({}, None),
    ],
    ids=["with MD5", "composite object", "neither", "nothing"],
)
def test_the_e_tag_changes_with_the_content_alone(hashes: dict[str, str], e_tag: str | None) -> None:
    with saying(200, page({**ITEM, **hashes}), JSON) as endpoint:
        [row] = listed(lister_at(endpoint))

    assert row["e_tag"] == e_tag
    assert row["last_modified"] == datetime(2026, 11, 21, 2, 0, 0, 123000, tzinfo=UTC)
    assert row["storage_class"] is row["content_type"] is row["version"] is None


def test_pages_are_asked_for_one_after_the_other_with_only_the_fields_that_are_kept() -> None:
    asked: list[dict[str, str]] = []

    def answer(query: dict[str, str]) -> tuple[int, str, dict[str, str]]:
        asked.append(query)
        number = int(query.get("pageToken", "0"))
        if number == 1:
            return 200, json.dumps({"kind": "storage#objects", "nextPageToken": "2"}), JSON  # none, and yet more
        more = {} if number == 2 else {"nextPageToken": "1"}
        return 200, page({**ITEM, "name": f"{number}a"}, {**ITEM, "name": f"{number}b"}, **more), JSON

    with server(answer) as endpoint:
        lister = lister_at(endpoint, page_size=2)
        keys = [row["key"] for row in listed(lister)]

    assert keys == ["0a", "0b", "2a", "2b"]
    assert lister.requests == len(asked) == 3
    assert [query.get("pageToken") for query in asked] == [None, "1", "2"]
    assert {query["maxResults"] for query in asked} == {"2"}
    assert "items(name,size,updated," in asked[0]["fields"]


def test_a_busy_store_is_asked_again() -> None:
    answers = iter([(503, refusal(503, "busy"), JSON), (429, refusal(429, "slow down"), JSON), (200, page(ITEM), JSON)])
    with server(lambda _: next(answers)) as endpoint:
        client = ListingGCSResource(endpoint_url=endpoint).get_client()
        lister = GCSLister(client, "bucket")

        assert [row["key"] for row in listed(lister)] == ["a.jpg"]
        assert lister.requests == 3


@pytest.mark.parametrize(
    ("status", "message", "error", "words"),
    [
        (404, "Not Found", NotFoundError, r"bucket does not exist.*sources\.fleet\.uri"),
        (401, "Invalid Credentials ya29.secret", CredentialsError, r"GOOGLE_APPLICATION_CREDENTIALS.*gcloud auth"),
        (
            403,
            "robot@p.iam.gserviceaccount.com does not have storage.objects.list access to the Google Cloud Storage bucket.",
            PermissionDeniedError,
            r"robot@p\.iam\.gserviceaccount\.com lacks storage\.objects\.list.*gs://bucket",
        ),
        (403, "Forbidden", PermissionDeniedError, r"these credentials lacks? storage\.objects\.list"),
        (503, "busy", ServiceUnavailableError, r"\(503\), after retries"),
        (429, "busy", ServiceUnavailableError, r"\(429\), after retries"),
        (400, "Invalid argument", ListingError, r"400: .*Invalid argument.*sources\.fleet\.storage"),
    ],
    ids=["no bucket", "credentials", "permission, principal known", "permission", "busy", "too many", "something new"],
)
def test_a_refusal_becomes_an_error_that_names_the_setting(
    status: int, message: str, error: type[HaltError], words: str
) -> None:
    with saying(status, refusal(status, message), JSON) as endpoint, pytest.raises(error, match=words) as caught:
        listed(lister_at(endpoint))

    assert caught.value.__cause__ is None
    assert "ya29" not in str(caught.value)


def test_a_missing_bucket_on_the_emulator_is_not_found(gcs_emulator_store: Store) -> None:
    with pytest.raises(NotFoundError, match="bucket does not exist"):
        listed(lister_at(gcs_emulator_store.endpoint_url))


def test_an_endpoint_that_does_not_listen_is_unavailable() -> None:
    with saying(200, "") as endpoint:
        pass

    with pytest.raises(ServiceUnavailableError, match=r"ConnectionError.*sources\.fleet\.storage\.endpoint_url"):
        listed(lister_at(endpoint))


@pytest.mark.parametrize(
    "environ", [{"GOOGLE_CLOUD_PROJECT": "our-project"}, {}], ids=["project in the environment", "none"]
)
def test_requesters_name_the_project_that_pays(environ: dict[str, str], clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    asked: list[dict[str, str]] = []

    def answer(query: dict[str, str]) -> tuple[int, str, dict[str, str]]:
        asked.append(query)
        more = {} if "pageToken" in query else {"nextPageToken": "2"}
        return 200, page(ITEM | {"name": f"{len(asked)}.jpg"}, **more), JSON

    with server(answer) as endpoint:
        storage = StorageSettings(endpoint_url=endpoint, requester_pays=True)
        source = SourceSettings(name="fleet", uri="gs://bucket/", storage=storage)
        if not environ:
            with pytest.raises(ConfigurationError, match=r"storage\.requester_pays: .*GOOGLE_CLOUD_PROJECT"):
                make_lister(source, environ=environ)
            return
        list(make_lister(source, environ=environ).list_objects())
    assert [query.get("userProject") for query in asked] == ["our-project", "our-project"]


def test_reports_are_read_at_the_cost_of_the_project(clean_environment: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("x-goog-user-project"))
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815 - the name is http.server's

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    config = {"base_url": f"http://127.0.0.1:{http.server_port}", "skip_signature": True}
    place = open_google_place("bucket", "", source="fleet", user_project="our-project", config=config, allow_http=True)
    for act in (lambda: place.level(""), lambda: place.size("a"), lambda: list(place.chunks("a"))):
        with suppress(HaltError):
            act()
    http.shutdown()
    http.server_close()

    assert len(asked) >= 3
    assert set(asked) == {"our-project"}


def test_no_credentials_at_all_is_a_credentials_error(clean_environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(CredentialsError, match=r"no Google credentials for bucket bucket.*gcloud auth"):
        make_lister(SourceSettings(name="fleet", uri="gs://bucket/"))


def test_a_key_file_that_is_none_is_a_credentials_error(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text('{"type": "service_account", "private_key": "secret"}')
    clean_environment.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))

    with pytest.raises(CredentialsError, match="gcloud auth") as caught:
        make_lister(SourceSettings(name="fleet", uri="gs://bucket/"))

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "headers"),
    [("<html>hello</html>", {"Content-Type": "text/html"}), ("{}", JSON), ("[]", JSON), ("", {}), ('"x"', JSON)],
    ids=["page", "object", "list", "nothing", "text"],
)
def test_something_that_is_not_google_is_not_mistaken_for_an_empty_bucket(body: str, headers: dict[str, str]) -> None:
    with saying(200, body, headers) as endpoint, pytest.raises(HaltError, match=r"sources\.fleet\.storage\.endpoint"):
        listed(lister_at(endpoint))


@pytest.mark.parametrize(
    "item",
    [{**ITEM, "name": "\ud800"}, {**ITEM, "size": "x"}, {"name": "a", "size": "1"}, {**ITEM, "updated": "yesterday"}],
    ids=["name that is not Unicode", "size that is none", "no time", "time that is none"],
)
def test_what_can_not_be_recorded_exactly_is_refused(item: dict[str, str]) -> None:
    with saying(200, page(item), JSON) as endpoint, pytest.raises(ListingError, match=r"can't be recorded exactly"):
        listed(lister_at(endpoint))


def test_a_listing_that_goes_round_in_circles_ends() -> None:
    with (
        saying(200, page(ITEM, nextPageToken="same"), JSON) as endpoint,
        pytest.raises(ListingError, match="same page again and again"),
    ):
        listed(lister_at(endpoint))
