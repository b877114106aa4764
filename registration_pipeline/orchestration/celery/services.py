"""Whether what Celery needs is there: its broker, its result backend, and workers; for the preflight. Changes nothing.

What does not belong here: which applications a source needs (``uses.py``), and what is said of them (``preflight.py``).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from sqlalchemy.pool import NullPool

from registration_pipeline.bounds.calls import within
from registration_pipeline.orchestration.celery.broker import SilentBrokerError, address_of, ask_broker, broker_errors

_BACKEND_SECONDS = 5.0
_WORKER_SECONDS = 2.0
"""All of it is waited for: how many workers there are is not known before."""


@dataclass(frozen=True, slots=True)
class Services:
    """What answers behind an application.

    Args:
        answering: what does, as a clause.
        silent: what does not, as a sentence; None: all answers.
        listening: how many workers listen on a queue.
    """

    answering: str
    silent: str | None
    listening: Mapping[str, int]


def address_of_services(app: Any) -> str:
    """Return where an application's broker and result backend are, without credentials."""
    return f"{_broker_of(app)} {_backend_of(app)}"


def ask_services(app: Any) -> Services:
    """Ask the broker, the result backend and the workers, a few seconds each."""
    broker = _broker_of(app)
    try:
        ask_broker(app)
    except SilentBrokerError as error:
        return Services("", f"the Celery broker {broker} does not answer: {error}", {})
    backend = _backend_of(app)
    try:
        was_asked = within(_BACKEND_SECONDS, lambda: _ask_backend(app))
    except Exception as error:  # noqa: BLE001 - the errors of any database's driver
        return Services("", f"Celery's result backend {backend} does not answer: {_cause(error)}", {})
    also = f"the result backend {backend}"
    said = (
        f"the broker {broker} and {also} answer" if was_asked else f"the broker {broker} answers; {also} was not asked"
    )
    return Services(said, None, _listening(app))


def _broker_of(app: Any) -> str:
    return address_of(app.connection_for_write().as_uri())


def _backend_of(app: Any) -> str:
    return address_of(app.conf.result_backend or "disabled://")


def _ask_backend(app: Any) -> bool:
    """Connect to it; return whether its kind is asked here. Celery's own backend of a database makes tables, and tries on."""
    kind, _, database = str(app.conf.result_backend).partition("+")
    if kind == "db":
        with sqlalchemy.create_engine(database, poolclass=NullPool).connect():
            return True
    return kind.startswith(("redis:", "rediss:")) and bool(app.backend.client.ping())


def _cause(error: Exception) -> str:
    # SQLAlchemy's text has the driver's, a line of its own, and a link.
    return " ".join(str(getattr(error, "orig", None) or error).split()).rstrip(".") or type(error).__name__


def _listening(app: Any) -> Mapping[str, int]:
    try:
        ask = app.control.inspect(timeout=_WORKER_SECONDS).active_queues
        answers: Mapping[str, list[dict[str, Any]]] = within(3 * _WORKER_SECONDS, ask) or {}
    except broker_errors(app):
        return {}
    return Counter(queue["name"] for queues in answers.values() for queue in queues)
