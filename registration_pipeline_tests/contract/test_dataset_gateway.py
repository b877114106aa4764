"""The gateway of datasets against the sandbox: what it asks, and what every way of failing is in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from registration_pipeline.errors import (
    AmbiguousError,
    CredentialsError,
    LeaseLostError,
    NotFoundError,
    PayloadTooLargeError,
    PermanentError,
    PermissionDeniedError,
    ThrottledError,
    TransientError,
)
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import ListedLinks, SandboxConfig
from registration_pipeline.sandbox.faults.values import Effect, Fault, Form, When
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline.submission.encord.datasets import EncordDatasetGateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from encord import EncordUserClient

    from registration_pipeline_tests.contract.conftest import StartSandbox

LINK = Endpoint.LINK_ITEMS


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for all tests that only fail."""
    with Sandbox(SandboxConfig(data=tmp_path_factory.mktemp("encord"), job_seconds=0.0)) as running:
        yield running


def gateway_of(running: Sandbox, timeout_seconds: int = 20) -> EncordDatasetGateway:
    return EncordDatasetGateway(
        ssh_private_key=running.private_key_path.read_text(), domain=running.url, timeout_seconds=timeout_seconds
    )


@pytest.fixture
def gateway(shared: Sandbox) -> EncordDatasetGateway:
    shared.clear_faults()
    return gateway_of(shared)


def registered(running: Sandbox, client: EncordUserClient, submit: Callable[..., Any], count: int = 3) -> list[str]:
    folder = client.create_storage_folder(f"fleet {uuid4()}")
    submit(running, folder, {"images": [{"objectUrl": f"s3://b/{n}.jpg"} for n in range(count)]})
    return [item.uuid for item in running.folder_items(folder.uuid)]


def test_a_dataset_is_made_once_and_found_by_its_title(gateway: EncordDatasetGateway, shared: Sandbox) -> None:
    title = f"fleet {uuid4()} \u00e4 % _"
    assert gateway.find_dataset(title) is None

    made = gateway.create_dataset(title)

    assert gateway.find_dataset(title) == made
    assert gateway.dataset_title(made) == title
    assert gateway.dataset_size(made) == 0
    assert title not in [folder.path for folder in shared._insight.folders()]


def test_two_datasets_of_one_title_are_an_error_that_names_both(gateway: EncordDatasetGateway) -> None:
    title = str(uuid4())
    made = sorted(gateway.create_dataset(title) for _ in range(2))

    with pytest.raises(NotFoundError, match=f"2 datasets titled .*{made[0]}, {made[1]}.*Rename"):
        gateway.find_dataset(title)


