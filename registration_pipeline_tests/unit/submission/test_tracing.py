"""Ids of calls and spans: who gets an id, what a halt says of it, and what is not done while nothing is configured."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import nullcontext
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from encord.exceptions import AuthenticationError, AuthorisationError, ResourceNotFoundError
from encord.http.common import RequestContext

from registration_pipeline import tracing
from registration_pipeline.errors import HaltError, ServiceUnavailableError, TransientError
from registration_pipeline.objects import FailureReason
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.encord.errors import translate
from registration_pipeline.submission.encord.gateway import EncordGateway
from registration_pipeline.tracing import new_call_header, span, watched_calls
from registration_pipeline.tracking.outcomes import ChunkOutcomes, Outcome, Verdict, failed_units
from registration_pipeline_tests.unit.report.figures import NOW

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


def test_every_block_gets_the_newest_id_of_the_calls_inside_it() -> None:
    with watched_calls() as outer:
        first = new_call_header()
        with watched_calls() as inner:
            second = new_call_header()
        seen = outer.newest
    new_call_header()

    assert re.fullmatch(r"[0-9a-f]{32}/1;o=1", first)
    assert first != second
    assert inner.newest == seen == outer.newest == second[:32]


@pytest.mark.parametrize("kind", [AuthenticationError, AuthorisationError, ResourceNotFoundError])
def test_a_halt_ends_with_the_id_of_its_call(kind: Any) -> None:
    error = kind("no", context=RequestContext(trace_id="ab" * 16, span_id="1"))

    meant = translate(error, "folder x", domain="https://encord.test", is_start=True)

    assert isinstance(meant, HaltError)
    assert str(meant).endswith(f" Encord's trace id of this call is {'ab' * 16}: their support finds it by that.")


def test_an_outage_names_the_last_call() -> None:
    headers: list[str] = []

    def call() -> None:
        headers.append(new_call_header())
        raise TransientError("no answer")

    with pytest.raises(ServiceUnavailableError) as caught:
        RetryPolicy(attempts=3, sleep=lambda _: None).call("asking", call)

    assert len(headers) == 3
    assert str(caught.value).endswith(f"Encord's trace id of the last call is {headers[-1][:32]}.")


@pytest.mark.parametrize(
    "domain",
    [
        pytest.param("http://127.0.0.1:9", id="connection refused"),
        pytest.param("http://encord.invalid", id="name not resolved"),
    ],
)
def test_an_outage_that_no_call_got_through_names_no_call(domain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    gateway = EncordGateway(ssh_private_key=key, domain=domain)

    with pytest.raises(ServiceUnavailableError) as caught:
        RetryPolicy(attempts=2, sleep=lambda _: None).call("asking", lambda: gateway.resolve_integration("x"))

    assert f"{domain} can't be reached" in str(caught.value)
    assert "trace id" not in str(caught.value)


def test_only_failed_objects_without_an_id_get_one() -> None:
    def outcome(key: str, verdict: Verdict, trace_id: str | None = None) -> Outcome:
        reason = FailureReason.OTHER if verdict is Verdict.FAILED else None
        return Outcome(key, f"https://b/{key}", key, verdict, 1, NOW, reason=reason, trace_id=trace_id)

    outcomes = ChunkOutcomes.of(
        [outcome("a", Verdict.REGISTERED), outcome("b", Verdict.FAILED), outcome("c", Verdict.FAILED, "older")]
    )

    traced = outcomes.traced("new")

    assert [one.trace_id for one in traced] == [None, "new", "older"]
    assert [unit.said.trace_id for unit in failed_units(traced)] == ["new", "older"]
    assert outcomes.traced(None) is outcomes


@pytest.mark.parametrize(
    ("environ", "is_wanted"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, True),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
    ids=["nothing", "endpoint", "endpoint of traces", "disabled", "no exporter", "another protocol", "protocol"],
)
def test_the_environment_switches_spans_on(environ: dict[str, str], is_wanted: bool) -> None:  # noqa: FBT001
    assert tracing._is_wanted(environ) is is_wanted


def test_without_configuration_a_span_is_nothing_and_nothing_is_imported() -> None:
    program = (
        "import sys\n"
        "from registration_pipeline import tracing\n"
        "tracing.begin_run({}, source='x')\n"
        "with tracing.span('chunk'):\n"
        "    tracing.note(units=1)\n"
        "tracing.end_run()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
    assert tracing._Tracing.tracer is not None or isinstance(span("chunk"), nullcontext)
