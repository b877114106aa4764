"""The demo command as a user runs it: interrupted, in a hostile environment, from the beginning again, and its UI.

The demo runs to its end once; ``make test-slow`` has it run by ``make demo``, so that this target is tested, too.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
MAKE_DEMO = os.environ.get("MAKE_DEMO")
"""The program to run ``make demo`` with, where the environment of this repository is complete; None: without make."""

LONGEST_SECONDS = 900
"""For anything, on a machine with much other work: what hangs fails, what is slow does not."""

CHECKS = (
    ("inventory", "inventory_complete"),
    ("inventory", "inventory_not_emptied"),
    ("chunk_plan", "every_object_accounted_for"),
    ("manifest", "manifests_valid"),
    ("registration", "no_failed_chunks"),
    ("metadata", "every_object_has_metadata"),
    ("chunk_plan", "metadata_matches_schema"),
    ("dataset", "dataset_complete"),
)
"""Those that a sync executes; the last three are of the bucket only."""

HOSTILE = {
    "AWS_PROFILE": "nope",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "ENCORD_SSH_KEY": "garbage",
    "ENCORD_SSH_KEY_FILE": "/nonexistent/key",
    "ENCORD_DOMAIN": "http://127.0.0.1:9",
    "DAGSTER_HOME": "/nonexistent",
    "REGISTRATION_CONFIG": "/nonexistent/registration.yaml",
    "http_proxy": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
}


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "registration_pipeline", "demo", "--dir", str(folder), *options]


def start(folder: Path, log: Path, *options: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command(folder, *options),
            env={**os.environ, **HOSTILE},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_for(process: subprocess.Popen[bytes], log: Path, text: str, *, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while text not in (seen := log.read_text()):
        assert process.poll() is None, f"ended with {process.returncode}:\n{seen}"
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {text!r}:\n{seen}"
        time.sleep(0.1)
    return seen


def processes_of(folder: Path) -> dict[int, str]:
    """Return the command lines of all processes that were started for the demo: each has its folder somewhere."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
            described = line + (entry / "environ").read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in described and line:
            found[int(entry.name)] = line.replace(b"\0", b" ").decode(errors="replace")
    return found


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("e2e") / "a demo"
    yield folder
    for pid in processes_of(folder):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def interrupted(demo_folder: Path) -> subprocess.CompletedProcess[str]:
    """The demo, interrupted while its first sync runs."""
    log = demo_folder.parent / "interrupted.log"
    process = start(demo_folder, log)
    wait_for(process, log, "registration-pipeline sync", seconds=LONGEST_SECONDS)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    status = process.wait(timeout=LONGEST_SECONDS)
    return subprocess.CompletedProcess(process.args, status, stdout=log.read_text())


@pytest.fixture(scope="module")
def whole(demo_folder: Path, interrupted: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """The demo that ran to its end, in the folder that the interrupted one left."""
    (demo_folder / "my notes.txt").write_text("precious")
    by_make = [
        str(MAKE_DEMO),
        "--silent",
        f"--directory={ROOT}",
        "demo",
        f"DEMO_DIR={demo_folder}",
        "DEMO_OPTIONS=--json",
    ]
    run = subprocess.run(
        by_make if MAKE_DEMO else command(demo_folder, "--json"),
        env={**os.environ, **HOSTILE},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-5_000:]
    return run


@pytest.fixture(scope="module")
def told(whole: subprocess.CompletedProcess[str]) -> str:
    """What it told its user meanwhile."""
    return whole.stderr


def test_a_folder_that_no_demo_made_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    run = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
    assert run.returncode == 2
    assert "not a demo's" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_interrupted_demo_says_so_and_leaves_no_process(
    interrupted: subprocess.CompletedProcess[str], demo_folder: Path
) -> None:
    assert interrupted.returncode == 130
    assert "Interrupted" in interrupted.stdout
    assert "5 of 9" not in interrupted.stdout
    assert processes_of(demo_folder) == {}


def test_the_demo_starts_over_ignores_the_users_settings_and_every_claim_is_true(told: str) -> None:
    claims = re.findall(r"^  (true|FALSE) +(.+)$", told, re.MULTILINE)
    assert len(claims) == 11
    assert {truth for truth, _ in claims} == {"true"}
    assert "items in the sandbox: 377" in told
    assert "0 duplicates" in told
    assert "Traceback" not in told


def test_the_demo_tells_a_program_how_it_came_out(whole: subprocess.CompletedProcess[str]) -> None:
    report = json.loads(whole.stdout)
    assert all(claim["holds"] for claim in report["claims"])
    assert set(report["sources"]) == {"demo-bucket", "demo-directory"}
    assert "$ registration-pipeline sync" in whole.stderr


def test_every_check_that_was_executed_is_green_at_the_end(told: str, demo_folder: Path) -> None:
    assert told
    found: dict[str, bool] = {}
    with dg.DagsterInstance.from_config(str(demo_folder / "dagster_home")) as instance:
        for source in ("demo-bucket", "demo-directory"):
            for asset, check in CHECKS:
                key = dg.AssetCheckKey(dg.AssetKey([source, asset]), check)
                for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=1):
                    found[f"{source} {check}"] = bool(record.evaluation and record.evaluation.passed)
    assert len(found) == 2 * 5 + 3
    assert [check for check, is_green in found.items() if not is_green] == []


