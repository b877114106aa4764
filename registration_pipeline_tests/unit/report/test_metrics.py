"""The Prometheus text file: parsed by the library's own parser, whole at any moment, one for all sources."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from registration_pipeline.report.metrics import METRICS, SyncFigures, write_metrics
from registration_pipeline_tests.unit.report.figures import NOW, busy_source

if TYPE_CHECKING:
    from pathlib import Path

SYNC = SyncFigures(ended_at=NOW, seconds=61.5, encord_requests=17, job_seconds=(0.5, 5, 5.1, 100_000))


def samples(path: Path) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
    assert all(family.documentation for family in families)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def of(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return found[f"registration_pipeline_{name}", frozenset(labels.items())]


def test_it_has_the_counts_of_the_source(tmp_path: Path) -> None:
    path, source = tmp_path / "registration.prom", busy_source()

    write_metrics(path, source, SYNC, ["fleet"])

    found = samples(path)
    status = source.status
    states = {name: of(found, "objects", source="fleet", state=name) for name in ("registered", "failed", "excluded")}
    assert states == {"registered": status.registered, "failed": status.failed, "excluded": status.excluded}
    assert sum(value for (name, _), value in found.items() if name == "registration_pipeline_objects") == status.objects
    assert of(found, "failures_objects", source="fleet", stage="plan", reason="unsupported_type") == 9
    assert of(found, "last_sync_timestamp_seconds", source="fleet") == NOW.timestamp()
    assert of(found, "last_sync_duration_seconds", source="fleet") == 61.5
    assert of(found, "last_sync_encord_requests", source="fleet") == 17
    assert of(found, "bucket_bytes", source="fleet") == source.inventories[-1].bytes


def test_the_histogram_of_jobs_counts_each_in_every_bound_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "registration.prom"

    write_metrics(path, busy_source(), SYNC, ["fleet"])

    found = samples(path)
    counts = {
        le: of(found, "upload_job_duration_seconds_bucket", source="fleet", le=le) for le in ("1", "5", "15", "86400")
    }
    assert counts == {"1": 1, "5": 2, "15": 3, "86400": 3}
    assert of(found, "upload_job_duration_seconds_bucket", source="fleet", le="+Inf") == 4
    assert of(found, "upload_job_duration_seconds_count", source="fleet") == 4
    assert of(found, "upload_job_duration_seconds_sum", source="fleet") == sum(SYNC.job_seconds)


def test_a_sync_replaces_its_own_series_only_and_drops_those_of_sources_that_are_gone(tmp_path: Path) -> None:
    path, sources = tmp_path / "registration.prom", ["fleet", "other"]
    for name in ("fleet", "other", "gone"):
        write_metrics(path, busy_source(name), SYNC, [*sources, "gone"])
    later = replace(SYNC, ended_at=NOW + timedelta(days=1))
    before = samples(path)

    write_metrics(path, busy_source("fleet"), later, sources)

    found = samples(path)
    assert of(found, "last_sync_timestamp_seconds", source="fleet") == later.ended_at.timestamp()
    assert {key: value for key, value in found.items() if ("source", "other") in key[1]} == {
        key: value for key, value in before.items() if ("source", "other") in key[1]
    }
    assert not [key for key in found if ("source", "gone") in key[1]]
    assert sorted(one.name for one in tmp_path.iterdir()) == [".registration.prom.lock", "registration.prom"]


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "registration.prom"
    path.write_text('registration_pipeline_objects{source="other" 1', encoding="utf-8")

    write_metrics(path, busy_source(), SYNC, ["fleet"])

    assert samples(path)


def test_names_follow_the_rules_of_prometheus() -> None:
    names = [metric.name for metric in METRICS]

    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z][a-z_]*", name) for name in names)
    assert not [name for name in names if name.endswith(("_total", "_count", "_sum", "_bucket"))]
    assert all(name.endswith("_seconds") for name in names if "duration" in name or "timestamp" in name)
