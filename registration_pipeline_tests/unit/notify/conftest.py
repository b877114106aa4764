"""A source whose nights are told by hand: its failures, its runs, and a real webhook that takes what is said of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import MemoryStore

from registration_pipeline.notify import Incident, IncidentKind, deliver
from registration_pipeline.notify.sending import Patience
from registration_pipeline.settings import Settings
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.tracking.failures.files import STAGE_PLAN, STAGE_REGISTRATION, FailureRow
from registration_pipeline_tests.message_servers import MessageServer, message_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

SOURCE = "fleet-cameras"
FIRST_NIGHT = datetime(2026, 11, 20, 2, 14, tzinfo=UTC)
QUICK = Patience(attempts=3, seconds=2.0, sleep=lambda _: None)


def failed(key: str, *, reason: str = "unreadable", message: str = "403 access denied") -> FailureRow:
    """Return a unit of one object that Encord refused."""
    return row(
        key, stage=STAGE_REGISTRATION, reason=reason, message=message, unit_id=f"u-{key}", chunk_id="c", attempt=1
    )


def rejected(key: str, *, reason: str = "empty") -> FailureRow:
    """Return an object that was rejected before submission."""
    return row(key, stage=STAGE_PLAN, reason=reason, message="0 bytes", unit_id=None, chunk_id=None, attempt=0)


def row(key: str, **fields: Any) -> FailureRow:
    """Return a row of the failure log."""
    values: dict[str, Any] = {"source": SOURCE, "object_url": f"s3://b/{key}", "objects": 1, "subtask_uuid": None}
    return FailureRow(key=key, at=FIRST_NIGHT, **{**values, **fields})


@dataclass
class Story:
    """Nights of one source.

    Args:
        targets: of ``notify``.
        store: the state.
        now: moved on by hand.
        warnings: what could not be sent.
    """

    targets: Sequence[Mapping[str, Any]]
    accepted: Sequence[str] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    store: BucketStateStore = field(default_factory=lambda: BucketStateStore(MemoryStore(), "memory://state"))
    now: datetime = FIRST_NIGHT
    warnings: list[str] = field(default_factory=list)
    runs: int = 0

    @property
    def settings(self) -> Settings:
        """The configuration."""
        from pathlib import Path

        source = {"name": SOURCE, "uri": "s3://bucket/raw/", "accept_rejected": list(self.accepted)}
        return Settings.model_validate(
            {
                "state": "/state",
                "sources": {SOURCE: source},
                "notify": list(self.targets),
                "path": Path("/registration.yaml"),
            }
        )

    def happens(self, kind: IncidentKind, *, minutes: int = 60, **fields: Any) -> bool:
        """Let something happen some minutes later; a run has an id of its own unless one is given."""
        self.runs += 1
        self.now += timedelta(minutes=minutes)
        incident = Incident(**{"source": SOURCE, "kind": kind, "at": self.now, "run_id": f"run-{self.runs}", **fields})
        settings = self.settings
        return deliver(
            self.store,
            settings,
            settings.sources[SOURCE],
            incident,
            environ=self.environ,
            warn=self.warnings.append,
            clock=lambda: self.now,
            patience=QUICK,
        )

    def night(self, *rows: FailureRow, **fields: Any) -> bool:
        """Let a run come to its end, with these failures."""
        counts = {"objects": 1_000, "registered": 1_000 - len(rows), "failed": len(rows)}
        given: dict[str, Any] = {
            "counts": lambda: counts,
            "failures": lambda: iter(rows),
            "failure_log": lambda _: "/state/failure_log/1.csv",
            **fields,
        }
        return self.happens(IncidentKind.ENDED, **given)


@pytest.fixture(scope="module")
def running_webhook() -> Iterator[MessageServer]:
    with message_server() as server:
        yield server


@pytest.fixture
def webhook(running_webhook: MessageServer) -> MessageServer:
    """A webhook that has received nothing yet."""
    running_webhook.forget()
    return running_webhook


@pytest.fixture
def story(webhook: MessageServer) -> Story:
    """A source with one webhook."""
    return Story([{"webhook": f"{webhook.url}/secret-path?token=abc"}])


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder for certificates."""
    return tmp_path
