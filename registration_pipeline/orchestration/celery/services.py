"""Whether what Celery needs is there: its broker, its result backend, and workers; for the preflight. Changes nothing.

What does not belong here: which applications a source needs (``uses.py``), and what is said of them (``preflight.py``).
"""

from collections.abc import Collection, Mapping
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
class Worker:
    """A worker that answers.

    Args:
        queues: those on which it listens.
        places: how many tasks it works on at the same moment; None: it has not said so in time.
    """

    queues: frozenset[str]
    places: int | None


@dataclass(frozen=True, slots=True)
class Services:
    """What answers behind an application.

    Args:
        answering: what does, as a clause.
        silent: what does not, as a sentence; None: all answers.
        workers: those that do.
    """

    answering: str
    silent: str | None
    workers: Collection[Worker] = ()

    def listening(self, queue: str) -> int:
        """Return how many workers listen on a queue."""
        return sum(queue in worker.queues for worker in self.workers)

    def places(self, queues: Collection[str]) -> int | None:
        """Return how many tasks of some queues workers take at the same moment; None: one of them has not said so."""
        places = [worker.places for worker in self.workers if not worker.queues.isdisjoint(queues)]
        known = [number for number in places if number is not None]
        return sum(known) if len(known) == len(places) else None


def address_of_services(app: Any) -> str:
    """Return where an application's broker and result backend are, without credentials."""
    return f"{_broker_of(app)} {_backend_of(app)}"


def ask_services(app: Any) -> Services:
    """Ask the broker, the result backend and the workers, a few seconds each."""
    broker = _broker_of(app)
    try:
        ask_broker(app)
    except SilentBrokerError as error:
        return Services("", f"the Celery broker {broker} does not answer: {error}")
    backend = _backend_of(app)
    try:
        was_asked = within(_BACKEND_SECONDS, lambda: _ask_backend(app))
    except Exception as error:  # noqa: BLE001 - the errors of any database's driver
        return Services("", f"Celery's result backend {backend} does not answer: {_cause(error)}")
    also = f"the result backend {backend}"
    said = (
        f"the broker {broker} and {also} answer" if was_asked else f"the broker {broker} answers; {also} was not asked"
    )
    return Services(said, None, _workers(app))


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


def _workers(app: Any) -> list[Worker]:
    def ask() -> tuple[Mapping[str, list[dict[str, Any]]], Mapping[str, dict[str, Any]]]:
        asked = app.control.inspect(timeout=_WORKER_SECONDS)
        return asked.active_queues() or {}, asked.stats() or {}

    try:
        queues, stats = within(3 * _WORKER_SECONDS, ask)
    except broker_errors(app):
        return []
    return [
        Worker(frozenset(queue["name"] for queue in listened), _places(stats.get(name, {})))
        for name, listened in queues.items()
    ]


def _places(stats: Mapping[str, Any]) -> int | None:
    most = (stats.get("pool") or {}).get("max-concurrency")
    return most if isinstance(most, int) else None
