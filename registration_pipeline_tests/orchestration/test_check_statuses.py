"""Each check in each state, as the UI shows it: a verdict changes only when what it is about was examined again.

The story is one table: what happens, and which checks show something else than before.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.limits import ManifestLimits
from registration_pipeline.orchestration.runs.launch import run_job
from registration_pipeline.project.project import Project
from registration_pipeline_tests.orchestration.check_statuses import NOT_EVALUATED, shown_checks

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import AssetKey, DagsterInstance

    from registration_pipeline_tests.orchestration.conftest import MakePipeline, Pipeline

pytestmark = pytest.mark.slow

GREEN, RED, YELLOW = "SUCCEEDED", "FAILED ERROR", "FAILED WARN"
NOT_EXECUTED, SKIPPED = "EXECUTION_FAILED", "SKIPPED"
"""What Dagster shows of checks that a run was to execute, when it failed or ended otherwise before."""

SETTINGS: dict[str, Any] = {
    "metadata": [{"pattern": "frame_(?P<frame>[0-9]+)"}],
    "metadata_schema": {"frame": "number"},
    "dataset": {"title": "fleet"},
}
LISTED = ("inventory_complete", "inventory_not_emptied", "every_object_has_metadata")
PLANNED = ("every_object_accounted_for", "metadata_matches_schema")
SENT = ("manifests_valid", "no_failed_chunks")
ALL = (*LISTED, *PLANNED, *SENT, "dataset_complete", "audit_clean")


@dataclass(frozen=True)
class World:
    """A pipeline, its instance, and hands."""

    pipeline: Pipeline
    instance: DagsterInstance
    monkeypatch: pytest.MonkeyPatch

    def job(self, name: str) -> bool:
        return run_job(self.instance, name)

    def assets(self, *keys: AssetKey, chunks: tuple[int, int] | None = None) -> bool:
        """Materialize assets as the UI does; of partitions those from one number to another."""
        job = self.pipeline.definitions.resolve_implicit_global_asset_job_def()
        tags = self._tags(*chunks) if chunks else {}
        found = job.execute_in_process(
            instance=self.instance, asset_selection=list(keys), tags=tags, raise_on_error=False
        )
        return found.success

    def backfill(self, first: int, last: int) -> bool:
        own = self.pipeline.own
        return self.assets(own.manifest, own.registration, chunks=(first, last))

    def ended_early(self, how: Callable[[DagsterInstance], Callable[..., Any]]) -> None:
        """Begin a backfill of one chunk, and let the run end before it does anything."""
        own = self.pipeline.own
        job = self.pipeline.definitions.resolve_implicit_global_asset_job_def()
        chosen = job.get_subset(asset_selection={own.manifest, own.registration})
        run = self.instance.create_run_for_job(
            chosen,
            tags=self._tags(0, 0),
            asset_selection=frozenset({own.manifest, own.registration}),
        )
        how(self.instance)(run)

    def _tags(self, first: int, last: int) -> dict[str, str]:
        ids = self.pipeline.chunk_ids
        return {"dagster/asset_partition_range_start": ids[first], "dagster/asset_partition_range_end": ids[last]}

    @contextlib.contextmanager
    def no_key(self) -> Any:
        with self.monkeypatch.context() as patch:
            patch.delenv("ENCORD_SSH_KEY_FILE")
            yield


def planned(world: World) -> None:
    own = world.pipeline.own
    world.pipeline.add_images(3)
    world.pipeline.break_images(1)
    assert world.assets(own.inventory, own.facts("metadata"), own.chunk_plan)


def backfill_of_all_with_a_refusal(world: World) -> None:
    assert not world.backfill(0, 2)


def audit_by_its_job(world: World) -> None:
    assert world.job(world.pipeline.own.audit_job)


def backfill_of_another_chunk(world: World) -> None:
    assert world.backfill(0, 0)


def backfill_that_halts(world: World) -> None:
    with world.no_key():
        assert not world.backfill(0, 1)


def backfill_that_is_killed(world: World) -> None:
    world.ended_early(lambda instance: instance.report_run_failed)


def backfill_that_is_canceled(world: World) -> None:
    world.ended_early(lambda instance: instance.report_run_canceled)


def retry_of_the_refused_chunk(world: World) -> None:
    world.pipeline.fix_images()
    assert world.backfill(1, 1)


def dataset_by_hand(world: World) -> None:
    assert world.assets(world.pipeline.own.dataset, world.pipeline.own.failure_log)


def sync_with_nothing_new(world: World) -> None:
    assert world.job(world.pipeline.own.sync_job)


def sync_that_halts_before_it_lists(world: World) -> None:
    world.pipeline.add_images(1, day="2026-11-21")
    with world.no_key():
        assert not world.job(world.pipeline.own.sync_job)


def submit_that_halts(world: World) -> None:
    own = world.pipeline.own
    assert world.assets(own.inventory, own.facts("metadata"), own.chunk_plan)
    with world.no_key():
        assert not world.job(own.submit_job)


def sync_with_a_refusal(world: World) -> None:
    world.pipeline.break_images(0)
    assert not world.job(world.pipeline.own.sync_job)


def retry_by_the_job(world: World) -> None:
    world.pipeline.fix_images()
    assert world.job(world.pipeline.own.retry_job)


def audit_of_a_lost_item(world: World) -> None:
    with world.pipeline.sandbox._database.writing() as connection:
        connection.execute("DELETE FROM items WHERE name = ?", ("2026-11-20/frame_002.jpg",))
    assert world.assets(world.pipeline.own.audit)


def audit_that_halts(world: World) -> None:
    with world.no_key():
        assert not world.assets(world.pipeline.own.audit)


def inventory_that_halts(world: World) -> None:
    folder = world.pipeline.root / "files"
    folder.rename(world.pipeline.root / "elsewhere")
    assert not world.job(world.pipeline.own.inventory_job)
    (world.pipeline.root / "elsewhere").rename(folder)


def invalid_manifest(world: World) -> None:
    """Another plan of Encord with smaller files was bought after the chunk was planned, for example."""
    own = world.pipeline.own
    world.pipeline.add_images(1, day="2026-11-22")
    assert world.assets(own.inventory, own.facts("metadata"), own.chunk_plan)
    world.monkeypatch.setattr(Project, "manifest_limits", ManifestLimits(entries=1, bytes=10))
    assert not world.job(own.submit_job)


def emptied(world: World) -> None:
    for path in (world.pipeline.root / "files").rglob("*.jpg"):
        path.unlink()
    world.job(world.pipeline.own.sync_job)


def again(world: World) -> None:
    world.job(world.pipeline.own.sync_job)


def all_of(names: tuple[str, ...], status: str) -> dict[str, str]:
    return dict.fromkeys(names, status)


STORY: tuple[tuple[Callable[[World], None], dict[str, str]], ...] = (
    (planned, all_of((*LISTED, *PLANNED), GREEN)),
    (backfill_of_all_with_a_refusal, {"manifests_valid": GREEN, "no_failed_chunks": RED}),
    (audit_by_its_job, {"audit_clean": GREEN}),
    (backfill_of_another_chunk, {}),
    (backfill_that_halts, {}),
    (backfill_that_is_killed, all_of(SENT, NOT_EXECUTED)),
    (backfill_of_another_chunk, {"manifests_valid": GREEN, "no_failed_chunks": RED}),
    (backfill_that_is_canceled, all_of(SENT, SKIPPED)),
    (retry_of_the_refused_chunk, all_of(SENT, GREEN)),
    (dataset_by_hand, {"dataset_complete": GREEN}),
    (sync_with_nothing_new, {}),
    (sync_that_halts_before_it_lists, {}),
    (submit_that_halts, {}),
    (sync_with_a_refusal, {"no_failed_chunks": RED}),
    (again, {}),
    (retry_by_the_job, {"no_failed_chunks": GREEN}),
    (audit_of_a_lost_item, {"audit_clean": RED}),
    (backfill_of_another_chunk, {}),
    (audit_that_halts, {"audit_clean": NOT_EXECUTED}),
    (inventory_that_halts, all_of(LISTED[:2], NOT_EXECUTED)),
    (again, all_of(LISTED[:2], GREEN)),
    (invalid_manifest, all_of(SENT, RED)),
    (again, {}),
    (emptied, {"inventory_not_emptied": YELLOW}),
    (again, {}),
)
"""What happens, and the checks that show something else afterwards."""


def test_a_verdict_changes_only_when_what_it_is_about_was_examined(
    make_pipeline: MakePipeline,
    instance_of: Callable[[Pipeline], DagsterInstance],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = make_pipeline()
    pipeline.configure(**SETTINGS)
    world = World(pipeline, instance_of(pipeline), monkeypatch)
    expected = all_of(ALL, NOT_EVALUATED)
    assert shown_checks(pipeline, world.instance) == dict(sorted(expected.items()))
    found, wanted = [], []
    for place, (happens, changes) in enumerate(STORY, start=1):
        happens(world)
        expected |= changes
        shown = shown_checks(pipeline, world.instance)
        found.append((place, happens.__name__, {name: shown[name] for name in ALL}))
        wanted.append((place, happens.__name__, dict(expected)))
    assert found == wanted
