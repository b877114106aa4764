"""Commands that share a Dagster instance: opened at once for the first time, and waiting for each other's slot."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import yaml
from dagster._core.storage.event_log import SqlEventLogStorage

from registration_pipeline.orchestration.runs.instance import open_instance
from registration_pipeline.orchestration.runs.stale_runs import clear_stale_runs
from registration_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

POOL = "encord_submission/fleet"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    source = {"uri": (tmp_path / "files").as_uri(), "encord": {"integration": "sandbox"}}
    (tmp_path / "registration.yaml").write_text(yaml.safe_dump({"sources": {"fleet": source}}))
    return load_settings(tmp_path / "registration.yaml", {})


@dg.op(pool=POOL)
def wait() -> None:
    """Hold the slot."""


@dg.job
def waiting() -> None:
    """Need the slot."""
    wait()


def test_a_slot_that_was_freed_unseen_is_handed_on(settings: Settings):
    with open_instance(settings, {}) as instance:
        storage = instance.event_log_storage
        assert isinstance(storage, SqlEventLogStorage)
        run = instance.create_run_for_job(waiting, status=dg.DagsterRunStatus.STARTED)
        storage.initialize_concurrency_limit_to_default(POOL)
        storage.add_pending_step(POOL, run.run_id, "wait", should_assign=False)
        assert not storage.claim_concurrency_slot(POOL, run.run_id, "wait").is_claimed
        clear_stale_runs(instance)
        assert storage.claim_concurrency_slot(POOL, run.run_id, "wait").is_claimed


def test_a_slot_that_is_held_is_not_handed_on(settings: Settings):
    with open_instance(settings, {}) as instance:
        storage = instance.event_log_storage
        first, second = (
            instance.create_run_for_job(waiting, status=dg.DagsterRunStatus.STARTED).run_id for _ in range(2)
        )
        storage.initialize_concurrency_limit_to_default(POOL)
        assert storage.claim_concurrency_slot(POOL, first, "wait").is_claimed
        assert not storage.claim_concurrency_slot(POOL, second, "wait").is_claimed
        clear_stale_runs(instance)
        assert not storage.claim_concurrency_slot(POOL, second, "wait").is_claimed
        storage.free_concurrency_slots_for_run(first)
        assert storage.claim_concurrency_slot(POOL, second, "wait").is_claimed


@pytest.mark.slow
def test_commands_may_open_a_new_instance_at_once(settings: Settings):
    script = (
        "import sys; from pathlib import Path\n"
        "from registration_pipeline.settings import load_settings\n"
        "from registration_pipeline.orchestration.runs.instance import open_instance\n"
        "settings = load_settings(Path(sys.argv[1]), {})\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "with open_instance(settings, {}) as instance: instance.get_runs()\n"
    )
    arguments = [sys.executable, "-c", script, str(settings.path)]
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    processes = [
        subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    with open_instance(settings, {}) as instance:
        assert instance.get_runs() == []
