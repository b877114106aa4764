"""A state in buckets of four servers that others wrote: upgrades, deaths, lost conditions, and what is said then."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from benchmarks.front import Front
from registration_pipeline.errors import ConfigurationError, StateError
from registration_pipeline.state import bucket as bucket_module
from registration_pipeline.state.version import require_layout
from registration_pipeline_tests.doses import IS_SOAK
from registration_pipeline_tests.hostile_http import HostileServer
from registration_pipeline_tests.in_process import run_here
from registration_pipeline_tests.state_layouts.describe import numbers
from registration_pipeline_tests.state_layouts.going_on import LAYOUT_1, continued
from registration_pipeline_tests.state_places import BUCKETS, StatePlace, StateServers
from registration_pipeline_tests.unit.conftest import Crash, CrashingStore, Fleet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registration_pipeline_tests.hostile_http import Connection

RECORDED: dict[str, Any] = json.loads((LAYOUT_1 / "recorded.json").read_text(encoding="utf-8"))
DEATHS = range(1, 20) if IS_SOAK else (2, 4, 6)
"""The writes of a registration at which its process ends."""
CONDITIONS = ("if-none-match", "x-goog-if-generation-match")


@pytest.fixture(params=BUCKETS)
def place(
    request: pytest.FixtureRequest, state_servers: StateServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StatePlace:
    return state_servers.place(request.param, tmp_path).use(monkeypatch)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not work is asked twice only."""
    monkeypatch.setattr(bucket_module, "_RETRIES", {"max_retries": 1})


def test_a_state_of_layout_1_is_read_and_gone_on_from(place: StatePlace) -> None:
    store = place.open()
    for path in sorted((LAYOUT_1 / "state").rglob("*.*")):
        store.create_from_file(path.relative_to(LAYOUT_1 / "state").as_posix(), path)

    assert require_layout(store, "fleet")
    assert json.loads(json.dumps(numbers(store))) == RECORDED["numbers"]
    fleet = continued(store, LAYOUT_1)
    fleet.register_until_done()
    fleet.register(tasks=fleet.tasks(retry_failed=True))
    assert sorted(fleet.encord.urls()) == fleet.urls()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_writes_to_the_state_and_run_again(place: StatePlace, moment: str, tmp_path: Path) -> None:
    assert tmp_path.exists()
    for number in DEATHS:
        store = place.open()
        fleet = Fleet(store=Below(store, f"{moment}-{number}")).put("a.jpg", "b.jpg", "c.jpg").sync()
        dying = CrashingStore(fleet.store, number, moment)
        with suppress(Crash):
            fleet.register(store=dying)
        fleet.register_until_done(retry_failed=True)
        fleet.assert_exactly_once()


class Below:
    """A state in a folder of another one, so that several can be tried in one place.

    Args:
        store: the other one.
        folder: without slashes.
    """

    def __init__(self, store: Any, folder: str) -> None:
        self._store, self._folder = store, f"{folder}/"
        self.uri = f"{store.uri}/{folder}"

    def names(self, prefix: str) -> Any:
        return (name.removeprefix(self._folder) for name in self._store.names(self._folder + prefix))

    def __getattr__(self, method: str) -> Any:
        if method == "require_exclusive_create":
            return lambda: None
        return lambda name, *rest: getattr(self._store, method)(self._folder + name, *rest)


