"""Planted faults on requests, as the real SDK sees them, and whether the request took effect all the same."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests
from encord import EncordUserClient
from encord.exceptions import (
    AuthenticationError,
    AuthorisationError,
    EncordException,
    InvalidArgumentsError,
    MethodNotAllowedError,
    PayloadTooLargeError,
    RateLimitExceededError,
    RequestException,
    ResourceExistsError,
    ResourceNotFoundError,
    UnknownException,
)
from encord.http.constants import RequestsSettings
from urllib3.exceptions import NewConnectionError, ReadTimeoutError

from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault, Form, When

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from encord.storage import StorageFolder

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import SendSigned, StartSandbox

START = Endpoint.START_JOB


def _manifest(count: int = 3) -> dict[str, Any]:
    return {"images": [{"objectUrl": f"s3://b/{n:05}.jpg"} for n in range(count)], "skip_duplicate_urls": True}


def _start(sandbox: Sandbox, folder: StorageFolder, manifest: dict[str, Any] | None = None) -> UUID:
    return folder.add_private_data_to_folder_start(sandbox.integration_uuid(), manifest or _manifest(), True)


def _client(sandbox: Sandbox, **settings: Any) -> EncordUserClient:
    usual: dict[str, Any] = {"max_retries": 0, "connection_retries": 0, "read_timeout": 90}
    return EncordUserClient.create_with_ssh_private_key(
        ssh_private_key=sandbox.private_key_path.read_text(),
        domain=sandbox.url,
        requests_settings=RequestsSettings(**{**usual, **settings}),
    )


STATUSES: dict[int, type[EncordException]] = {
    201: UnknownException,
    202: UnknownException,
    204: RequestException,
    400: InvalidArgumentsError,
    401: AuthenticationError,
    403: AuthorisationError,
    404: ResourceNotFoundError,
    405: MethodNotAllowedError,
    408: UnknownException,
    409: ResourceExistsError,
    413: PayloadTooLargeError,
    422: UnknownException,
    429: RateLimitExceededError,
    500: UnknownException,
    502: UnknownException,
    503: UnknownException,
    504: UnknownException,
}


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
@pytest.mark.parametrize("status", STATUSES)
def test_a_status_raises_the_sdks_exception_and_the_effect_is_as_planted(
    sandbox: Sandbox, folder: StorageFolder, status: int, when: When
) -> None:
    sandbox.script(Fault(effect=Effect.STATUS, status=status, when=when, endpoint=START, message="planted words"))

    with pytest.raises(STATUSES[status]) as raised:
        _start(sandbox, folder)

    assert type(raised.value) is STATUSES[status]
    assert len(sandbox.jobs()) == (when is When.AFTER)
    (record,) = sandbox.fault_records()
    assert (record.way, record.committed, record.endpoint) == (f"status_{status}_{when}", when is When.AFTER, START)
    _start(sandbox, folder)
    assert sandbox.fault_counts() == {f"status_{status}_{when}": 1}


GATEWAY_BODIES = [
    pytest.param(Form.HTML, ("text/html", "<center><h1>403 Forbidden</h1></center>"), id="page"),
    pytest.param(Form.EMPTY, ("", ""), id="empty"),
    pytest.param(Form.LOOK_ALIKE, ("application/json", '"message":"Forbidden","request_id"'), id="look-alike"),
    pytest.param(Form.OWN, ("application/json", '{"message":"planted status 403"}'), id="own"),
]


@pytest.mark.parametrize(("form", "body"), GATEWAY_BODIES)
def test_a_gateway_answers_in_its_own_words_after_the_effect(
    sandbox: Sandbox, folder: StorageFolder, monkeypatch: pytest.MonkeyPatch, form: Form, body: tuple[str, str]
) -> None:
    replies: list[requests.Response] = []
    send = requests.Session.send

    def noted(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        replies.append(send(session, request, **options))
        return replies[-1]

    monkeypatch.setattr(requests.Session, "send", noted)
    sandbox.script(Fault(effect=Effect.STATUS, status=403, form=form, when=When.AFTER, endpoint=START))

    with pytest.raises(AuthorisationError):
        _start(sandbox, folder)

    assert replies[-1].headers.get("Content-Type", "").partition(";")[0] == body[0]
    assert body[1] in replies[-1].text
    assert (len(sandbox.jobs()), sandbox.fault_records()[0].kind) == (1, "gateway")


def test_a_redirect_of_a_start_makes_the_sdk_post_again(sandbox: Sandbox, folder: StorageFolder) -> None:
    """Why the pipeline does not leave starts to the SDK's own session."""
    sandbox.script(Fault(effect=Effect.STATUS, status=307, when=When.AFTER, endpoint=START))

    _start(sandbox, folder)

    assert len(sandbox.jobs()) == 2