def test_the_demo_shows_its_failures_before_it_repairs_them(told: str) -> None:
    failures, _, rest = told.partition("Repair the broken files")
    assert "17 objects are not registered" in failures
    assert "clips/drive_9001.mp4" in failures
    assert "invalid_file" not in rest


def test_the_demo_leaves_no_process_and_keeps_what_the_user_put_beside_it(told: str, demo_folder: Path) -> None:
    assert processes_of(demo_folder) == {}
    assert (demo_folder / "my notes.txt").read_text() == "precious"


def test_the_printed_line_for_the_users_own_shell_shows_the_status(told: str, demo_folder: Path) -> None:
    line = re.findall(r"^  (\. .+ && registration-pipeline status)$", told, re.MULTILINE)[-1]
    shell = subprocess.run(
        ["/bin/sh", "-c", f"{line} --json"],
        cwd="/",
        env={**os.environ, **HOSTILE},
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=True,
    )
    sources = json.loads(shell.stdout)["sources"]
    assert (sources["demo-bucket"]["registered"], sources["demo-directory"]["registered"]) == (315, 62)
    assert all(source["failed"] == source["pending"] == 0 for source in sources.values())


def test_the_ui_answers_guards_its_demo_and_ends_with_everything_at_ctrl_c(told: str, demo_folder: Path) -> None:
    log = demo_folder.parent / "ui.log"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(demo_folder, log, "--ui", "--ui-port", str(port))
        try:
            printed = wait_for(process, log, "What to try", seconds=LONGEST_SECONDS)
            assert f"Port {port} is in use" in printed
            url = re.findall(r"Dagster UI +(http://127\.0\.0\.1:\d+)/", printed)[0]
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{url}/server_info", timeout=LONGEST_SECONDS) as answer:
                assert "dagster_webserver_version" in json.load(answer)
            second = subprocess.run(
                command(demo_folder), capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
            )
            assert second.returncode == 2
            assert "is in use" in second.stderr
            assert (demo_folder / "state").is_dir()
            assert len(processes_of(demo_folder)) > 3
        finally:
            process.send_signal(signal.SIGINT)
            status = process.wait(timeout=LONGEST_SECONDS)
    assert status == 0, log.read_text()
    assert log.read_text().rstrip().endswith("Ended: the UI, the sandbox and the S3 server.")
    assert processes_of(demo_folder) == {}


def test_the_ui_that_dies_takes_the_demo_with_it_and_says_why(told: str, demo_folder: Path) -> None:
    log = demo_folder.parent / "dying.log"
    process = start(demo_folder, log, "--ui", "--ui-port", "0")
    wait_for(process, log, "Starting the Dagster UI", seconds=LONGEST_SECONDS)
    deadline = time.monotonic() + LONGEST_SECONDS
    while not (children := [pid for pid, line in processes_of(demo_folder).items() if " dagster dev " in line]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(children[0], signal.SIGKILL)
    assert process.wait(timeout=LONGEST_SECONDS) == 1
    assert "The Dagster UI ended" in log.read_text()
    assert processes_of(demo_folder) == {}
