"""What is said of a bucket's refusals, from answers of a real server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import pytest
import yaml
from obstore.store import MemoryStore

from registration_pipeline.errors import StateError
from registration_pipeline.project import preflight
from registration_pipeline.project.project import Project
from registration_pipeline.state import bucket as bucket_module
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline_tests.hostile_http import HostileServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline_tests.hostile_http import Connection

    Answer = Callable[[Connection, bytes], None]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-west-2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(bucket_module, "_RETRIES", {"max_retries": 0})


def refusing(status: str, code: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
    return lambda connection, _: connection.reply(body, status=status, kind="application/xml")


def listing(key: str) -> Answer:
    body = (
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><IsTruncated>false</IsTruncated>'
        f"<Contents><Key>{escape(key).encode('ascii', 'xmlcharrefreplace').decode()}</Key><Size>1</Size>"
        "<LastModified>2026-11-27T20:00:00.000Z</LastModified></Contents></ListBucketResult>"
    ).replace("\x01", "&#1;")
    return lambda connection, _: connection.reply(body.encode(), kind="application/xml")


def said_of(answer: Answer, call: str) -> str:
    with HostileServer(answer) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        store = bucket_module.open_bucket_state_store("s3://bucket/state")
        with pytest.raises(StateError) as refused:
            list(getattr(store, call)("fleet/lease/"))
    return str(refused.value)


@pytest.mark.parametrize("call", ["names", "folders"])
@pytest.mark.parametrize("name", ["x\x01.json", "sub//double.json", "/lead", "./dot.json", "x/../y.json", '"//"'])
def test_an_object_whose_key_can_not_be_listed_is_named(name: str, call: str) -> None:
    said = said_of(listing(f"state/fleet/lease/{name}"), call)

    assert said.startswith(
        "s3://bucket/state/fleet/lease/ can't be listed, because the bucket has an object with the key "
    )
    assert f"{f'state/fleet/lease/{name}'!r}, which the state can't have" in said
    assert "Delete this object" in said
    assert "Debug" not in said


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"])
def test_credentials_that_are_over_are_to_be_renewed(code: str) -> None:
    said = said_of(refusing("400 Bad Request", code), "names")

    assert said == (
        f"The store refuses the credentials for s3://bucket/state/fleet/lease/ ({code}, HTTP 400): they are over or not "
        "valid. Log in again, or renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN in the environment."
    )


@pytest.mark.parametrize("seconds", [5.0, 0.0], ids=["it is listed", "it is not listed in time"])
def test_check_lists_the_state_of_a_source(seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(BucketStateStore):
        def names(self, prefix: str) -> Iterator[str]:
            if prefix == "fleet/":
                time.sleep(0.1)
                raise StateError("an odd key")
            return super().names(prefix)

    monkeypatch.setattr(preflight, "_LISTING_SECONDS", seconds)
    path = tmp_path / "registration.yaml"
    path.write_text(yaml.safe_dump({"state": "./state", "sources": {"fleet": {"uri": "file:///nowhere"}}}))
    project = Project.load(path, {})
    project.__dict__["store"] = Odd(MemoryStore(), "memory://state")

    found = next(one for one in preflight.run_checks(project, project.source("fleet")) if one.what == "state")

    assert (found.detail == "an odd key") is (seconds > 0)
    assert (found.error is None) is (seconds == 0)
