"""The admin port: the same as from Python, over HTTP, and a page that shows it all and runs nothing."""

from __future__ import annotations

import json
import socket
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
import requests
from encord.exceptions import InvalidArgumentsError, RequestException, UnknownException

from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import Integration, LocalObjects, S3Objects, SandboxConfig
from registration_pipeline.sandbox.faults.random_profile import RandomFaults
from registration_pipeline.sandbox.faults.values import Effect, Fault, Kind, When
from registration_pipeline.sandbox.server import Sandbox, banner, connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from encord import EncordUserClient
    from encord.orm.storage import UploadLongPollingState
    from encord.storage import StorageFolder

    from registration_pipeline_tests.contract.conftest import StartSandbox

NASTY = "<script>alert('x')</script>&\""
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    return start_sandbox(admin_port=0)


def _images(*urls: str, **values: Any) -> dict[str, Any]:
    return {"images": [{"objectUrl": url, **values} for url in urls], "skip_duplicate_urls": False}


def _ask(sandbox: Sandbox, path: str, method: str = "GET", **options: Any) -> requests.Response:
    response = requests.request(method, f"{sandbox.admin_url}{path}", timeout=10, **options)
    response.raise_for_status()
    return response


class _Page(HTMLParser):
    """What a page shows: its text, its elements and where it leads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.elements, self.links = "", list[str](), list[str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def test_there_is_no_admin_port_unless_asked_for(start_sandbox: StartSandbox) -> None:
    assert start_sandbox().admin_url is None


def test_the_signed_port_knows_nothing_of_the_admin_paths(sandbox: Sandbox) -> None:
    for path in ("/", "/faults", "/state", "/jobs"):
        assert requests.get(sandbox.url + path, timeout=10).status_code == 401
    assert sandbox.admin_url is not None
    assert requests.get(f"{sandbox.admin_url}/v2/public/cloud-integrations", timeout=10).status_code == 404


def test_the_admin_port_is_on_loopback_whatever_the_host_is(start_sandbox: StartSandbox) -> None:
    running = start_sandbox(host="0.0.0.0", admin_port=0)

    assert str(running.admin_url).startswith("http://127.0.0.1:")


def test_a_taken_admin_port_is_refused_and_frees_the_other(start_sandbox: StartSandbox) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(UsageError, match="choose another admin port"),
    ):
        start_sandbox(admin_port=taken.getsockname()[1])

    assert start_sandbox(admin_port=0).jobs() == []


def test_the_command_says_where_the_admin_port_is(sandbox: Sandbox, tmp_path: Path) -> None:
    assert f"{sandbox.admin_url}/\n" in banner(sandbox)
    assert connection(sandbox)["admin"] == sandbox.admin_url
    with Sandbox(SandboxConfig(data=tmp_path / "without")) as without:
        assert "faults to plant" not in banner(without)
        assert connection(without)["admin"] is None


def test_the_state_counts_everything(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    submit(sandbox, folder, _images("s3://b/1", "s3://b/1", "s3://b/2"))
    with pytest.raises(InvalidArgumentsError):
        submit(sandbox, folder, {"imagess": []})
    sandbox.script(Fault(effect=Effect.STATUS, status=500))
    with pytest.raises(UnknownException):
        folder.get_summary()

    state = _ask(sandbox, "/state").json()

    assert (state["folders"], state["items"], state["duplicates"], state["jobs"]) == (1, 3, 1, {"DONE": 1})
    assert (state["refused_manifests"], state["remarks"], state["faults"]) == (1, 0, {"status_500_before": 1})
    assert state["requests"]["start_job"] == {"requests": 2, "failed": 1, "struck": 0}
    assert state["requests"]["folder_summary"] == {"requests": 1, "failed": 1, "struck": 1}
    assert {name: counted.requests for name, counted in sandbox.requests().items()} == {
        name: counted["requests"] for name, counted in state["requests"].items()
    }


def test_a_manifest_that_was_refused_in_a_folder_that_is_gone_is_no_alarm(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    """A rehearsal sends what must be refused, and removes its folder."""
    with pytest.raises(InvalidArgumentsError):
        submit(sandbox, folder, {"imagess": []})
    assert _ask(sandbox, "/state").json()["refused_in_folders"] == 1
    folder.delete()

    state, page = _ask(sandbox, "/state").json(), _Page(_ask(sandbox, "/").text)

    assert (state["refused_manifests"], state["refused_in_folders"]) == (1, 0)
    assert "refused, folder removed" in page.text


def test_the_command_says_whether_objects_are_opened(sandbox: Sandbox, tmp_path: Path) -> None:
    assert "Objects are not opened: a broken or missing one is registered as well." in banner(sandbox)
    readers = (LocalObjects(root=tmp_path / "a b"), S3Objects(endpoint_url="http://127.0.0.1:9000/"))
    reading = (Integration("sandbox", readers=readers), Integration("again", readers=readers[:1]))
    with Sandbox(SandboxConfig(data=tmp_path / "reading", integrations=reading)) as other:
        shown = banner(other)
    assert (
        f"Opened: {tmp_path.as_uri()}/a%20b/… (another file:/// URL fails: 403), "
        "http://127.0.0.1:9000/…, s3://…. What does not begin like its type is refused; a file that is damaged further in is "
        "registered. Objects of other URLs are accepted unopened."
    ) in shown


def test_faults_are_planted_read_replaced_and_taken_away_over_http(sandbox: Sandbox, folder: StorageFolder) -> None:
    cut = {"effect": "cut", "when": "after", "endpoint": "folder_summary", "times": 2}
    (first,) = _ask(sandbox, "/faults", "POST", json=cut).json()["ids"]
    with pytest.raises(RequestException):
        folder.get_summary()
    listed = _ask(sandbox, "/faults").json()
    assert listed["scripted"] == [
        {
            "id": first,
            "seen": 1,
            "struck": 1,
            "spent": False,
            "fault": {"effect": "cut", "when": "after", "endpoint": "folder_summary", "times": 2},
        }
    ]
    assert (listed["random"], listed["counts"]) == (None, {"cut_after": 1})

    random = {"probability": 1.0, "seed": 5, "kinds": ["throttled"], "endpoints": ["list_items"]}
    _ask(sandbox, "/faults", "PUT", json={"scripted": [{"effect": "status"}], "random": random})
    listed = _ask(sandbox, "/faults").json()
    assert [entry["fault"] for entry in listed["scripted"]] == [{"effect": "status"}]
    assert listed["random"] == random

    assert _ask(sandbox, "/faults", "DELETE").status_code == 204
    folder.get_summary()
    assert list(folder.list_items()) == []
    listed = _ask(sandbox, "/faults").json()
    assert (listed["scripted"], listed["random"], listed["counts"]) == ([], None, {"cut_after": 1})
    assert [record["way"] for record in _ask(sandbox, "/faults/log").json()] == ["cut_after"]


def test_several_faults_are_planted_at_once_or_none_of_them(sandbox: Sandbox) -> None:
    good, bad = {"effect": "cut"}, {"effect": "cut", "tims": 1}

    assert len(_ask(sandbox, "/faults", "POST", json=[good, good]).json()["ids"]) == 2
    refused = requests.post(f"{sandbox.admin_url}/faults", json=[good, bad], timeout=10)

    assert (refused.status_code, "tims" in refused.json()["message"]) == (400, True)
    assert len(_ask(sandbox, "/faults").json()["scripted"]) == 2


@pytest.mark.parametrize(
    ("method", "path", "options", "message"),
    [
        ("POST", "/faults", {"data": b"{", "headers": JSON}, "not JSON"),
        ("POST", "/faults", {"data": json.dumps({"effect": "cut"})}, "Content-Type"),
        ("POST", "/faults", {"json": {"effect": "explode"}}, "effect: Input should be"),
        ("PUT", "/faults", {"json": {"script": []}}, "scripted"),
        ("PUT", "/faults", {"json": {"random": {"probability": 3, "seed": 1}}}, "probability is 3"),
        ("PUT", "/rules", {"json": {}}, "must be a list"),
        ("GET", "/jobs?limit=many", {}, "limit is 'many'"),
    ],
)
def test_what_is_not_understood_is_named(
    sandbox: Sandbox, method: str, path: str, options: dict[str, Any], message: str
) -> None:
    response = requests.request(method, f"{sandbox.admin_url}{path}", timeout=10, **options)

    assert response.status_code == 400
    assert message in response.json()["message"]


def test_rules_are_replaced_over_http(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    rules = [{"pattern": "1$", "error": "planted", "times": None}]
    _ask(sandbox, "/rules", "PUT", json=rules)

    assert _ask(sandbox, "/rules").json() == rules
    assert submit(sandbox, folder, _images("s3://b/1")).errors == ["planted"]


def test_a_web_page_from_elsewhere_can_not_use_the_port(sandbox: Sandbox) -> None:
    url = f"{sandbox.admin_url}/state"

    assert requests.get(url, headers={"Host": "attacker.example"}, timeout=10).status_code == 400
    policy = _ask(sandbox, "/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy


def test_lists_give_what_python_gives(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    submit(sandbox, folder, _images("s3://b/1", "s3://b/1", "s3://b/2"))

    assert [job["uuid"] for job in _ask(sandbox, "/jobs").json()] == [job.uuid for job in sandbox.jobs()]
    assert [entry["url"] for entry in _ask(sandbox, "/duplicates").json()] == ["s3://b/1"]
    assert [entry["path"] for entry in _ask(sandbox, "/folders").json()] == ["fleet"]
    items = _ask(sandbox, f"/folders/{folder.uuid}/items?search=B/2").json()
    assert [item["urls"] for item in items] == [["s3://b/2"]]
    assert _ask(sandbox, "/requests?limit=1").json()[0]["endpoint"] == "poll_job"


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({"images": [{"objectURL": "s3://b/1"}]}, (True, "objectURL")),
        ({"imagess": []}, (True, "imagess")),
        ({"videos": [{"objectUrl": "s3://b/v", "videoMetadata": {"file_size": 1}}]}, (False, "snake_case")),
    ],
    ids=["item key", "top-level key", "casing"],
)
def test_violations_name_the_key_and_outlive_a_restart(
    start_sandbox: StartSandbox,
    connect: Callable[[Sandbox], EncordUserClient],
    tmp_path: Path,
    manifest: dict[str, Any],
    expected: tuple[bool, str],
) -> None:
    refused, word = expected
    first = start_sandbox()
    folder = connect(first).create_storage_folder("fleet")
    path = tmp_path / "chunk-7.json"
    path.write_text(json.dumps(manifest))
    try:
        folder.add_private_data_to_folder_start(first.integration_uuid(), path, True)
    except InvalidArgumentsError:
        assert refused
    first.stop()

    (violation,) = start_sandbox().violations()

    assert (violation.refused, violation.file_name, violation.folder_name) == (refused, "chunk-7.json", "fleet")
    assert word in violation.message


def test_the_page_shows_everything_and_runs_nothing(
    sandbox: Sandbox,
    encord_client: EncordUserClient,
    submit: Callable[..., UploadLongPollingState],
) -> None:
    folder = encord_client.create_storage_folder(NASTY)
    url = f"s3://b/{NASTY}"
    submit(sandbox, folder, _images(url, url, title=NASTY, clientMetadata={"k": NASTY}))
    with pytest.raises(InvalidArgumentsError):
        submit(sandbox, folder, {NASTY: []})
    sandbox.script(Fault(effect=Effect.CUT, when=When.AFTER, path=NASTY), Fault(effect=Effect.CUT, message=NASTY))
    sandbox.randomise(RandomFaults(probability=1, seed=1, kinds=(Kind.JOB_UNITS,), unit_messages=(NASTY,)))
    with pytest.raises(RequestException):
        list(folder.list_items())

    first, items = _Page(_ask(sandbox, "/").text), _Page(_ask(sandbox, f"/folders/{folder.uuid}").text)

    for page in (first, items):
        assert not {"script", "img", "iframe", "link", "object"} & set(page.elements)
        assert {link[:1] for link in page.links} <= {"/", "#", "?"}
        assert NASTY in page.text
    job = sandbox.jobs()[0]
    for shown in (url, job.status, "unknown key", "cut_before", "list_items", "job_units", sandbox.url, "in force"):
        assert shown in first.text
    assert "1\nduplicate URLs" in first.text
    assert '{"k": ' in items.text


def test_the_items_of_a_folder_are_paged_and_searched(
    sandbox: Sandbox, folder: StorageFolder, submit: Callable[..., UploadLongPollingState]
) -> None:
    submit(sandbox, folder, _images(*(f"s3://b/{number:04}.jpg" for number in range(150))))
    path = f"/folders/{folder.uuid}"

    first = _Page(_ask(sandbox, path).text)
    second = _Page(_ask(sandbox, path + next(link for link in first.links if link.startswith("?"))).text)
    found = _Page(_ask(sandbox, f"{path}?search=0149").text)

    assert ("s3://b/0099.jpg" in first.text, "s3://b/0100.jpg" in first.text) == (True, False)
    assert ("s3://b/0099.jpg" in second.text, "s3://b/0149.jpg" in second.text) == (False, True)
    assert [line for line in found.text.splitlines() if line.startswith("s3://")] == ["s3://b/0149.jpg"]
    assert requests.get(f"{sandbox.admin_url}/folders/nowhere", timeout=10).status_code == 404


def test_an_empty_sandbox_has_a_page(sandbox: Sandbox) -> None:
    text = _Page(_ask(sandbox, "/").text).text

    assert "No folder was made yet." in text
    assert "Nothing struck yet." in text


def test_requests_that_are_cut_are_listed_as_cut(sandbox: Sandbox, folder: StorageFolder) -> None:
    sandbox.script(Fault(effect=Effect.CUT, endpoint=Endpoint.FOLDER_SUMMARY))
    with pytest.raises(RequestException):
        folder.get_summary()

    latest = _ask(sandbox, "/requests").json()[0]

    assert (latest["endpoint"], latest["status"], latest["way"]) == ("folder_summary", None, "cut_before")


def test_an_admin_port_that_is_in_use_is_replaced_only_if_it_is_a_default(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(UsageError, match="choose another admin port"):
            Sandbox(SandboxConfig(data=tmp_path / "a", admin_port=taken))
        with Sandbox(SandboxConfig(data=tmp_path / "b", admin_port=taken, admin_port_or_free=True)) as started:
            assert started.admin_url is not None
            assert str(taken) not in started.admin_url
            assert requests.get(f"{started.admin_url}/state", timeout=10).ok
            assert started.admin_url in banner(started)
