"""Ids of calls to Encord, and spans for OpenTelemetry where it is installed and the OTEL_* variables say where they go.

Without them a span costs one comparison, and nothing of OpenTelemetry is imported. A call's id is sent to Encord and
recorded either way: it is what Encord's support finds the call by. What does not belong here: who calls, and what is recorded.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TypeVar

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP: Final = "http/protobuf"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SERVICE: Final = "registration-pipeline"
_NOTHING: Final = nullcontext()
_FIRST_SPAN: Final = "/1"
"""What the SDK's own ids end with; it says nothing, so it is not kept."""


@dataclass(slots=True)
class CallIds:
    """Takes the ids of calls.

    Args:
        newest: of the last call: 32 hexadecimal digits, and with OpenTelemetry ``/`` and its span's id as a decimal number.
            None: there was no call.
        outer: takes them, too.
    """

    newest: str | None = None
    outer: CallIds | None = None


_WATCHED: ContextVar[CallIds | None] = ContextVar("watched_calls", default=None)


@contextmanager
def watched_calls() -> Iterator[CallIds]:
    """Give what takes the ids of the calls to Encord that this thread makes inside the block."""
    ids = CallIds(outer=_WATCHED.get())
    token = _WATCHED.set(ids)
    try:
        yield ids
    finally:
        _WATCHED.reset(token)


def new_call_header() -> str:
    """Return the value of ``X-Cloud-Trace-Context`` for one more call: that of the present span, else a random one."""
    ids = _present_ids() or (secrets.token_hex(16), 1)
    header = f"{ids[0]}/{ids[1]}"
    with _Run.lock:
        _Run.calls += 1
    watched = _WATCHED.get()
    while watched is not None:
        watched.newest, watched = shown_id(header), watched.outer
    return f"{header};o=1"


def shown_id(header: str) -> str:
    """Return a call's id as it is recorded and shown, given the header or its beginning."""
    return header.partition(";")[0].removesuffix(_FIRST_SPAN)


class _Tracing:
    """What of OpenTelemetry is in use in this process.

    Args:
        tracer: makes spans; None: there are none.
        run: the span of the run under way, for threads that were not started inside it.
    """

    tracer: Any = None
    provider: Any = None
    run: Any = None
    is_configured = False


class RunFigures(NamedTuple):
    """What the run under way in this process is like so far.

    Args:
        seconds: since it began; None: no run was begun.
        calls: to Encord, repeated ones included.
    """

    seconds: float | None
    calls: int


class _Run:
    """When the run under way began, and its calls so far."""

    began: float | None = None
    calls = 0
    lock: Final = threading.Lock()


def run_figures() -> RunFigures:
    """Return how long the run under way takes so far, and its calls."""
    return RunFigures(None if _Run.began is None else time.monotonic() - _Run.began, _Run.calls)


def configure(environ: Mapping[str, str]) -> bool:
    """Export spans from now on, if OpenTelemetry is installed and the variables name a receiver; return whether they are.

    The first call of a process decides. A provider that the process has already is used as it is.

    Args:
        environ: ``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` switch it on,
            ``OTEL_SDK_DISABLED=true``, ``OTEL_TRACES_EXPORTER=none`` and another protocol than ``http/protobuf`` off; the SDK
            reads the others itself.
    """
    if not _Tracing.is_configured:
        _Tracing.is_configured = True
        if _is_wanted(environ):
            _Tracing.tracer = _tracer(environ)
    return _Tracing.tracer is not None


def _is_wanted(environ: Mapping[str, str]) -> bool:
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _HTTP)
    return not is_off and protocol == _HTTP and any(environ.get(name) for name in _ENDPOINTS)


def _tracer(environ: Mapping[str, str]) -> Any:
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return None
    provider: Any = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider(
            resource=Resource.create({} if environ.get("OTEL_SERVICE_NAME") else {"service.name": _SERVICE})
        )
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        _Tracing.provider = provider  # ours, so the process waits for what is left when it ends
    return provider.get_tracer(_SERVICE)


def span(name: str, *, is_call: bool = False, **attributes: str | float | None) -> AbstractContextManager[Any]:
    """Return a block whose time is a span below the present one; what is raised in it makes the span an error.

    Args:
        name: the same for all of a kind: ids belong in the attributes.
        is_call: it is a request to another service.
        attributes: of the span, with ``registration.`` before their names; None ones are left out.
    """
    return _NOTHING if _Tracing.tracer is None else _span(name, is_call=is_call, attributes=attributes)


def traced(name: str, **attributes: str) -> Callable[[Callable[_Given, _Result]], Callable[_Given, _Result]]:
    """Give every call of a function a span."""

    def decorate(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
        @wraps(function)
        def called(*arguments: _Given.args, **named: _Given.kwargs) -> _Result:
            with span(name, is_call=False, **attributes):
                return function(*arguments, **named)

        return called

    return decorate


@contextmanager
def _span(name: str, *, is_call: bool, attributes: Mapping[str, str | float | None]) -> Iterator[Any]:
    from opentelemetry import trace

    present = trace.get_current_span().get_span_context().is_valid
    parent = None if present or _Tracing.run is None else trace.set_span_in_context(_Tracing.run)
    with _Tracing.tracer.start_as_current_span(
        name,
        context=parent,
        kind=trace.SpanKind.CLIENT if is_call else trace.SpanKind.INTERNAL,
        attributes=_named(attributes),
        record_exception=False,  # the traceback may quote what others wrote
        set_status_on_exception=False,
    ) as opened:
        try:
            yield opened
        except Exception as error:
            mark_error(opened, error)
            raise


def mark_error(opened: Any, error: BaseException) -> None:
    """Let a span say what went wrong. The text is masked where it enters, as everywhere."""
    from opentelemetry.trace import StatusCode

    from registration_pipeline.foreign_text import masked

    opened.set_status(StatusCode.ERROR, f"{type(error).__name__}: {masked(str(error))}")


def note(**attributes: str | float | None) -> None:
    """Add attributes to the present span, once they are known."""
    if _Tracing.tracer is not None:
        from opentelemetry import trace

        trace.get_current_span().set_attributes(_named(attributes))


def begin_run(environ: Mapping[str, str], **attributes: str | None) -> None:
    """Begin a run of this process, with a span under which all others are; ``end_run`` ends it."""
    _Run.began, _Run.calls = time.monotonic(), 0
    if configure(environ):
        _Tracing.run = _Tracing.tracer.start_span("run", attributes=_named(attributes))


def fail_run(error: BaseException) -> None:
    """Let the span of the run say what ended it."""
    if _Tracing.run is not None:
        mark_error(_Tracing.run, error)


def end_run() -> None:
    """End the span of the run, and send what was not sent yet, for a few seconds at most."""
    run, _Tracing.run, _Run.began = _Tracing.run, None, None
    if run is not None:
        run.end()
        if _Tracing.provider is not None:
            _Tracing.provider.force_flush(_FLUSH_MILLISECONDS)


_FLUSH_MILLISECONDS: Final = 5_000


def _present_ids() -> tuple[str, int] | None:
    if _Tracing.tracer is None:
        return None
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return (f"{context.trace_id:032x}", context.span_id) if context.is_valid else None


def _named(attributes: Mapping[str, str | float | None]) -> dict[str, str | float]:
    return {f"registration.{name}": value for name, value in attributes.items() if value is not None}
