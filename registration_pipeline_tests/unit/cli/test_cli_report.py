"""The ``report`` command, and what the end of every sync leaves behind: a page, metrics, spans and ids of calls."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from registration_pipeline import tracing
from registration_pipeline.orchestration.runs.instance import open_instance
from registration_pipeline.report.files import KEPT, keep_report, latest_report_name
from registration_pipeline.report.gather import gather_report
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import JournalEventKind
from registration_pipeline_tests.unit.cli.conftest import SOURCE, Workplace, open_workplace

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_figures_are_those_of_status_and_failures(synced: Workplace) -> None:
    status = synced.run("status", "--json").document["sources"][SOURCE]
    failures = synced.run("failures", "--json").document

    said = synced.run("report", "--json")

    assert said.status == 0
    shown = said.document["sources"][SOURCE]
    assert shown["status"] == status
    assert shown["failures"]["rows"] == len(failures)
    assert {one["reason"]: one["rows"] for one in shown["failures"]["reasons"]} == {
        reason: sum(row["reason"] == reason for row in failures) for reason in {row["reason"] for row in failures}
    }
    assert sum(one["objects"] for one in shown["failures"]["prefixes"]) == status["failed"] + status["rejected"]
    assert [one["objects"] for one in shown["inventories"]] == [status["objects"]]
    assert shown["jobs"]["jobs"] == len(synced.sandbox.jobs())
    assert sum(day["registered"] for day in shown["days"]) == status["registered"]


def test_the_page_is_written_where_it_is_wanted_and_nothing_else(synced: Workplace) -> None:
    before, out = synced.files(), synced.root / "report.html"

    said = synced.run("report", SOURCE, "--out", str(out))

    assert (said.status, said.out) == (0, "")
    assert "report of 1 source written to" in said.err
    assert "4 objects need attention" in out.read_text(encoding="utf-8")
    assert synced.files() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "report needs --out FILE.html, the page to write, or --json, which prints its figures."),
        (["--out", "report.pdf"], "--out report.pdf: the name must end in .html or .htm."),
        (["--out", "state/report.html"], "is in the state,"),
        (["--out", "nowhere/report.html"], "--out nowhere/report.html can't be written"),
    ],
    ids=["neither", "suffix", "in the state", "no folder"],
)
def test_what_can_not_be_written_is_refused_with_what_to_do(
    synced: Workplace, arguments: list[str], words: str
) -> None:
    said = synced.run("report", *arguments)

    assert said.status == 2
    assert words in said.words


def test_the_state_keeps_the_newest_reports_which_know_inventories_that_were_pruned(synced: Workplace) -> None:
    project = synced.project
    report = gather_report(project, [project.source(SOURCE)])
    names = [
        keep_report(project.store, SOURCE, f"20261127T0000{number:02d}000000Z", report) for number in range(KEPT + 2)
    ]

    kept = [name for name in project.store.names(f"{SOURCE}/reports/") if name.endswith(".html")]
    pruned = json.loads(json.dumps(report.as_json()))["sources"][SOURCE]["inventories"]
    for name in list(project.store.names(f"{SOURCE}/inventory/")):
        if name.endswith("_SUCCESS.json"):
            data = project.store.read(name)
            project.store.delete(name)
            try:
                again = gather_report(project, [project.source(SOURCE)]).as_json()["sources"][SOURCE]["inventories"]
            finally:
                project.store.create(name, data)
    for name in list(project.store.names(f"{SOURCE}/reports/")):
        project.store.delete(name)

    assert kept == names[-KEPT:]
    assert again == pruned


@dataclass
class Receiver:
    """An OTLP receiver over HTTP, and what it got."""

    url: str = ""
    spans: list[Any] = field(default_factory=list)

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


@dataclass
class Night:
    """A sync with refused objects, with traces and metrics."""

    workplace: Workplace
    receiver: Receiver
    status: int


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = ExportTraceServiceRequest.FromString(body)
            found.spans += [span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Night]:
    """Four objects in two chunks, one of them refused."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("tracer", "provider", "run"):
            patch.setattr(tracing._Tracing, name, None)
        patch.setattr(tracing._Tracing, "is_configured", False)
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        made = open_workplace(tmp_path_factory.mktemp("night"), patch)
        text = made.config.read_text(encoding="utf-8")
        made.config.write_text(f"metrics: {made.root / 'registration.prom'}\n{text}", encoding="utf-8")
        made.put(*(f"day/frame_{number}.jpg" for number in range(4)))
        made.refuse("frame_3")
        said = made.run("sync", "--json")
        yield Night(made, receiver, said.status)
        made.sandbox.stop()
        tracing._Tracing.provider.shutdown()


