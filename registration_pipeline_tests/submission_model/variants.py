"""The product as it is, and the product with one of its precautions taken away.

What belongs here: a wrapper of the state or of Encord, or a number. The product itself is never touched.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from registration_pipeline.errors import AmbiguousError, PermanentError, StateConflictError
from registration_pipeline.submission.gateway import JobItem, JobReport, JobStatus
from registration_pipeline_tests.submission_model.hostile_encord import urls_of

if TYPE_CHECKING:
    from collections.abc import Callable


_GIVEN_UP = 3


def _as_it_is(thing: Any) -> Any:
    return thing


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a process is built with.

    Args:
        settle_seconds: how long it settles.
        is_leased: whether it takes the lease.
        most_processes: so many at once.
        store: wraps its state.
        gateway: wraps its Encord.
        checks_intents: whether the order of acts is checked, as against what comes of it.
    """

    settle_seconds: float = 120.0
    is_leased: bool = True
    most_processes: int = 2
    store: Callable[[Any], Any] = _as_it_is
    gateway: Callable[[Any], Any] = _as_it_is
    checks_intents: bool = True


class _Around:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class _LateIntents(_Around):
    """Writes an intent not before the job was started, but together with what comes next."""

    held: tuple[str, bytes] | None = None

    def create(self, name: str, data: bytes) -> None:
        if name.endswith("-intent.json"):
            self.held = (name, data)
            return
        if self.held and self.held[0].split("/")[:3] == name.split("/")[:3]:
            with suppress(StateConflictError):
                self.inner.create(*self.held)
            self.held = None
        self.inner.create(name, data)


class _NoJobIds(_Around):
    """Remembers a job's id only as long as the process lives."""

    def create(self, name: str, data: bytes) -> None:
        if not name.endswith("-job.json"):
            self.inner.create(name, data)


class _Trusting(_Around):
    """Takes every job that has ended for one that has registered everything."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.sent: dict[str, dict[str, tuple[str, ...]]] = {}

    def start_job(self, *, manifest: Path, **arguments: Any) -> Any:
        job_id = self.inner.start_job(manifest=manifest, **arguments)
        units = [
            unit for value in json.loads(manifest.read_bytes()).values() if isinstance(value, list) for unit in value
        ]
        self.sent[job_id] = {unit["title"]: urls_of(unit) for unit in units}
        return job_id

    def poll_job(self, *, job_id: str, **arguments: Any) -> JobReport:
        report: JobReport = self.inner.poll_job(job_id=job_id, **arguments)
        return report if report.status is JobStatus.PENDING else self._believed(report, self.sent.get(job_id, {}))

    def _believed(self, report: JobReport, sent: dict[str, tuple[str, ...]]) -> JobReport:
        named = tuple(JobItem(str(uuid5(NAMESPACE_URL, title)), title) for title in sent)
        return replace(
            report,
            status=JobStatus.DONE,
            items=(*named, *report.items),
            unit_errors=(),
            errors=(),
            units_error=0,
            units_cancelled=0,
        )


class _Credulous(_Trusting):
    """Takes for registered what a job that is DONE does not name as an error."""

    def _believed(self, report: JobReport, sent: dict[str, tuple[str, ...]]) -> JobReport:
        failed = {url for error in report.unit_errors for url in error.object_urls}
        if report.status is not JobStatus.DONE or report.units_error > len(report.unit_errors):
            return report
        silent = [title for title, urls in sent.items() if failed.isdisjoint(urls)]
        named = tuple(JobItem(str(uuid5(NAMESPACE_URL, title)), title) for title in silent)
        return replace(report, items=(*named, *report.items))


class _Doubling(_Around):
    """Does not ask Encord to skip what is there."""

    def start_job(self, *, manifest: Path, **arguments: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / manifest.name
            copy.write_text(json.dumps(json.loads(manifest.read_bytes()) | {"skip_duplicate_urls": False}))
            return self.inner.start_job(manifest=copy, **arguments)


class _Believing(_Around):
    """Takes every refusal of a start for Encord's own."""

    def start_job(self, **arguments: Any) -> Any:
        try:
            return self.inner.start_job(**arguments)
        except AmbiguousError as error:
            raise error.refusal or error from error


class _Forgetting(_Around):
    """Never asks again for a job that was unknown three times."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.unknown: Counter[str] = Counter()

    def poll_job(self, *, job_id: str, **arguments: Any) -> JobReport:
        if self.unknown[job_id] >= _GIVEN_UP:
            raise PermanentError("404: no such job")
        try:
            report: JobReport = self.inner.poll_job(job_id=job_id, **arguments)
        except PermanentError:
            self.unknown[job_id] += 1
            raise
        self.unknown[job_id] = 0
        return report


class _EarlyCheck(_Around):
    """Asks for the right to send and then waits for something else before it sends."""

    def start_job(self, *, may_send: Callable[[], None], **arguments: Any) -> Any:
        may_send()
        self.inner.process.pause("connection")
        return self.inner.start_job(may_send=lambda: None, **arguments)


GOOD = Variant()
ALONE_WITHOUT_LEASE = Variant(is_leased=False, most_processes=1)
UNSETTLED = Variant(settle_seconds=0)
LATE_INTENTS = Variant(store=_LateIntents, checks_intents=False)
NO_JOB_IDS = Variant(store=_NoJobIds)
TRUSTING = Variant(gateway=_Trusting)
CREDULOUS = Variant(gateway=_Credulous)
DOUBLING = Variant(gateway=_Doubling, checks_intents=False)
BELIEVING = Variant(gateway=_Believing)
FORGETTING = Variant(gateway=_Forgetting)
EARLY_CHECK = Variant(gateway=_EarlyCheck)
WITHOUT_LEASE = Variant(is_leased=False)
WITHOUT_LEASE_OR_ORDER = Variant(is_leased=False, checks_intents=False)
