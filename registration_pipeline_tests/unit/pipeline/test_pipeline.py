"""The plain calls of ``Pipeline``: what they return, which errors they raise, and what they say while they work."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from registration_pipeline.errors import ConfigurationError, CredentialsError, NotFoundError, UsageError
from registration_pipeline_tests.message_servers import message_server
from registration_pipeline_tests.unit.pipeline.conftest import REFUSED, SOURCE

if TYPE_CHECKING:
    from registration_pipeline.pipeline import Progress, SyncResult
    from registration_pipeline_tests.unit.pipeline.conftest import Plant


def test_a_sync_returns_where_every_object_is_and_the_exit_status_of_the_command(plant: Plant):
    plant.put(*(f"day/{number}.jpg" for number in range(5)), "thumbs/a.jpg")
    pipeline = plant.pipeline()

    first, second = pipeline.sync(SOURCE), pipeline.sync(SOURCE)

    assert (first.exit_status, first.chunks, first.registered_objects) == (0, 3, 5)
    assert (second.exit_status, second.chunks, second.registered_objects) == (0, 0, 0)
    assert (second.status.objects, second.status.registered, second.status.excluded) == (6, 5, 1)
    assert pipeline.status(SOURCE).as_json() == second.status.as_json()
    assert [Path(path).suffix for path in second.failure_log] == [".parquet", ".csv"]
    with pytest.raises(FrozenInstanceError):
        second.exit_status = 1  # type: ignore[misc]


def test_what_is_not_registered_gives_status_3_and_a_retry_of_the_failed_chunk_heals_it(plant: Plant):
    plant.put("a.jpg", "b.jpg", "c.jpg", "note.xyz")
    plant.refuse("c.jpg")
    pipeline = plant.pipeline()

    failed = pipeline.sync(SOURCE)
    rows = list(pipeline.failures(SOURCE))
    (chunk,) = pipeline.chunks(SOURCE, "failed")
    plant.sandbox.plant()
    again = pipeline.submit(SOURCE)
    healed = pipeline.submit(SOURCE, failed=True)

    assert failed.exit_status == 3
    assert str(failed) == (
        f"{SOURCE}: 2 of 4 objects registered, 2 of them by this call; 1 rejected; 1 failed; exit status 3"
    )
    assert [(one.chunk_id, one.failed_units) for one in failed.failed_chunks] == [(chunk.chunk_id, 1)]
    assert {(row.key, row.stage) for row in rows} == {("c.jpg", "registration"), ("note.xyz", "plan")}
    assert (again.chunks, again.registered_objects) == (0, 0)
    assert (healed.chunks, healed.registered_objects, healed.failed_chunks) == (1, 1, ())
    assert (healed.exit_status, healed.status.failed, healed.status.rejected) == (3, 0, 1)


def test_the_stages_one_by_one_come_to_the_same_as_a_sync(plant: Plant):
    plant.put("a.jpg", "b.jpg", "c.jpg", "empty.jpg")
    plant.put("empty.jpg", body=b"")
    pipeline = plant.pipeline()

    listed = pipeline.inventory(SOURCE)
    preview = pipeline.plan(SOURCE, dry_run=True)
    planned, planned_again = pipeline.plan(SOURCE), pipeline.plan(SOURCE)
    named = pipeline.submit(SOURCE, [planned.chunk_ids[1]])
    rest = pipeline.submit(SOURCE)
    log = pipeline.write_failure_log(SOURCE)

    assert (listed.objects, listed.bytes, listed.is_emptied) == (4, 3, False)
    assert Path(listed.location).is_dir()
    assert (preview.is_new, planned.is_new, planned_again.is_new) == (False, True, False)
    assert preview.chunk_ids == planned.chunk_ids == planned_again.chunk_ids
    assert planned.counts.rejected_by_reason == {"empty": 1}
    assert (named.chunks, named.status.registered, named.status.pending) == (1, 1, 2)
    assert (rest.chunks, rest.status.registered, rest.exit_status) == (1, 3, 3)
    assert (log.exit_status, log.objects, log.rows_by_reason) == (3, 1, {"empty": 1})
    assert pq.read_table(log.parquet).column("key").to_pylist() == ["empty.jpg"]
    assert pipeline.audit(SOURCE).is_clean


def test_a_check_returns_what_is_wrong_and_a_sync_raises_it_before_it_lists(plant: Plant):
    plant.configure(encord={"integration": "nowhere"})
    plant.put("a.jpg")

    result = plant.pipeline().check(SOURCE)

    assert result.exit_status == 4
    assert [type(error) for error in result.errors] == [NotFoundError]
    assert {one.what for one in result.findings} >= {"configuration", "state", "directory", "key and integration"}
    assert "Dagster instance" not in {one.what for one in result.findings}
    with pytest.raises(NotFoundError, match="nowhere") as halted:
        plant.pipeline().sync(SOURCE)
    assert halted.value.exit_status == 4
    assert plant.pipeline().status(SOURCE).inventory_id is None


def test_a_source_that_is_ready_has_no_errors(plant: Plant):
    plant.put("a.jpg")

    assert plant.pipeline().check(SOURCE).exit_status == 0


def test_a_missing_key_is_a_halt_and_wrong_names_are_errors_of_usage(plant: Plant):
    plant.put("a.jpg")
    pipeline = plant.pipeline()
    pipeline.inventory(SOURCE)
    pipeline.plan(SOURCE)

    with pytest.raises(CredentialsError) as missing:
        plant.pipeline(ENCORD_SSH_KEY_FILE="").sync(SOURCE)
    with pytest.raises(UsageError, match="Did you mean 'fleet'"):
        pipeline.sync("fleets")
    with pytest.raises(UsageError, match="has no chunk 'x'"):
        pipeline.submit(SOURCE, ["x"])
    with pytest.raises(ConfigurationError):
        type(pipeline).load(plant.here / "none.yaml", environ={})
    assert missing.value.exit_status == 4


def test_progress_and_log_say_what_happens(plant: Plant, caplog: pytest.LogCaptureFixture):
    plant.put("a.jpg", "b.jpg", "c.jpg")
    plant.refuse("c.jpg")
    told: list[Progress] = []

    with caplog.at_level(logging.INFO, logger="registration_pipeline"):
        plant.pipeline(told.append).sync(SOURCE)

    stages = list(dict.fromkeys(one.stage for one in told))
    assert stages == ["inventory", "plan", "registration", "failure log"]
    assert [(one.done, one.total) for one in told if one.stage == "registration"][-1] == (2, 2)
    assert len([one for one in told if one.failed_chunk]) == 1
    ours = [record for record in caplog.records if record.name == "registration_pipeline"]
    assert {record.__dict__["source"] for record in ours} == {SOURCE}
    assert any("3 objects" in record.message for record in ours)
    assert any("1 of 1 unit failed" in record.message for record in ours)


def test_a_bucket_that_was_emptied_is_a_warning(plant: Plant, caplog: pytest.LogCaptureFixture):
    plant.put("a.jpg")
    pipeline = plant.pipeline()
    pipeline.inventory(SOURCE)
    (plant.here / "files" / "a.jpg").unlink()

    assert pipeline.inventory(SOURCE).is_emptied
    assert [record.levelname for record in caplog.records if "nothing is left" in record.message] == ["WARNING"]


def test_two_syncs_at_the_same_moment_register_each_object_once(plant: Plant):
    plant.put(*(f"{number:03d}.jpg" for number in range(24)))
    results: list[SyncResult] = []
    both = [threading.Thread(target=lambda: results.append(plant.pipeline().sync(SOURCE))) for _ in range(2)]
    before = len(plant.sandbox.jobs())

    for one in both:
        one.start()
    for one in both:
        one.join(120)

    assert [result.exit_status for result in results] == [0, 0]
    assert [result.status.registered for result in results] == [24, 24]
    assert sum(result.registered_objects for result in results) == 24
    assert len(plant.sandbox.jobs()) - before == 12


def test_messages_are_sent_of_what_is_new_of_a_halt_and_when_all_is_well(plant: Plant):
    plant.put("a.jpg", "b.jpg")
    plant.refuse("b.jpg")
    with message_server() as server:
        plant.configure(notify=({"webhook": server.url},))
        pipeline = plant.pipeline()
        pipeline.sync(SOURCE)
        pipeline.sync(SOURCE)
        with pytest.raises(CredentialsError):
            plant.pipeline(ENCORD_SSH_KEY_FILE="").sync(SOURCE)
        with pytest.raises(UsageError):
            pipeline.submit(SOURCE, ["x"])
        plant.sandbox.plant()
        pipeline.submit(SOURCE, failed=True)

        assert server.kinds == ["failed", "halted", "recovered"]


def test_a_bug_is_a_halt_that_is_sent_without_secrets_and_raised(plant: Plant, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the cable is unplugged, token=abcdefghijklmnop")

    monkeypatch.setattr("registration_pipeline.pipeline.pipeline.plan_new_inventory", broken)
    with message_server() as server:
        plant.configure(notify=({"webhook": server.url},))
        with pytest.raises(RuntimeError, match="cable"):
            plant.pipeline().sync(SOURCE)

        assert server.kinds == ["halted"]
        assert "RuntimeError: the cable is unplugged" in server.documents[0]["error"]
        assert "abcdefghijklmnop" not in server.documents[0]["error"]


def test_what_is_refused_is_in_the_failure_log_with_encords_words(plant: Plant):
    plant.put("a.jpg")
    plant.refuse("a.jpg")

    written = plant.pipeline().sync(SOURCE).failure_log

    (row,) = pq.read_table(written[0]).to_pylist()
    assert (row["key"], row["message"]) == ("a.jpg", REFUSED)


def test_the_public_api_needs_no_dagster():
    script = (
        "import sys\n"
        "from registration_pipeline.pipeline import Pipeline\n"
        "print(','.join(sorted({name.split('.')[0] for name in sys.modules} & {'dagster', 'encord', 'boto3'})) or '-')"
    )

    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert run.stdout.split() == ["-"]