def events(night: Night) -> list[Any]:
    journal = Journal(night.workplace.project.store, SOURCE)
    return [event for chunk_id in journal.chunk_ids() for event in journal.events(chunk_id)]


def ids_of(span: Any) -> str:
    return f"{span.trace_id.hex()}/{int.from_bytes(span.span_id, 'big')}"


@pytest.mark.slow
def test_every_call_stage_chunk_and_job_has_a_span_below_that_of_the_run(night: Night) -> None:
    (run,) = night.receiver.named("run")
    spans = {span.span_id: span for span in night.receiver.spans}

    def path(span: Any) -> list[str]:
        return [*(path(spans[span.parent_span_id]) if span.parent_span_id else []), span.name]

    assert night.status == 3
    assert {span.trace_id for span in spans.values()} == {run.trace_id}
    assert [path(span) for span in night.receiver.named("chunk")] == [["run", "stage", "chunk"]] * 2
    assert [path(span) for span in night.receiver.named("upload job")] == [["run", "stage", "chunk", "upload job"]] * 2
    stages = [attribute.value.string_value for span in night.receiver.named("stage") for attribute in span.attributes]
    assert stages == ["inventory", "plan", "registration", "failure log"]
    calls = {tuple(path(span)[:-1]) for span in night.receiver.named("encord call")}
    assert {("run", "stage", "chunk"), ("run", "stage", "chunk", "upload job"), ("run",)} <= calls


@pytest.mark.slow
def test_the_journal_and_the_failure_log_name_the_calls_that_the_spans_are_of(night: Night) -> None:
    calls = {ids_of(span) for span in night.receiver.named("encord call")}
    found = events(night)
    failures = night.workplace.run("failures", "--json").document
    verdicts = [event for event in found if event.kind is JournalEventKind.VERDICT]

    assert {event.trace_id for event in found if event.kind is not JournalEventKind.INTENT} <= calls
    assert {event.trace_id for event in found if event.kind is JournalEventKind.INTENT} == {None}
    assert len({event.trace_id for event in found if event.kind is JournalEventKind.JOB}) == 2
    assert [row["trace_id"] for row in failures] == [event.trace_id for event in verdicts if event.failed]


@pytest.mark.slow
def test_a_sync_writes_its_metrics_and_its_page(night: Night) -> None:
    text = (night.workplace.root / "registration.prom").read_text(encoding="utf-8")
    samples = {
        (one.name, one.labels.get("state")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }
    store = night.workplace.project.store
    name = latest_report_name(store, SOURCE)

    assert samples["registration_pipeline_objects", "registered"] == 3
    assert samples["registration_pipeline_objects", "failed"] == 1
    assert samples["registration_pipeline_upload_job_duration_seconds_count", None] == 2
    assert samples["registration_pipeline_last_sync_encord_requests", None] == len(night.receiver.named("encord call"))
    assert name is not None
    assert b"1 object needs attention" in store.read(name)
    assert night.workplace.run("state", SOURCE, "--verify").status == 0


@pytest.mark.slow
def test_the_asset_of_the_failure_log_links_to_the_page(night: Night) -> None:
    project = night.workplace.project
    with open_instance(project.settings, project.environ) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey([SOURCE, "failure_log"]))

    assert event is not None
    assert event.asset_materialization is not None
    linked = event.asset_materialization.metadata["report"].value
    name = latest_report_name(project.store, SOURCE)
    assert name is not None
    assert linked == project.store.location(name)
    assert Path(linked).is_file()


@pytest.mark.slow
def test_a_metrics_file_that_can_not_be_written_is_a_warning(night: Night) -> None:
    workplace = night.workplace
    text = workplace.config.read_text(encoding="utf-8")
    workplace.config.write_text(text.replace("registration.prom", "nowhere/registration.prom"), encoding="utf-8")

    said = workplace.run("submit", SOURCE)

    workplace.config.write_text(text, encoding="utf-8")
    assert said.status == 3
    assert "nowhere/registration.prom can't be written: No such file or directory." in said.words
