"""An Encord in memory that makes the worst of every freedom that the contract leaves it, and of every promise that it makes.

What belongs here: what Encord may do. That a promise was broken is noticed in ``world.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from registration_pipeline.errors import (
    CredentialsError,
    PayloadTooLargeError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from registration_pipeline.manifest.format import (
    CHUNK_METADATA_KEY,
    GROUP_URL_PREFIX,
    OBJECT_URL,
    OBJECTS_METADATA_KEY,
    UNIT_METADATA_KEY,
)
from registration_pipeline.submission.gateway import (
    ItemPage,
    JobItem,
    JobReport,
    JobStatus,
    RemoteItem,
    UnitError,
    unguarded,
)
from registration_pipeline.submission.testing import ScriptedGateway, StartScript, as_external_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of one upload job. Between two signs of life there is always less time than anybody settles.

    Args:
        first: seconds until its first unit.
        gap: seconds between two units.
        last: seconds from its last unit to its end.
        slow: seconds that it takes longer when somebody knows its id: who polls it needs no quiet.
        status: how it ends.
        units: after this many units it ends; None: after all.
        takes_back: at its end everything that it registered leaves the folder, though the report names it.
        hides_errors: counts failed units and lists none of them.
        tells: how its report leaves out what became of its units (``TELLS``); empty: it does not.
        goes_on: it calls itself DONE after ``units`` of them, and works on.
        is_stuck: does nothing until it is cancelled.
        ignores_cancel: a cancellation is answered and has no effect.
        is_forgotten: no one knows its id.
        hidden: seconds from the first poll in which its id is unknown, although it lives; less than anybody settles.
    """

    first: float = 0
    gap: float = 0
    last: float = 0
    slow: float = 0
    status: JobStatus = JobStatus.DONE
    units: int | None = None
    takes_back: bool = False
    hides_errors: bool = False
    tells: str = ""
    goes_on: bool = False
    is_stuck: bool = False
    ignores_cancel: bool = False
    is_forgotten: bool = False
    hidden: float = 0

    @property
    def name(self) -> str:
        """Return one word for statistics."""
        for name in ("is_stuck", "is_forgotten", "takes_back", "hides_errors", "goes_on", "hidden"):
            if getattr(self, name):
                return name
        if self.tells:
            return f"tells {self.tells}"
        if self.status is not JobStatus.DONE:
            return f"ends {self.status}"
        return "slow" if self.slow else "gradual" if self.gap else "late" if self.first else "at once"


TELLS = ("no urls", "first error twice", "text only", "nothing of errors", "no items", "all pending")
"""What a report that does not name every unit may look like. All of them are DONE."""


@dataclass(slots=True)
class Job:
    """An upload job that is under way."""

    folder_uuid: str
    units: list[dict[str, Any]]
    present: frozenset[tuple[str, ...]] | None
    fate: Fate
    next_at: datetime
    position: int = 0
    is_polled: bool = False
    hidden_until: datetime | None = None
    skipped: int = 0
    registered: list[RemoteItem] = field(default_factory=list)
    errors: list[UnitError] = field(default_factory=list)

    @property
    def limit(self) -> int:
        """Return how many units it will have worked on at its end."""
        is_whole = self.fate.units is None or self.fate.goes_on
        return len(self.units) if is_whole else min(self.fate.units or 0, len(self.units))


