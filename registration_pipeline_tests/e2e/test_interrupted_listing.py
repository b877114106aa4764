"""A listing that is interrupted ends complete on the next run, and is never mistaken for complete before."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from registration_pipeline.inventory.inventory import latest_inventory, read_inventory
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.forked_commands import ForkedCommand
from registration_pipeline_tests.integration.listing_store import ListingStore, Reply, error_body, running

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KEYS = [f"raw/{folder:02d}/{number:05d}.jpg" for folder in range(4) for number in range(5_000)]
SOURCE = "fleet"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ListingStore]:
    """A bucket of 20,000 keys, and a project that lists it."""
    with running(ListingStore(KEYS)) as served:
        storage = {"endpoint_url": served.endpoint_url, "region": "eu-west-2"}
        source = {"uri": "s3://bucket/raw/", "storage": storage, "encord": {"integration": "sandbox"}}
        (tmp_path / "registration.yaml").write_text(yaml.safe_dump({"state": "./state", "sources": {SOURCE: source}}))
        for name in ("DAGSTER_HOME", "REGISTRATION_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield served


def start(folder: Path) -> subprocess.Popen[str]:
    return ForkedCommand("inventory", SOURCE, cwd=folder, env=os.environ)


def inventory_files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "state" / SOURCE / "inventory").rglob("*") if path.is_file())


def listed(folder: Path) -> list[str]:
    state = LocalStateStore(folder / "state")
    inventory = latest_inventory(state, SOURCE)
    assert inventory is not None
    return [key for batch in read_inventory(state, inventory, ["key"]) for key in batch.column("key").to_pylist()]


@pytest.mark.parametrize("pages", [1, 4, 15], ids=["first page", "before the ranges fan out", "in many ranges"])
def test_a_kill_in_the_middle_leaves_nothing_that_counts_and_the_next_run_lists_all(
    store: ListingStore, tmp_path: Path, pages: int
) -> None:
    def stall(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
        while number > pages and store.interfere is stall:
            time.sleep(0.05)
        return reply

    store.interfere = stall
    killed = start(tmp_path)
    while len(store.asked) <= pages:
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=900)
    store.interfere = lambda _number, _asked, reply: reply
    assert "_SUCCESS.json" not in inventory_files(tmp_path)
    assert latest_inventory(LocalStateStore(tmp_path / "state"), SOURCE) is None

    again = start(tmp_path)
    _, said = again.communicate(timeout=900)

    assert again.returncode == 0, said
    assert listed(tmp_path) == KEYS
    assert [name.split("-")[0] for name in inventory_files(tmp_path)] == ["_SUCCESS.json", "part"]


def slow_down(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
    return Reply(503, error_body("SlowDown")) if number % 3 == 0 else reply


def cut(number: int, _asked: Mapping[str, str], reply: Reply) -> Reply:
    if number % 4 == 0:
        reply.sent_bytes = len(reply.body) // 2
    return reply


@pytest.mark.parametrize("trouble", [slow_down, cut], ids=["503 now and then", "connections cut midway"])
def test_trouble_that_passes_is_got_over(store: ListingStore, tmp_path: Path, trouble: object) -> None:
    store.interfere = trouble  # type: ignore[assignment]

    process = start(tmp_path)
    _, said = process.communicate(timeout=900)

    assert process.returncode == 0, said
    assert listed(tmp_path) == KEYS


def test_a_token_that_expires_midway_halts_and_the_next_run_lists_all(store: ListingStore, tmp_path: Path) -> None:
    store.interfere = lambda number, _asked, reply: Reply(400, error_body("ExpiredToken")) if number > 9 else reply

    process = start(tmp_path)
    _, said = process.communicate(timeout=900)

    assert process.returncode == 4
    assert "ExpiredToken" in said
    assert "AWS_SESSION_TOKEN" in said
    assert inventory_files(tmp_path) == []
    store.interfere = lambda _number, _asked, reply: reply
    again = start(tmp_path)
    _, said = again.communicate(timeout=900)
    assert again.returncode == 0, said
    assert listed(tmp_path) == KEYS
