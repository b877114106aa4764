"""What people see before they click: what a failed run says, and what jobs, ops and options say of themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import yaml
from dagster import TableMetadataValue
from dagster._core.storage.tags import TagType, get_tag_type

from registration_pipeline.objects import FailureReason, MediaKind
from registration_pipeline.orchestration.definitions import build_definitions
from registration_pipeline.orchestration.runs.failures import failure_line, failure_of
from registration_pipeline.orchestration.runs.processes import worker_tag
from registration_pipeline.planning.wave import PlannedChunk
from registration_pipeline.settings import load_settings
from registration_pipeline.submission.result import ChunkResult
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline.tracking.outcomes import FailedUnit, Outcome, Verdict

if TYPE_CHECKING:
    from pathlib import Path

AT = datetime(2026, 11, 20, 2, tzinfo=UTC)
EVERYTHING = {
    "uri": "file:///data/",
    "encord": {"integration": "sandbox"},
    "metadata": [{"pattern": "(?P<frame>[0-9]+)"}],
    "metadata_schema": {"frame": "number"},
    "media_metadata": "probe",
    "upsert_metadata": True,
    "dataset": {"title": "fleet"},
}


def refused(key: str, reason: FailureReason = FailureReason.INVALID_FILE, message: str = "not a JPEG") -> FailedUnit:
    return FailedUnit(Outcome(key, f"s3://b/{key}", "u", Verdict.FAILED, 1, AT, reason=reason, message=message), 1)


def chunk_with(number: int, *failed: FailedUnit, reasons: dict[str, int] | None = None, units: int = 20) -> ChunkResult:
    """Return a chunk of single images some of which failed."""
    counts = reasons or {}
    for unit in failed if reasons is None else ():
        reason = str(unit.said.reason)
        counts[reason] = counts.get(reason, 0) + 1
    count = sum(counts.values())
    return ChunkResult(
        chunk=PlannedChunk(
            chunk_id=f"c{number}",
            kind=MediaKind.IMAGE,
            wave_id="w",
            units=units,
            objects=units,
            bytes=1,
            first_key="a",
            last_key="z",
        ),
        state=ChunkState.PARTIALLY_FAILED,
        attempt=1,
        registered_objects=units - count,
        failed_objects=count,
        failed_units=count,
        job_id="j",
        message=None,
        is_new=True,
        reasons=counts,
        failures=failed,
    )


def rows_of(value: object) -> list[dict[str, object]]:
    assert isinstance(value, TableMetadataValue)
    return [dict(record.data) for record in value.records]


@pytest.mark.parametrize(
    ("result", "line"),
    [
        pytest.param(
            chunk_with(7, refused("a.jpg")),
            "chunk c7: 1 of 20 units failed (1 of 20 objects): invalid_file 1 (fix the file). First: 'a.jpg': invalid_file: "
            "not a JPEG",
            id="one of many",
        ),
        pytest.param(
            chunk_with(7, refused("a\x1b[31m.jpg", FailureReason.NOT_FOUND, "gone\x07"), units=1),
            "chunk c7: 1 of 1 unit failed (1 of 1 object): not_found 1 (fix the file). First: 'a\\x1b[31m.jpg': not_found: "
            "gone\\x07",
            id="text that a terminal would obey",
        ),
        pytest.param(
            chunk_with(7, reasons={"not_found": 1, "invalid_file": 2}),
            "chunk c7: 3 of 20 units failed (3 of 20 objects): invalid_file 2 (fix the file), not_found 1 (fix the file)",
            id="read back without a sample",
        ),
    ],
)
def test_the_line_of_a_failed_chunk_names_object_and_reason(result: ChunkResult, line: str) -> None:
    assert failure_line(result) == line


def test_the_failure_of_a_run_has_reasons_counts_and_first_objects() -> None:
    many = chunk_with(1, *(refused(f"{number}.jpg") for number in range(9)))
    one = chunk_with(2, refused("x.jpg", FailureReason.UNREADABLE, "403" * 400))

    failure = failure_of([many, one], "fleet", None, [])

    said = str(failure.description)
    assert said.startswith(
        "2 chunks have 10 units (10 objects) that Encord refused: invalid_file 9 (fix the file), unreadable 1"
    )
    assert "First: '0.jpg': invalid_file: not a JPEG; 'x.jpg': unreadable: 403" in said
    assert len(said) < 1_200
    shown = failure.metadata
    assert [shown[f"failed_{what}"].value for what in ("chunks", "units", "objects")] == [2, 10, 10]
    first = rows_of(shown["first_failures"])
    assert [row["key"] for row in first[:3]] == ["0.jpg", "x.jpg", "1.jpg"], "of each chunk before the second of any"
    assert len(first) == 10
    assert rows_of(shown["reasons"])[0] == {"reason": "invalid_file", "units": 9, "what to do": "fix the file"}
    assert "unknown_chunk_ids" not in shown
    assert not failure.allow_retries


def test_one_is_one() -> None:
    failure = failure_of([chunk_with(1, refused("a.jpg"))], "fleet", None, [])

    assert str(failure.description).startswith("1 chunk has 1 unit (1 object) that Encord refused: ")


def test_only_unknown_partitions_say_nothing_of_refusals() -> None:
    failure = failure_of([], "fleet", "The state does not know c9.", ["c9"])

    assert failure.description == "The state does not know c9."
    assert set(failure.metadata) == {"unknown_chunk_ids"}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> dg.RepositoryDefinition:
    """A source with everything."""
    config: Path = tmp_path_factory.mktemp("everything") / "registration.yaml"
    config.write_text(yaml.safe_dump({"state": "./state", "sources": {"fleet": EVERYTHING}}))
    return build_definitions(load_settings(config, {})).get_repository_def()


def test_every_job_op_asset_and_option_says_what_it_is(repository: dg.RepositoryDefinition) -> None:
    silent: list[str] = []
    for job in repository.get_all_jobs():
        if job.name.startswith("__"):
            continue
        silent += [job.name] if not job.description else []
        for node in job.nodes:
            op = node.definition
            silent += [f"{job.name}.{op.name}"] if not op.description else []
            options = getattr(op.config_schema.config_type, "fields", {}) if isinstance(op, dg.OpDefinition) else {}
            silent += [f"{op.name}.{name}" for name, field in options.items() if not field.description]
    graph = repository.asset_graph
    silent += [key.to_user_string() for key in graph.get_all_asset_keys() if not graph.get(key).description]
    silent += [key.to_user_string() for key in graph.get_all_asset_keys() if not graph.get(key).code_version]
    assert silent == []


@pytest.mark.parametrize(
    ("job", "says"),
    [
        pytest.param("fleet_sync", "The job to start by hand; `registration-pipeline sync fleet`", id="sync"),
        pytest.param("fleet_nightly_sync", "To start it by hand, launch fleet_sync.", id="nightly"),
        pytest.param("fleet_submit", "launch it to go on with what is planned already", id="submit"),
        pytest.param("fleet_retry_failed", "launch it after the objects were fixed", id="retry"),
    ],
)
def test_a_job_says_when_to_launch_it_and_when_its_run_fails(
    repository: dg.RepositoryDefinition, job: str, says: str
) -> None:
    description = repository.get_job(job).description
    assert description is not None
    assert says in description
    assert "The run fails when Encord refuses an object" in description


def test_the_list_of_jobs_says_first_who_starts_a_sync(repository: dg.RepositoryDefinition) -> None:
    by_hand, nightly = (str(repository.get_job(f"fleet_{name}").description) for name in ("sync", "nightly_sync"))

    assert by_hand.startswith("By hand: inventory, plan")
    assert nightly.startswith("By the schedule fleet_nightly: inventory, plan")


def test_the_registration_says_where_the_reason_of_a_failure_is(repository: dg.RepositoryDefinition) -> None:
    said = str(repository.asset_graph.get(dg.AssetKey(["fleet", "registration"])).description)

    where = "its run (link in the red box), the tab Events, or the check `no_failed_chunks`"
    assert f"Why a partition failed: {where}." in said


def test_the_launchpad_shows_every_option_with_its_value(repository: dg.RepositoryDefinition) -> None:
    shown = {
        name: repository.get_job(f"fleet_{name}").run_config for name in ("submit", "retry_failed", "sync", "audit")
    }

    chosen = {"chunks": [], "failed": False, "force": False, "due": True}
    register = "fleet_register_chunks"
    assert shown == {
        "submit": {"ops": {register: {"config": chosen}}},
        "retry_failed": {"ops": {register: {"config": {**chosen, "failed": True}}}},
        "sync": {"ops": {register: {"config": chosen}}},
        "audit": {"ops": {"fleet_run_audit": {"config": {"adopt": False}}}},
    }


def test_the_list_of_runs_shows_no_json() -> None:
    shown = {get_tag_type(name) for name in worker_tag("r")}  # type: ignore[no-untyped-call]
    assert shown == {TagType.HIDDEN}