def test_a_planted_422_carries_a_list_as_fastapi_writes_it(sandbox: Sandbox, folder: StorageFolder) -> None:
    sandbox.script(Fault(effect=Effect.STATUS, status=422, endpoint=START))

    with pytest.raises(UnknownException) as raised:
        _start(sandbox, folder)

    assert isinstance(raised.value.message, list)


@pytest.mark.parametrize(
    ("hint", "seen"),
    [({}, None), ({"retry_after": 7}, 7), ({"retry_after": 7, "retry_after_as_date": True}, None)],
    ids=["no header", "seconds", "date"],
)
def test_429_comes_with_every_form_of_hint(
    sandbox: Sandbox, folder: StorageFolder, send_signed: SendSigned, hint: dict[str, Any], seen: int | None
) -> None:
    sandbox.script(Fault(effect=Effect.STATUS, status=429, times=2, **hint))

    with pytest.raises(RateLimitExceededError) as raised:
        folder.get_summary()

    assert raised.value.retry_after == seen
    header = send_signed("GET", "cloud-integrations").headers.get("Retry-After")
    assert (header is None) == (not hint)
    if "retry_after_as_date" in hint:
        assert str(header).endswith("GMT")


CUTS = [When.BEFORE, When.AFTER, When.MIDWAY]


@pytest.mark.parametrize("count", [3, 5_000], ids=["small body", "large body"])
@pytest.mark.parametrize("when", CUTS)
def test_a_cut_start_is_a_lost_connection_and_never_one_that_was_not_made(
    sandbox: Sandbox, folder: StorageFolder, when: When, count: int
) -> None:
    sandbox.script(Fault(effect=Effect.CUT, when=when, endpoint=START))

    with pytest.raises(RequestException) as raised:
        _start(sandbox, folder, _manifest(count))

    cause = raised.value.__cause__
    assert isinstance(cause, requests.ConnectionError | requests.exceptions.ChunkedEncodingError)
    assert isinstance(cause, requests.exceptions.ChunkedEncodingError) == (when is When.MIDWAY)
    assert not isinstance(getattr(cause.args[0], "reason", None), NewConnectionError)
    assert len(sandbox.jobs()) == (when is not When.BEFORE)
    (record,) = sandbox.fault_records()
    assert (record.way, record.committed) == (f"cut_{when}", when is not When.BEFORE)


@pytest.mark.parametrize("when", CUTS)
def test_a_cut_listing_is_read_again_by_the_sdk_itself(sandbox: Sandbox, when: When) -> None:
    client = _client(sandbox, max_retries=1, backoff_factor=0)
    folder = client.create_storage_folder("f")
    sandbox.script(Fault(effect=Effect.CUT, when=when, endpoint=Endpoint.FOLDER_SUMMARY))

    if when is When.MIDWAY:  # the SDK's retries cover the reply's head only
        with pytest.raises(RequestException):
            folder.get_summary()
    assert folder.get_summary().files == 0

    assert sandbox.fault_counts() == {f"cut_{when}": 1}


@pytest.mark.parametrize(
    ("effect", "error"),
    [
        (Effect.NOT_JSON, RequestException),
        (Effect.HTML, RequestException),
        (Effect.EMPTY, RequestException),
        (Effect.TRUNCATED, RequestException),
        (Effect.WRONG_SHAPE, AttributeError),
    ],
)
@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
def test_a_malformed_reply_to_a_start_hides_whether_there_is_a_job(
    sandbox: Sandbox, folder: StorageFolder, effect: Effect, error: type[Exception], when: When
) -> None:
    sandbox.script(Fault(effect=effect, when=when, endpoint=START))

    with pytest.raises(error):
        _start(sandbox, folder)

    assert len(sandbox.jobs()) == (when is When.AFTER)
    assert sandbox.fault_counts() == {f"{effect}_{when}": 1}