def test_a_second_s3_that_lets_two_win_is_refused(
    state_servers: StateServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenStack Swift honours the condition of one writer after the other, and not of several at the same moment."""
    store = state_servers.place("swift", tmp_path).use(monkeypatch).open()

    with pytest.raises(
        ConfigurationError, match=r"state: the store at s3://.* created the same file [2-4] times"
    ) as caught:
        store.require_exclusive_create()

    assert "or in a folder" in str(caught.value)
    assert list(store.names("")) == []


FOUND = {
    "moto": "created the same file 5 times",
    "gcs": "created the same file 5 times",
    "seaweedfs": "SignatureDoesNotMatch.*a proxy on the way changes the requests",
    "azurite": "HTTP 403.*a proxy on the way changes the requests",
}
"""Who checks signatures notices that a header is gone; who does not (nor would Azure with a SAS) writes every time."""


@pytest.mark.parametrize("name", BUCKETS)
def test_a_proxy_that_removes_the_condition_is_found(
    name: str, state_servers: StateServers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fronts: list[Front] = []

    def through(url: str) -> str:
        fronts.append(Front(url, without=CONDITIONS))
        return fronts[0].url

    place = state_servers.place(name, tmp_path, through=through).use(monkeypatch)
    with fronts[0], pytest.raises((ConfigurationError, StateError), match=FOUND[name]):
        place.open().require_exclusive_create()


def said_by_check(root: Path, state: str) -> str:
    """Return what ``check`` says of the state."""
    source = {"uri": root.as_uri(), "encord": {"folder": "fleet"}}
    (root / "registration.yaml").write_text(yaml.safe_dump({"state": state, "sources": {"fleet": source}}))
    out = run_here(root, "check").out
    return next(line for line in out.splitlines() if line.startswith("fleet: state: "))


@pytest.mark.usefixtures("quick")
def test_check_says_what_is_wrong_with_a_place(
    place: StatePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("ENCORD_SSH_KEY", "")
    assert "problem" not in said_by_check(tmp_path, place.uri)

    with Front(place.endpoint_url) as front:
        front.busy = lambda _: True
        for name, value in place.environ.items():
            monkeypatch.setenv(name, value.replace(place.endpoint_url, front.url))
        assert "SlowDown, HTTP 503): it is busy or out of order" in said_by_check(tmp_path, place.uri)

    for name, value in place.environ.items():
        monkeypatch.setenv(name, value.replace(place.endpoint_url, place.endpoint_url.replace("http:", "https:")))
    if place.name != "gcs":  # over https it would be asked with a token, and there is none here
        assert "it does not speak https" in said_by_check(tmp_path, place.uri)
    place.use(monkeypatch)

    if place.name == "azurite":  # the emulators of S3 make a bucket of any name, that of Google answers 500
        assert "The bucket of the state" in said_by_check(tmp_path, place.uri.replace("bucket-", "missing-"))
    for name in ("AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_KEY"):
        if name in place.environ and place.name != "moto":
            monkeypatch.setenv(name, "d3Jvbmc=")
            assert "renew the credentials in the environment" in said_by_check(tmp_path, place.uri)


def answering(status: int, code: str) -> Callable[[Connection, bytes], None]:
    body = f"<Error><Code>{code}</Code></Error>".encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return lambda connection, _: connection.send(head.encode() + body)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (301, "PermanentRedirect", "is in another region.*Set AWS_REGION"),
        (400, "AuthorizationHeaderMalformed", r"is in another region \(AuthorizationHeaderMalformed.*Set AWS_REGION"),
        (403, "RequestTimeTooSkewed", "this machine's clock is wrong"),
        (404, "NoSuchBucket", "The bucket of the state, s3://bucket/state, does not exist"),
        (409, "ConditionalRequestConflict", "because of other requests for the same name"),
        (501, "NotImplemented", r"NotImplemented, HTTP 501"),
        (507, "StorageFull", "has no room for"),
    ],
)
@pytest.mark.usefixtures("quick", "aws_environment")
def test_a_refusal_of_s3_says_what_to_do(status: int, code: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "_PAUSES", (0.0,))
    with HostileServer(answering(status, code)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        store = bucket_module.open_bucket_state_store("s3://bucket/state")
        with pytest.raises(StateError, match=said):
            store.create("fleet/a.json", b"x")


@pytest.mark.usefixtures("quick", "aws_environment")
def test_a_write_that_s3_did_not_decide_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the name 409 ConditionalRequestConflict says nothing: a conflict would let the caller expect a file there."""
    monkeypatch.setattr(bucket_module, "_PAUSES", (0.0, 0.0))
    answers = [answering(409, "ConditionalRequestConflict"), answering(409, "ConditionalRequestConflict")]

    def once(connection: Connection, request: bytes) -> None:
        if answers:
            answers.pop()(connection, request)
        else:
            connection.send(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\n\r\n')

    with HostileServer(once) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        bucket_module.open_bucket_state_store("s3://bucket/state").create("fleet/a.json", b"x")
    assert answers == []


@pytest.mark.parametrize(
    ("uri", "variable", "allow"),
    [
        ("s3://bucket/state", "AWS_ENDPOINT_URL_S3", "AWS_ALLOW_HTTP"),
        ("gs://bucket/state", "STORAGE_EMULATOR_HOST", "GOOGLE_ALLOW_HTTP"),
        ("az://container@account/state", "AZURE_STORAGE_ENDPOINT", "AZURE_ALLOW_HTTP"),
    ],
    ids=["s3", "gs", "az"],
)
@pytest.mark.usefixtures("aws_environment")
def test_plain_http_beyond_this_machine_must_be_allowed(
    uri: str, variable: str, allow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://store.example:9000")
    monkeypatch.setenv("AZURE_STORAGE_KEY", "a2V5")

    with pytest.raises(ConfigurationError, match=f"{variable}.*plain http on another machine.*{allow}=true"):
        bucket_module.open_bucket_state_store(uri)
    monkeypatch.setenv(allow, "true")
    bucket_module.open_bucket_state_store(uri)
