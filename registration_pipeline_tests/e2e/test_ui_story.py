"""The quickstart's story, clicked through in the Dagster UI with Chromium.

With ``UI_STORY_IMAGES=docs/images`` in the environment the screenshots of the quickstart are written anew.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from registration_pipeline.demo.media.media import media_bytes
from registration_pipeline.orchestration.runs.instance import prepare_home
from registration_pipeline.sandbox.config import SandboxConfig
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule
from registration_pipeline.sandbox.server import Sandbox
from registration_pipeline.settings import load_settings
from registration_pipeline.state.factory import open_state_store
from registration_pipeline.tracking.status import SourceStatus, source_status
from registration_pipeline_tests.orchestration.ui.conftest import QUICK_DAEMON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

pytestmark = [pytest.mark.ui, pytest.mark.timeout(600)]

SOURCE = "fleet-cameras"
ROWS = {"audit": 1, "chunk_plan": 2, "failure_log": 3, "inventory": 4, "manifest": 5, "registration": 6}
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PLANTED = (
    UnitRule(r"camera-00/.*frame_000047", "Invalid image: the file is truncated"),
    UnitRule(r"camera-02/.*frame_000113", "Could not read object: 403 Forbidden"),
    UnitRule(r"camera-04/.*frame_00018[05]", "Invalid image: not a JPEG"),
)


@dataclass(frozen=True)
class Story:
    """A project of 1,000 images in 50 chunks, its sandbox and its UI."""

    root: Path
    sandbox: Sandbox
    url: str

    @property
    def status(self) -> SourceStatus:
        settings = load_settings(self.root / "registration.yaml", {})
        return source_status(open_state_store(settings.state), SOURCE)

    def wait_until(self, what: str, condition: Callable[[], object], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
            time.sleep(0.5)

    def runs(self) -> list[dict[str, Any]]:
        """Ask the UI's own server for all runs."""
        query = "{ runsOrError { ... on Runs { results { status jobName } } } }"
        request = urllib.request.Request(
            f"{self.url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            results: list[dict[str, Any]] = json.load(reply)["data"]["runsOrError"]["results"]
        return results


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    write_project(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Sandbox(SandboxConfig(data=tmp_path / "sandbox", unit_rules=())) as sandbox:
        sandbox.plant(*PLANTED)
        environ = {
            **os.environ,
            "REGISTRATION_CONFIG": str(tmp_path / "registration.yaml"),
            "DAGSTER_HOME": str(tmp_path / "home"),
            "ENCORD_DOMAIN": sandbox.url,
            "ENCORD_SSH_KEY_FILE": str(sandbox.private_key_path),
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONPATH": os.pathsep.join([str(QUICK_DAEMON), os.environ.get("PYTHONPATH", "")]),
        }
        command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(port)]
        log = (tmp_path / "dev.log").open("w")
        server = subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=log, stderr=log)
        told = Story(tmp_path, sandbox, f"http://127.0.0.1:{port}")
        try:
            told.wait_until("the UI", lambda: is_up(told.url))
            yield told
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)
            log.close()


def write_project(root: Path) -> None:
    for camera in range(5):
        folder = root / "files" / f"camera-{camera:02d}" / "2026-11-20"
        folder.mkdir(parents=True)
        for number in range(200):
            (folder / f"frame_{number:06d}.jpg").write_bytes(media_bytes(f"frame_{number % 4}.jpg", seed=1))
    source = {"uri": (root / "files").as_uri(), "encord": {"integration": "sandbox"}, "chunk_size": {"images": 20}}
    (root / "registration.yaml").write_text(yaml.safe_dump({"state": "./state", "sources": {SOURCE: source}}))
    location = {"module_name": "registration_pipeline.definitions", "location_name": "registration_pipeline"}
    (root / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"python_module": location}]}))
    (root / "home").mkdir()
    prepare_home(root / "home")