@dataclass(slots=True)
class HostileEncord(ScriptedGateway):
    """``RegistrationGateway`` whose jobs work unit by unit, and end as a ``Fate`` says.

    Args:
        fates: of the next jobs, in order; then ``usual``.
        sees_duplicates_late: looks for duplicates at each unit, as against when the job is started.
        troubles: error text and how often it will still be said, by object URL.
        refused: URLs for which a whole manifest is refused.
        most_units: more units in a manifest are too large.
        names_all: the error of a unit of several objects names all of them, as against the one that failed.
        gone: tells whether the object behind a URL is no longer in the bucket.
        read_faults: raised by the next polls, counts and listings.
        seen: what happened, for statistics.
    """

    fates: list[Fate] = field(default_factory=list)
    usual: Fate = field(default_factory=Fate)
    sees_duplicates_late: bool = False
    troubles: dict[str, tuple[str, float]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    most_units: int = 1_000
    names_all: bool = False
    gone: Callable[[str], bool] = lambda _: False
    read_faults: list[Exception] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    sent: dict[str, bytes] = field(default_factory=dict)
    open: dict[str, Job] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    holds_polls: bool = True

    def start_job(
        self,
        *,
        folder_uuid: str,
        integration_uuid: str | None,
        manifest: Path,
        data_items: dict[str, Any] | None = None,
        may_send: Callable[[], None] = unguarded,
    ) -> str:
        """See ``RegistrationGateway``."""
        del integration_uuid
        may_send()
        script = self.starts.pop(0) if self.starts else StartScript.ACCEPT
        self.seen.add(f"start: {script}")
        error = script.error()
        if error is not None and not script.has_effect:
            raise error
        job_id = self._take(folder_uuid, manifest.read_bytes(), data_items)
        if error is not None:
            raise error
        return job_id

    def _take(self, folder_uuid: str, data: bytes, data_items: dict[str, Any] | None) -> str:
        self._work()
        manifest = json.loads(data) if data_items is None else as_external_files(data_items)
        units = [unit for value in manifest.values() if isinstance(value, list) for unit in value]
        if self.refused & {url for unit in units for url in urls_of(unit)}:
            self.seen.add("start: a bad entry")
            raise PermanentError("400: an entry is not valid")
        if len(units) > self.most_units:
            self.seen.add("start: too many units")
            raise PayloadTooLargeError("413: too large")
        chunk_id = units[0]["clientMetadata"][CHUNK_METADATA_KEY]
        assert self.sent.setdefault(chunk_id, data) == data, f"chunk {chunk_id} was sent with other bytes"
        fate = self.fates.pop(0) if self.fates else self.usual
        self.seen.add(f"job: {fate.name}")
        job_id = str(uuid5(NAMESPACE_URL, f"job/{next(self._numbers)}"))
        present = None if self.sees_duplicates_late else self._present(folder_uuid)
        self.open[job_id] = Job(
            folder_uuid,
            units,
            present if manifest.get("skip_duplicate_urls") else frozenset(),
            fate,
            next_at=self.clock() + timedelta(seconds=fate.first),
        )
        self.jobs[job_id] = JobReport(status=JobStatus.PENDING, units_pending=len(units))
        if fate.is_forgotten:
            self.forgotten.add(job_id)
        self._work()
        return job_id

    def poll_job(self, *, folder_uuid: str, job_id: str, wait_seconds: int) -> JobReport:
        """See ``RegistrationGateway``."""
        del folder_uuid, wait_seconds
        self._work()
        self._may_fail()
        if job_id in self.forgotten or job_id not in self.jobs:
            raise PermanentError("404: no such job")
        job = self.open.get(job_id)
        if job is not None and not job.is_polled:
            job.is_polled = True
            job.next_at += timedelta(seconds=job.fate.slow)
            job.hidden_until = self.clock() + timedelta(seconds=job.fate.hidden)
        if job is not None and job.hidden_until and self.clock() < job.hidden_until:
            self.seen.add("job: unknown although it lives")
            raise PermanentError("404: no such job")
        return self.jobs[job_id]

    def cancel_job(self, *, folder_uuid: str, job_id: str) -> int:
        """See ``RegistrationGateway``."""
        del folder_uuid
        self._work()
        if job_id in self.forgotten or job_id not in self.jobs:
            raise PermanentError("404: no such job")
        job = self.open.get(job_id)
        if job is None:
            return 0
        self.seen.add("job: cancelled")
        if not job.fate.ignores_cancel:
            self._end(job_id, JobStatus.CANCELLED)
        return len(job.units) - job.position

    def count_items(self, folder_uuid: str) -> int:
        """See ``RegistrationGateway``."""
        self._may_fail()
        self._work()
        return len(self.items.get(folder_uuid, ()))

    def items_page(
        self, folder_uuid: str, page_token: str | None, *, newest_first: bool = False, search: str | None = None
    ) -> ItemPage:
        """See ``RegistrationGateway``."""
        self._may_fail()
        self._work()
        start = int(page_token or 0)
        items = [item for item in self.items.get(folder_uuid, []) if not search or search in item.name]
        items = items[:: -1 if newest_first else 1]
        return ItemPage(tuple(items[start : start + 1000]), str(start + 1000) if start + 1000 < len(items) else None)

    def child_items(self, folder_uuid: str, item_uuid: str) -> tuple[RemoteItem, ...] | None:
        """See ``RegistrationGateway``."""
        self._may_fail()
        return ScriptedGateway.child_items(self, folder_uuid, item_uuid)

    def contents(self) -> dict[str, tuple[str, ...]]:
        """Return item -> the URLs that it consists of in their order, over all folders."""
        items = [item for held in self.items.values() for item in held]
        return {item.item_uuid: self._urls_in(item) for item in items}

    def heal(self) -> None:
        """Take no more liberties; only what is wrong with objects and entries stays wrong."""
        self.starts, self.fates, self.usual, self.read_faults, self.most_units = [], [], Fate(), [], 1_000
        self.troubles = {url: trouble for url, trouble in self.troubles.items() if trouble[1] == float("inf")}
        for job_id, job in list(self.open.items()):
            if job.fate.is_stuck:
                self._end(job_id, JobStatus.CANCELLED)

    def _may_fail(self) -> None:
        if self.read_faults:
            error = self.read_faults.pop(0)
            self.seen.add(f"read: {error}")
            raise error

    def _urls_in(self, item: RemoteItem) -> tuple[str, ...]:
        return self._urls_of_groups.get(item.item_uuid, (item.url or "",))

    def _present(self, folder_uuid: str) -> frozenset[tuple[str, ...]]:
        return frozenset(map(self._urls_in, self.items.get(folder_uuid, ())))

    def _work(self) -> None:
        """Do what the jobs have done up to now, in the order of time."""
        while True:
            due = [(job.next_at, job_id) for job_id, job in self.open.items() if not job.fate.is_stuck]
            if not due or min(due)[0] > self.clock():
                return
            job_id = min(due)[1]
            job = self.open[job_id]
            if job.position < job.limit:
                if job.fate.goes_on and job.position == (job.fate.units or 0):
                    self.jobs[job_id] = JobReport(
                        status=JobStatus.DONE, units_pending=job.limit, units_done=job.position
                    )
                if self._work_on(job):
                    gap = job.fate.gap if job.position < job.limit else job.fate.last
                    job.next_at += timedelta(seconds=gap)
            else:
                self._end(job_id, job.fate.status)

    def _work_on(self, job: Job) -> bool:
        """Try the next unit and return whether it shows in the folder: what does not show must not take time."""
        unit, urls = job.units[job.position], urls_of(job.units[job.position])
        job.position += 1
        if urls in (self._present(job.folder_uuid) if job.present is None else job.present):
            job.skipped += 1
            self.seen.add("unit: skipped")
            return False
        for url in urls:
            text = self._trouble(url)
            if text is not None:
                named, subtask = urls if self.names_all else (url,), str(uuid5(NAMESPACE_URL, url))
                job.errors.append(UnitError(object_urls=named, message=text, subtask_uuid=subtask))
                self.seen.update({"unit: one bad object of several"} if len(urls) > 1 else ())
                return False
        self.seen.update({"unit: of several objects"} if OBJECT_URL not in unit else ())
        item = RemoteItem(
            item_uuid=str(uuid5(NAMESPACE_URL, f"item/{next(self._numbers)}")),
            name=unit["title"],
            url=urls[0] if OBJECT_URL in unit else None,
            unit_id=unit["clientMetadata"].get(UNIT_METADATA_KEY),
            created_at=job.next_at,
            objects=unit["clientMetadata"].get(OBJECTS_METADATA_KEY),
        )
        if OBJECT_URL in unit:
            self.items.setdefault(job.folder_uuid, []).append(item)
        else:
            self.add_group(job.folder_uuid, item, urls)
        job.registered.append(item)
        return True

    def _trouble(self, url: str) -> str | None:
        if self.gone(url):
            self.seen.add("unit: gone")
            return "404 not found"
        text, times = self.troubles.get(url, ("", 0.0))
        if times <= 0:
            return None
        self.seen.add(f"unit: {text}")
        self.troubles[url] = (text, times - 1)
        return text

    def _end(self, job_id: str, status: JobStatus) -> None:
        job = self.open.pop(job_id)
        taken_back = set[str]()
        if job.fate.takes_back and status is JobStatus.ERROR:
            taken_back = {item.item_uuid for item in job.registered}
            folder = self.items[job.folder_uuid] if taken_back else []
            folder[:] = [item for item in folder if item.item_uuid not in taken_back]
        report = JobReport(
            status=status,
            items=tuple(JobItem(item.item_uuid, item.name) for item in job.registered),
            unit_errors=() if job.fate.hides_errors else tuple(job.errors),
            errors=("something broke",) if status is JobStatus.ERROR else (),
            units_done=len(job.registered),
            units_error=len(job.errors),
            units_cancelled=len(job.units) - job.position,
        )
        self.jobs[job_id] = _as_told(report, job.fate.tells) if status is JobStatus.DONE else report


def urls_of(unit: dict[str, Any]) -> tuple[str, ...]:
    """Return the URLs of an entry of a manifest in the order of their positions."""
    if OBJECT_URL in unit:
        return (unit[OBJECT_URL],)
    positions = sorted(int(key.removeprefix(GROUP_URL_PREFIX)) for key in unit if key.startswith(GROUP_URL_PREFIX))
    return tuple(unit[f"{GROUP_URL_PREFIX}{position}"] for position in positions)


def _as_told(report: JobReport, tells: str) -> JobReport:
    """Return a report that says less than happened."""
    errors, texts = report.unit_errors, tuple(error.message for error in report.unit_errors)
    changes: dict[str, dict[str, Any]] = {
        "no urls": {"unit_errors": tuple(replace(error, object_urls=()) for error in errors)},
        "first error twice": {"unit_errors": errors[:1] * len(errors)},
        "text only": {"unit_errors": (), "units_error": 0, "errors": texts},
        "nothing of errors": {"unit_errors": (), "units_error": 0},
        "no items": {"items": ()},
        "all pending": {"items": (), "unit_errors": (), "units_done": 0, "units_pending": report.units_cancelled + 1},
    }
    changed: dict[str, Any] = {"units_cancelled": 0, **changes[tells]} if tells else {}
    return replace(report, **changed)


def read_fault(kind: str) -> Exception:
    """Return what a poll, a count or a listing may raise once."""
    return {
        "throttled": ThrottledError("429", retry_after_seconds=5),
        "reply lost": TransientError("connection cut"),
        "not found": PermanentError("404: no such job"),
        "key refused": CredentialsError("401: key refused"),
    }[kind]