@pytest.mark.parametrize("listed", [ListedLinks.NEW, ListedLinks.ALL])
@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
def test_linking_twice_links_once_and_says_what_the_reply_says(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    submit: Callable[..., Any],
    listed: ListedLinks,
    *,
    named: bool,
) -> None:
    running = start_sandbox(listed_links=listed, links_name_items=named)
    items, gateway = registered(running, connect(running), submit), gateway_of(running)
    dataset = gateway.create_dataset("fleet")

    first, second = gateway.link_items(dataset, items[:2]), gateway.link_items(dataset, items)

    assert running.links(dataset) == items
    assert (first.rows, first.items) == (2, frozenset(items[:2]) if named else frozenset())
    again = items if listed is ListedLinks.ALL else items[2:]
    assert (second.rows, second.items) == (len(again), frozenset(again) if named else frozenset())
    assert gateway.dataset_size(dataset) == len(items)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param(Fault(effect=Effect.CUT, when=When.BEFORE), TransientError, id="cut before"),
        pytest.param(Fault(effect=Effect.CUT, when=When.AFTER), TransientError, id="cut after"),
        pytest.param(Fault(effect=Effect.STATUS, status=500), TransientError, id="500"),
        pytest.param(Fault(effect=Effect.STATUS, status=502, form=Form.HTML), TransientError, id="502 html"),
        pytest.param(
            Fault(effect=Effect.STATUS, status=403, form=Form.LOOK_ALIKE), TransientError, id="403 look-alike"
        ),
        pytest.param(Fault(effect=Effect.STATUS, status=307), TransientError, id="redirect"),
        pytest.param(Fault(effect=Effect.STATUS, status=204, when=When.AFTER), TransientError, id="204"),
        pytest.param(Fault(effect=Effect.STATUS, status=429, retry_after=3), ThrottledError, id="429"),
        pytest.param(Fault(effect=Effect.STATUS, status=413), PermanentError, id="413"),
        pytest.param(Fault(effect=Effect.NOT_JSON), TransientError, id="not json"),
        pytest.param(Fault(effect=Effect.WRONG_SHAPE), TransientError, id="other shape"),
        pytest.param(Fault(effect=Effect.QUERY_REFUSED, message="RATE_LIMIT_ERROR"), ThrottledError, id="v1 rate"),
        pytest.param(Fault(effect=Effect.QUERY_REFUSED, message="UNKNOWN_ERROR"), TransientError, id="v1 unknown"),
        pytest.param(Fault(effect=Effect.QUERY_REFUSED, message="NEW_CODE"), PermanentError, id="v1 new code"),
        pytest.param(
            Fault(effect=Effect.QUERY_REFUSED, message="INVALID_ARGUMENTS_ERROR"), PermanentError, id="v1 400"
        ),
        pytest.param(
            Fault(effect=Effect.QUERY_REFUSED, message="AUTHORISATION_ERROR"), PermissionDeniedError, id="v1 403"
        ),
        pytest.param(
            Fault(effect=Effect.QUERY_REFUSED, message="RESOURCE_NOT_FOUND_ERROR"), PermanentError, id="v1 404"
        ),
        pytest.param(Fault(effect=Effect.QUERY_REFUSED, message="AUTHENTICATION_ERROR"), CredentialsError, id="v1 401"),
        pytest.param(Fault(effect=Effect.HALF_LINKED, when=When.AFTER, status=500), TransientError, id="half"),
    ],
)
def test_what_a_failed_link_call_means(
    shared: Sandbox, gateway: EncordDatasetGateway, fault: Fault, expected: type[Exception]
) -> None:
    dataset = gateway.create_dataset("fleet")
    shared.script(fault)

    with pytest.raises(expected) as raised:
        gateway.link_items(dataset, [str(uuid4())])

    assert type(raised.value) is expected
    if expected is ThrottledError and fault.retry_after:
        assert raised.value.retry_after_seconds == fault.retry_after  # type: ignore[attr-defined]
    assert shared.fault_records(1)[0].endpoint == LINK


def test_an_address_that_does_not_answer_is_transient(shared: Sandbox) -> None:
    dead = EncordDatasetGateway(
        ssh_private_key=shared.private_key_path.read_text(), domain="http://127.0.0.1:9", timeout_seconds=5
    )

    with pytest.raises(TransientError, match="can't be reached"):
        dead.link_items(str(uuid4()), [str(uuid4())])


def test_a_dataset_that_is_gone_is_named(gateway: EncordDatasetGateway) -> None:
    gone = str(uuid4())

    with pytest.raises(PermanentError, match=gone):
        gateway.dataset_title(gone)


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
def test_a_dataset_whose_making_is_not_answered_is_in_doubt(
    shared: Sandbox, gateway: EncordDatasetGateway, when: When
) -> None:
    title = str(uuid4())
    shared.script(Fault(effect=Effect.CUT, when=when, endpoint=Endpoint.CREATE_DATASET))

    with pytest.raises(AmbiguousError):
        gateway.create_dataset(title)

    assert (gateway.find_dataset(title) is None) == (when is When.BEFORE)


def test_no_dataset_is_made_without_the_lease(gateway: EncordDatasetGateway) -> None:
    title = str(uuid4())

    def refuse() -> None:
        raise LeaseLostError("fleet", "it expired")

    with pytest.raises(LeaseLostError):
        gateway.create_dataset(title, may_send=refuse)

    assert gateway.find_dataset(title) is None


def test_a_call_larger_than_encord_takes_is_permanent(
    start_sandbox: StartSandbox,
) -> None:
    gateway = gateway_of(start_sandbox(body_limit_bytes=500))
    dataset = gateway.create_dataset("fleet")

    with pytest.raises((PermanentError, PayloadTooLargeError)):
        gateway.link_items(dataset, [str(uuid4()) for _ in range(100)])