def is_up(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{url}/server_info", timeout=2).status == 200)
    except OSError:
        return False


@pytest.fixture
def page() -> Iterator[Page]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield browser.new_page(viewport={"width": 1280, "height": 760})
        browser.close()


def picture(page: Page, name: str) -> None:
    """Keep a screenshot, where the environment says so."""
    folder = os.environ.get("UI_STORY_IMAGES")
    if folder:
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(folder) / f"ui-{name}.png")


def choose(page: Page, url: str, *assets: str) -> None:
    """Open the group's list, tick assets and press the button."""
    page.goto(f"{url}/locations/registration_pipeline/asset-groups/fleet_cameras/list")
    page.get_by_role("link", name="fleet-cameras / registration").wait_for(timeout=60_000)
    for asset in assets:
        page.locator("input[type=checkbox]").nth(ROWS[asset]).locator("xpath=..").click()
    page.get_by_role("button", name="Materialize selected").click()


def test_the_quickstart_story_in_the_ui(story: Story, page: Page) -> None:
    """Plan, backfill every chunk in one click, see 3 of 50 fail in one run, fix, retry just those."""
    page.goto(f"{story.url}/locations/registration_pipeline/asset-groups/fleet_cameras")
    page.get_by_text("failure_log", exact=True).first.wait_for(timeout=60_000)
    picture(page, "graph")

    choose(page, story.url, "inventory", "chunk_plan")
    story.wait_until("the plan", lambda: story.status.pending == 1000)
    page.goto(f"{story.url}/locations/registration_pipeline/asset-groups/fleet_cameras/list")
    page.get_by_text("50 partitions").first.wait_for(timeout=60_000)
    picture(page, "plan")

    choose(page, story.url, "manifest", "registration")
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_text("50 partitions selected").wait_for()
    picture(page, "backfill-launch")
    page.get_by_role("button", name="Launch backfill").click()
    story.wait_until("all verdicts", lambda: story.status.pending == 0)
    story.wait_until("the end of the run", lambda: any(run["status"] == "FAILURE" for run in story.runs()))

    assert (story.status.registered, story.status.failed) == (996, 4)
    assert len([run for run in story.runs() if run["jobName"] == "__ASSET_JOB"]) == 2  # the plan, and one backfill run

    page.goto(f"{story.url}/assets/{SOURCE}/registration?view=partitions")
    page.get_by_text("Failed (3)").wait_for(timeout=60_000)
    page.get_by_text("Materialized (47)").wait_for()
    picture(page, "backfill-3-failed")
    page.get_by_text("…ages-000003").click()  # a chunk with a failure; the newest event may be any chunk's
    page.get_by_text("View all historical events").click()
    page.get_by_role("cell", name="images-000003").click()
    page.get_by_text("partially_failed").wait_for()
    picture(page, "failed-chunk")

    story.sandbox.plant()  # the files were fixed
    jobs_before = len(story.sandbox.jobs())
    choose(page, story.url, "registration")
    page.get_by_role("button", name="Failed", exact=True).click()
    page.get_by_text("3 partitions", exact=True).first.wait_for()
    picture(page, "failed-partitions")
    page.get_by_role("button", name="Launch backfill").click()
    story.wait_until("the retries", lambda: story.status.registered == 1000)

    page.goto(f"{story.url}/assets/{SOURCE}/registration?view=partitions")
    page.get_by_text("Materialized (50)").wait_for(timeout=60_000)
    picture(page, "retry")
    choose(page, story.url, "failure_log")
    story.wait_until("the failure log", lambda: list((story.root / "state" / SOURCE / "failure_log").glob("*.csv")))
    page.goto(f"{story.url}/assets/{SOURCE}/failure_log")
    page.get_by_text("registered_objects", exact=True).first.wait_for(timeout=60_000)
    picture(page, "failure-log")

    assert len(story.sandbox.jobs()) == jobs_before + 3
    assert story.sandbox.duplicates() == {}
