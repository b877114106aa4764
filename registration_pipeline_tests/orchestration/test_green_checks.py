"""A check that passes has a short sentence and asks for nothing; one that fails says what to do about what it found."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from dagster import AssetsDefinition
from obstore.store import MemoryStore

from registration_pipeline.audit.report import AuditReport
from registration_pipeline.audit.rows import AuditFinding, FindingRow
from registration_pipeline.orchestration import names
from registration_pipeline.orchestration.audit import audit_check
from registration_pipeline.orchestration.chunk_checks import chunk_checks
from registration_pipeline.orchestration.definitions import build_definitions
from registration_pipeline.orchestration.jobs import ChunkSelection
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.stages import ManifestTally
from registration_pipeline.settings import Settings, load_settings
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.state.parquet import Part
from registration_pipeline_tests.orchestration.test_definitions import ENVIRON, EXAMPLE

if TYPE_CHECKING:
    from registration_pipeline.project.project import Project

NOW = datetime(2026, 11, 20, 2, 14, tzinfo=UTC)
OWN = SourceNames("fleet-cameras")
STORE = BucketStateStore(MemoryStore(), "memory://state")


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(EXAMPLE, ENVIRON)


def report_of(**findings: int) -> AuditReport:
    """Return a report with these findings."""
    numbers = dict.fromkeys(("units", "objects", "registered_units", "registered_objects", "items"), 3)
    zero = dict.fromkeys(("under_way", "adopted_chunks", "adopted_units", "adopted_reordered", "partly_present"), 0)
    looked = dict.fromkeys(("looked_up", "not_looked_up", "opened", "not_opened"), 0)
    empty: dict[str, Any] = dict.fromkeys(FindingRow._fields)
    sample = tuple(FindingRow(**{**empty, "finding": name, "key": "a.jpg"}) for name in findings)
    given: dict[str, Any] = {
        **numbers,
        **zero,
        **looked,
        "source": "fleet-cameras",
        "audit_id": "20261120T021400Z",
        "inventory_id": "20261120T021300Z",
        "started_at": NOW,
        "finished_at": NOW,
        "folders": (),
        "findings": {finding.value: findings.get(finding.value, 0) for finding in AuditFinding},
        "sample": sample,
        "parquet": Part("fleet-cameras/audit/findings.parquet", 0, 0, ""),
        "csv": "fleet-cameras/audit/findings.csv",
    }
    return AuditReport(**given)


def test_a_clean_audit_orders_nothing() -> None:
    found = audit_check(STORE, OWN, report_of())

    assert (found.passed, found.description) == (True, "No findings.")
    assert "Encord" not in str({name: value for name, value in found.metadata.items() if name != "inventory"})
    assert not {"findings", "sample"} & set(found.metadata)


def test_an_audit_says_what_to_do_about_what_it_found_and_nothing_else() -> None:
    found = audit_check(STORE, OWN, report_of(missing=2))

    (row,) = [record.data for record in found.metadata["findings"].records]
    assert (found.passed, row["finding"], row["count"]) == (False, "missing", 2)
    assert "submit fleet-cameras" in str(row["what to do"])


def test_checks_of_chunks_without_failures_ask_for_nothing(settings: Settings) -> None:
    source = settings.sources["fleet-cameras"]
    snapshot = SimpleNamespace(chunks={}, journals={})
    project = cast("Project", SimpleNamespace(store=STORE, snapshot=lambda _: snapshot))

    manifests, registered = chunk_checks(project, source, OWN, ManifestTally(project, OWN))

    assert (manifests.description, registered.description) == ("No invalid manifests.", "No failed chunks.")
    assert registered.metadata == {"failed_chunks": 0, "failed_units": 0}


def test_checks_say_what_they_check_and_how_the_audit_is_run(settings: Settings) -> None:
    checks = {
        key.name: definition.get_spec_for_check_key(key).description or ""
        for definition in build_definitions(settings).assets or []
        if isinstance(definition, AssetsDefinition)
        for key in definition.check_keys
    }

    assert "objects that Encord refused" in checks[names.NO_FAILED_CHUNKS]
    assert "Execute is grey" in checks[names.AUDIT_CLEAN]
    assert "fleet_cameras_audit" in checks[names.AUDIT_CLEAN]


def test_the_launchpad_says_that_nothing_needs_a_change_and_what_each_option_does(settings: Settings) -> None:
    repository = build_definitions(settings).get_repository_def()
    (op,) = [one for one in repository.get_job(OWN.sync_job).all_node_defs if one.name.endswith("register_chunks")]

    fields = ChunkSelection.to_fields_dict()

    assert "need no change" in str(op.description)
    assert set(fields) == {"chunks", "due", "failed", "force"}
    assert all(field.description for field in fields.values())
