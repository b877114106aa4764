"""Stopping, killing and starting the sandbox again on the same data and port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from encord import EncordUserClient
from encord.http.constants import RequestsSettings
from encord.orm.dataset import LongPollingStatus

from registration_pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import StartSandbox


def _manifest(count: int) -> dict[str, Any]:
    return {"images": [{"objectUrl": f"s3://b/{n:05}.jpg"} for n in range(count)], "skip_duplicate_urls": True}


def test_a_job_in_flight_continues_after_stop_and_start(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    first = start_sandbox(job_seconds=1.0)
    folder = connect(first).create_storage_folder("f")
    job = folder.add_private_data_to_folder_start(first.integration_uuid(), _manifest(40), ignore_errors=True)
    while not first.folder_items(folder.uuid):
        time.sleep(0.01)
    half_done = len(first.folder_items(folder.uuid))
    integration = first.integration_uuid()
    first.stop()

    second = start_sandbox(port=first.port)
    result = folder.add_private_data_to_folder_get_result(job, timeout_seconds=30)

    assert 0 < half_done < 40
    assert (result.status, result.units_done_count) == (LongPollingStatus.DONE, 40)
    assert len({named.item_uuid for named in result.items_with_names}) == 40
    assert (len(second.folder_items(folder.uuid)), second.duplicates()) == (40, {})
    assert (second.url, second.integration_uuid()) == (first.url, integration)


def test_stopping_twice_does_no_harm_and_asking_afterwards_is_an_error(start_sandbox: StartSandbox) -> None:
    running = start_sandbox()
    running.stop()
    running.stop()

    with pytest.raises(UsageError, match="stopped"):
        running.jobs()


def test_a_second_sandbox_on_the_same_data_is_refused(sandbox: Sandbox, start_sandbox: StartSandbox) -> None:
    with pytest.raises(UsageError, match="another sandbox is running"):
        start_sandbox()


def test_a_taken_port_is_refused_and_leaves_the_data_free(start_sandbox: StartSandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="choose another port"):
        start_sandbox(port=taken.getsockname()[1])

    assert start_sandbox().jobs() == []


SERVE = """
import sys
from pathlib import Path
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.server import serve
serve(SandboxConfig(data=Path(sys.argv[1]), port=int(sys.argv[2]), job_seconds=float(sys.argv[3])))
"""


@pytest.fixture
def serve_process(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Runs ``serve`` in a process of its own: ``serve_process(port=0, job_seconds=0)`` gives it and its banner."""
    processes: list[subprocess.Popen[str]] = []

    def start(*, port: int = 0, job_seconds: float = 0.0) -> tuple[subprocess.Popen[str], str]:
        arguments = [sys.executable, "-c", SERVE, str(tmp_path / "encord"), str(port), str(job_seconds)]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        banner = ""
        while "Ctrl-C" not in banner:
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            banner += line
        return process, banner

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def _exports(banner: str) -> dict[str, str]:
    lines = [line.strip().removeprefix("export ") for line in banner.splitlines() if "export " in line]
    return dict(line.split("=", 1) for line in lines)


def _client(exports: dict[str, str]) -> EncordUserClient:
    with open(exports["ENCORD_SSH_KEY_FILE"]) as file:  # noqa: PTH123 - as a user's script would
        key = file.read()
    settings = RequestsSettings(max_retries=0, connection_retries=0, read_timeout=90)
    return EncordUserClient.create_with_ssh_private_key(
        ssh_private_key=key, domain=exports["ENCORD_DOMAIN"], requests_settings=settings
    )


@pytest.mark.slow
def test_killed_sandboxes_lose_no_job_and_register_nothing_twice(
    serve_process: Callable[..., tuple[subprocess.Popen[str], str]],
) -> None:
    process, banner = serve_process(job_seconds=1.6)
    exports = _exports(banner)
    port = int(exports["ENCORD_DOMAIN"].rsplit(":", 1)[1])
    client = _client(exports)
    folder = client.create_storage_folder("f")
    integration = client.get_cloud_integrations()[0].id
    job = folder.add_private_data_to_folder_start(integration, _manifest(400), ignore_errors=True)
    seen = []
    for _ in range(2):
        time.sleep(0.6)
        seen.append(len(list(folder.list_items(page_size=1000))))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process, _ = serve_process(port=port, job_seconds=1.6)

    result = folder.add_private_data_to_folder_get_result(job, timeout_seconds=30)

    assert max(seen) < 400
    assert (result.status, result.units_done_count, len(result.items_with_names)) == (LongPollingStatus.DONE, 400, 400)
    urls = [item.url for item in folder.list_items(page_size=1000)]
    assert len(urls) == len(set(urls)) == 400


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_serving_ends_cleanly_on_a_signal_with_a_job_in_flight(
    serve_process: Callable[..., tuple[subprocess.Popen[str], str]], number: signal.Signals
) -> None:
    process, banner = serve_process(job_seconds=60)
    folder = _client(_exports(banner)).create_storage_folder("f")
    integration = _client(_exports(banner)).get_cloud_integrations()[0].id
    folder.add_private_data_to_folder_start(integration, _manifest(4))

    process.send_signal(number)
    _, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (0, "")


@pytest.mark.slow
def test_the_banner_says_what_a_rehearsal_proves(
    serve_process: Callable[..., tuple[subprocess.Popen[str], str]],
) -> None:
    _, banner = serve_process()

    assert "not Encord's undocumented behaviour" in banner
    assert set(_exports(banner)) == {"ENCORD_DOMAIN", "ENCORD_SSH_KEY_FILE"}