@pytest.mark.parametrize("effect", [Effect.NOT_JSON, Effect.HTML, Effect.WRONG_SHAPE, Effect.EMPTY, Effect.TRUNCATED])
@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
def test_a_malformed_listing_is_an_error_of_the_sdk(
    sandbox: Sandbox, folder: StorageFolder, effect: Effect, when: When
) -> None:
    sandbox.script(Fault(effect=effect, when=when, endpoint=Endpoint.LIST_ITEMS))

    with pytest.raises(EncordException):
        list(folder.list_items())

    assert list(folder.list_items()) == []


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
def test_a_delay_past_the_clients_timeout_takes_effect_all_the_same(sandbox: Sandbox, when: When) -> None:
    folder = _client(sandbox, read_timeout=3).create_storage_folder("f")
    sandbox.script(Fault(effect=Effect.DELAY, when=when, seconds=8.0, endpoint=START))

    with pytest.raises(RequestException) as raised:
        _start(sandbox, folder)

    cause = raised.value.__cause__
    # The second where a gateway was made in this process before: it bounds the SDK's replies for the whole process.
    assert isinstance(cause, (requests.ConnectionError, requests.ReadTimeout))
    assert isinstance(cause, requests.ReadTimeout) or isinstance(cause.args[0].reason, ReadTimeoutError)
    assert len(sandbox.jobs()) == (when is When.AFTER)
    deadline = time.monotonic() + 60
    while len(sandbox.folder_items(folder.uuid)) < 3:  # the late request arrives after its sender gave up
        assert time.monotonic() < deadline
        time.sleep(0.02)
    # What the fault did is recorded after the request has had its effect.
    while [(record.way, record.committed) for record in sandbox.fault_records()] != [(f"delay_{when}", True)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
def test_a_short_delay_is_only_slow(sandbox: Sandbox, folder: StorageFolder, when: When) -> None:
    sandbox.script(Fault(effect=Effect.DELAY, when=when, seconds=0.3, endpoint=START))
    began = time.monotonic()

    _start(sandbox, folder)

    assert time.monotonic() - began >= 0.3
    assert len(sandbox.jobs()) == 1


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
def test_a_sandbox_with_a_held_request_lets_go_of_it_and_stops(
    sandbox: Sandbox, when: When, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that has to cut its requests off, seconds after it was told to stop, says so in its log."""
    folder = _client(sandbox, read_timeout=3).create_storage_folder("f")
    sandbox.script(Fault(effect=Effect.DELAY, when=when, endpoint=START))
    with pytest.raises(RequestException):
        _start(sandbox, folder)

    sandbox.stop()

    assert caplog.messages == []


def test_faults_answer_before_the_signature_is_read(sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/v2/public/cloud-integrations"
    assert requests.get(url, timeout=10).status_code == 401
    sandbox.script(Fault(effect=Effect.STATUS, status=502))

    assert requests.get(url, timeout=10).status_code == 502
    assert requests.get(url, timeout=10).status_code == 401


def test_an_effect_that_was_refused_is_recorded_as_not_committed(sandbox: Sandbox) -> None:
    sandbox.script(Fault(effect=Effect.CUT, when=When.AFTER))

    with pytest.raises(requests.ConnectionError):
        requests.get(f"{sandbox.url}/v2/public/cloud-integrations", timeout=10)

    assert [record.committed for record in sandbox.fault_records()] == [False]


def test_skip_times_method_and_path_choose_the_requests(sandbox: Sandbox, folder: StorageFolder) -> None:
    path = rf"/folders/{folder.uuid}/summary$"
    sandbox.script(Fault(effect=Effect.STATUS, status=500, method="GET", path=path, skip=1, times=2))
    outcomes = []

    for _ in range(5):
        list(folder.list_items())
        try:
            folder.get_summary()
            outcomes.append("ok")
        except UnknownException:
            outcomes.append("struck")

    assert outcomes == ["ok", "struck", "struck", "ok", "ok"]


def test_faults_strike_in_the_order_in_which_they_were_planted(sandbox: Sandbox, folder: StorageFolder) -> None:
    sandbox.script(*(Fault(effect=Effect.STATUS, status=status) for status in (400, 403, 409)))
    seen = []

    for _ in range(4):
        try:
            folder.get_summary()
            seen.append("ok")
        except EncordException as error:
            seen.append(type(error).__name__)

    assert seen == ["InvalidArgumentsError", "AuthorisationError", "ResourceExistsError", "ok"]


def test_cleared_faults_strike_no_more_and_stay_counted(sandbox: Sandbox, folder: StorageFolder) -> None:
    sandbox.script(Fault(effect=Effect.STATUS, status=500, times=None))
    with pytest.raises(UnknownException):
        folder.get_summary()

    sandbox.clear_faults()

    folder.get_summary()
    assert sandbox.fault_counts() == {"status_500_before": 1}


def test_scripted_faults_go_on_where_they_were_after_a_restart(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    first = start_sandbox()
    folder = connect(first).create_storage_folder("f")
    first.script(Fault(effect=Effect.STATUS, status=500, skip=1, times=2, endpoint=Endpoint.FOLDER_SUMMARY))
    folder.get_summary()
    with pytest.raises(UnknownException):
        folder.get_summary()
    first.stop()

    second = start_sandbox(port=first.port)
    with pytest.raises(UnknownException):
        folder.get_summary()
    folder.get_summary()

    assert second.fault_counts() == {"status_500_before": 2}


def test_asking_a_stopped_sandbox_for_its_counts_is_an_error(sandbox: Sandbox) -> None:
    sandbox.stop()

    with pytest.raises(UsageError, match="stopped"):
        sandbox.fault_counts()
