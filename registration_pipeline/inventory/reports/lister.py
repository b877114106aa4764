"""Lists a source from its provider's inventory report instead of asking the store for every key.

What does not belong here: a provider's folders and columns (``amazon.py``, ``google.py``, ``azure.py``),
sorting (``sort.py``) and what is listed on top of a report (``top_up.py``).
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from registration_pipeline.errors import ListingError, NotFoundError
from registration_pipeline.inventory.reports.manifest import damaged
from registration_pipeline.inventory.reports.place import setting
from registration_pipeline.inventory.reports.rows import read_columns
from registration_pipeline.inventory.reports.sort import KeySort
from registration_pipeline.inventory.reports.values import ValueProblemError, column_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    import pyarrow as pa

    from registration_pipeline.inventory.reports.manifest import Report, ReportFile, ReportService
    from registration_pipeline.inventory.reports.place import ReportPlace
    from registration_pipeline.inventory.reports.top_up import TopUp

_NOTICE_SECONDS = 30.0
"""How often a long reading says how far it is."""


class ReportLister:
    """``ObjectLister`` of what the newest inventory report says about a source.

    The files are fetched one after the other into a temporary folder, verified there, and their rows sorted on disk; the first
    row is yielded when all is read and verified, so a report that is damaged anywhere gives nothing.

    Args:
        place: where reports are delivered.
        service: whose they are.
        prefix: the source's; keys start with it.
        max_age: an older report is refused.
        source: the source's name, for error texts.
        clock: gives the aware time.
        notify: gets notices for users.
        top_up: lists what may have changed since the report; None uses the report as it is.
    """

    def __init__(
        self,
        place: ReportPlace,
        service: ReportService,
        prefix: str = "",
        *,
        max_age: timedelta,
        source: str = "<name>",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        notify: Callable[[str], None] = lambda _: None,
        top_up: TopUp | None = None,
    ) -> None:
        self._place, self._service, self._prefix, self._max_age = place, service, prefix, max_age
        self._source, self._clock, self._notify, self._top_up = source, clock, notify, top_up
        self._report: Report | None = None

    @property
    def requests(self) -> int:
        """How many reads of the report's place, and requests of the top-up, were made so far."""
        return self._place.requests + (self._top_up.requests if self._top_up else 0)

    @property
    def description(self) -> str:
        """Which report: its service, format, time and manifest; before it is found, where it is searched for."""
        if self._report is None:
            return f"the inventory reports at {self._place.location(self._place.start)}"
        report = self._report
        shown = f"{report.service} ({report.format}) of {report.snapshot_at:%Y-%m-%d %H:%M} UTC: {report.manifest}"
        return f"{shown}, and {self._top_up.description}" if self._top_up else shown

    def check(self) -> str:
        """Find the report and verify its manifest, without reading its files; return what was found.

        Raises:
            HaltError: there is none that can be used.
        """
        report = self._found()
        return f"{self.description}: {len(report.files)} files, {_days(self._age(report))} old"

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``.

        Raises:
            NotFoundError: there is no report that is complete and covers the source, or one of its files is missing.
            ListingError: the report is damaged, too old, lacks a field, or names no object of the source.
            HaltError: it can't be read.
        """
        report = self._found()
        self._notify(f"{self.description}, {_days(self._age(report))} old: what changed since is not in it.")
        with tempfile.TemporaryDirectory(prefix="registration-pipeline-") as name:
            folder = Path(name)
            try:
                sort = self._read(report, folder)
                batches = sort.batches()
                yield from batches if self._top_up is None else self._top_up.merged(batches)
            except OSError as error:
                raise ListingError(
                    f"{folder} can't take the rows of the inventory report: {error.strerror or error}. Free space in the "
                    "temporary folder, or set TMPDIR to a folder with room."
                ) from error

    def _found(self) -> Report:
        if self._report is None:
            report = self._service.newest(self._place)
            if report.fields is not None:
                self._check_fields(report, report.manifest, report.fields)
            if self._age(report) > self._max_age:
                raise ListingError(
                    f"The newest inventory report that can be used, {report.manifest}, is {_days(self._age(report))} old, and "
                    f"`sources.{self._source}.storage.report_max_age_days` allows {_days(self._max_age)}. "
                    f"Check that reports are still delivered, raise the limit, or remove `{setting(self._source)}` to list "
                    "the bucket."
                )
            self._report = report
            for notice in report.notices:
                self._notify(notice)
        return self._report

    def _age(self, report: Report) -> timedelta:
        return max(self._clock() - report.snapshot_at, timedelta(0))

    def _read(self, report: Report, folder: Path) -> KeySort:
        sort, read, found = KeySort(folder), 0, 0
        notified_at = time.monotonic()
        if self._top_up is not None:
            self._top_up.begin(report.snapshot_at)
        for number, file in enumerate(report.files, start=1):
            for in_file, rows in self._file_rows(report, file, folder):
                read += in_file
                mine = rows.filter(pc.starts_with(rows.column("key"), self._prefix)) if self._prefix else rows
                found += mine.num_rows
                sort.add(mine)
                if self._top_up is not None:
                    self._top_up.see(mine)
            if time.monotonic() - notified_at > _NOTICE_SECONDS:
                notified_at = time.monotonic()
                self._notify(
                    f"{number} of {len(report.files)} files of the report are read: {found:,} rows of the source"
                )
        self._check_rows(report, read, found)
        return sort

    def _file_rows(self, report: Report, file: ReportFile, folder: Path) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield how many rows were read, and those of them that count."""
        path = folder / "fetched"
        self._fetch(file, path)
        where = self._place.location(file.name)
        try:
            for columns in read_columns(path, report.format, self._service.wanted, report.sheet):
                self._check_fields(report, where, columns)
                yield len(next(iter(columns.values()))), self._service.rows(columns, report.format)
        except ValueProblemError as problem:
            raise damaged(where, str(problem), self._source) from None
        path.unlink()

    def _fetch(self, file: ReportFile, path: Path) -> None:
        """Copy a file to this machine, and believe it only if it has the size and the MD5 that the manifest says."""
        digest, size = hashlib.md5(usedforsecurity=False), 0
        with path.open("wb") as copy:
            for chunk in self._place.chunks(file.name):
                digest.update(chunk)
                size += len(chunk)
                copy.write(chunk)
        where = self._place.location(file.name)
        if file.size is not None and size != file.size:
            raise damaged(where, f"it has {size:,} bytes, and the manifest says {file.size:,}", self._source)
        if file.md5 is not None and digest.hexdigest() != file.md5:
            raise damaged(where, f"its MD5 is {digest.hexdigest()}, and the manifest says {file.md5}", self._source)

    def _check_fields(self, report: Report, where: str, present: Collection[str]) -> None:
        names = {column_name(name) for name in present}
        if lacking := [field for field, columns in self._service.required.items() if names.isdisjoint(columns)]:
            raise ListingError(
                f"{where} lacks what an inventory needs: switch on {', '.join(lacking)} in the configuration of the "
                f"{report.service} and wait for the next report, or remove `{setting(self._source)}` to list the bucket."
            )

    def _check_rows(self, report: Report, read: int, found: int) -> None:
        key = setting(self._source)
        if read < (report.rows or 0):
            raise damaged(report.manifest, f"it counts {report.rows:,} rows, and its files have {read:,}", self._source)
        if found == 0:
            raise NotFoundError(
                f"The inventory report {report.manifest} names no object below {self._prefix!r} in its {read:,} rows. "
                f"Fix the prefix in `sources.{self._source}.uri` or the report that `{key}` leads to; if "
                f"the source really has no objects, remove `{key}` to list the bucket."
            )


def _days(age: timedelta) -> str:
    hours = int(age / timedelta(hours=1))
    return f"{hours // 24} days" if hours >= 48 else f"{hours} hours"  # noqa: PLR2004 - two days read better in hours
