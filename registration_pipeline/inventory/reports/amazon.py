"""Amazon S3 Inventory: where its reports are, what a manifest says, and what a row means.

What does not belong here: reading files (``rows.py``) and sorting (``sort.py``).

Folders, manifest and schema: Amazon S3 user guide, "Locating your inventory list" and "Amazon S3 Inventory list".
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow.compute as pc

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.inventory.reports.manifest import (
    Report,
    ReportFile,
    UnfitReportError,
    damaged,
    first_fit,
    located,
    read_manifest,
)
from registration_pipeline.inventory.reports.place import setting
from registration_pipeline.inventory.reports.rows import Columns, CsvForm, ReportFormat, rows_of
from registration_pipeline.inventory.reports.values import decoded_keys, flags, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from registration_pipeline.inventory.reports.place import ReportPlace

SERVICE = "Amazon S3 Inventory"

_DATED = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}Z")
_DATED_FORMAT = "%Y-%m-%dT%H-%MZ"
_NO_REPORTS_BELOW = {"data", "hive"}
_DEPTH = 4  # destination prefix, source bucket, configuration, and one more folder above
_COLUMNS = {
    "size": ("size",),
    "last_modified": ("lastmodifieddate",),
    "e_tag": ("etag",),
    "storage_class": ("storageclass",),
    "version": ("versionid",),
}


class ConfigurationFilters(Protocol):
    """Asks S3 for the filters of inventory configurations; a report does not hold its own."""

    def prefix_of(self, configuration: str) -> str | None:
        """Return the prefix that a configuration of the source's bucket is limited to, or None if that can't be known."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    at: datetime
    configuration: str
    """The folder of the configuration, ending in ``/`` unless it is the top."""
    folder: str


class AmazonReports:
    """``ReportService`` of Amazon S3 Inventory.

    Args:
        bucket: the source's.
        prefix: the source's.
        source: its name, for error texts.
        filters: asks for the filters of configurations; None where they can't be requested.
    """

    wanted = frozenset({"key", "islatest", "isdeletemarker"}.union(*_COLUMNS.values()))
    required: Mapping[str, tuple[str, ...]] = {
        "Key": ("key",),
        "Size": ("size",),
        "LastModifiedDate": ("lastmodifieddate",),
    }

    def __init__(
        self, bucket: str, prefix: str = "", *, source: str = "<name>", filters: ConfigurationFilters | None = None
    ) -> None:
        self._bucket, self._prefix, self._source = bucket, prefix, source
        self._filters = filters

    def newest(self, place: ReportPlace) -> Report:
        """See ``ReportService.newest``."""
        candidates = sorted(self._candidates(place), key=lambda one: (one.at, one.folder), reverse=True)
        configurations = Counter(
            folder.rstrip("/").rpartition("/")[0] for folder in {c.configuration for c in candidates}
        )

        def judge(candidate: _Candidate) -> Report:
            siblings = configurations[candidate.configuration.rstrip("/").rpartition("/")[0]]
            return self._judged(place, candidate, is_only=siblings == 1)

        wanted = f"{self._bucket}/<configuration>/YYYY-MM-DDTHH-MMZ/manifest.json"
        return first_fit(candidates, judge, place=place, source=self._source, wanted=wanted)

    def rows(self, columns: Columns, form: ReportFormat) -> pa.RecordBatch:
        """See ``ReportService.rows``. Only the CSV files have URL-encoded keys."""
        if "islatest" in columns:
            is_current = pc.fill_null(flags(columns["islatest"]), True)
            columns = {name: column.filter(is_current) for name, column in columns.items()}
        key = text(columns["key"])
        gone = flags(columns["isdeletemarker"]) if "isdeletemarker" in columns else None
        return rows_of(columns, decoded_keys(key) if form is ReportFormat.CSV else key, gone, _COLUMNS)

    def _candidates(self, place: ReportPlace) -> Iterator[_Candidate]:
        start = place.start
        if _DATED.fullmatch(_last(start)):
            yield _candidate(start, start.removesuffix("/").removesuffix(_last(start)))
            return
        pending = [(start, 0)]
        while pending:
            folder, depth = pending.pop()
            folders = place.level(folder).folders
            dated = [below for below in folders if _DATED.fullmatch(_last(below))]
            yield from (_candidate(below, folder) for below in dated)
            if not dated and depth < _DEPTH:
                own = [below for below in folders if _last(below) == self._bucket]
                pending += [(below, depth + 1) for below in own or folders if _last(below) not in _NO_REPORTS_BELOW]

    def _judged(self, place: ReportPlace, candidate: _Candidate, *, is_only: bool) -> Report:
        names = {_last(name): name for name in place.level(candidate.folder).names}
        where = place.location(candidate.folder)
        if not {"manifest.json", "manifest.checksum"} <= names.keys():
            raise UnfitReportError(f"{where} has no manifest with a checksum (yet)")
        name = names["manifest.json"]
        manifest = read_manifest(place, name, names["manifest.checksum"], source=self._source)
        try:
            bucket, files = str(manifest["sourceBucket"]), list(manifest["files"])
            form = ReportFormat(str(manifest["fileFormat"]).lower())
            at = datetime.fromtimestamp(int(manifest["creationTimestamp"]) / 1000, UTC)
            fields = _fields(str(manifest["fileSchema"]), form)
        except (KeyError, ValueError, TypeError) as error:
            raise damaged(place.location(name), f"it lacks or garbles {error}", self._source) from None
        if bucket.removeprefix("arn:aws:s3:::") != self._bucket:
            raise UnfitReportError(f"{where} is of bucket {bucket}, not {self._bucket}")
        notices = self._coverage(place, candidate, is_only=is_only)
        return Report(
            service=SERVICE,
            manifest=place.location(name),
            snapshot_at=at,
            format=form,
            files=tuple(self._file(place, entry, name, candidate) for entry in files),
            sheet=CsvForm(names=fields),
            fields=fields,
            notices=notices,
        )

    def _coverage(self, place: ReportPlace, candidate: _Candidate, *, is_only: bool) -> tuple[str, ...]:
        configuration = _last(place.location(candidate.configuration))
        prefix = self._filters.prefix_of(configuration) if self._filters else None
        if prefix is not None:
            if not self._prefix.startswith(prefix):
                raise UnfitReportError(
                    f"configuration {configuration} reports only keys that start with {prefix!r}, and the source's start "
                    f"with {self._prefix!r}"
                )
            return ()
        if not is_only:
            raise ConfigurationError(
                f"there are several configurations at {place.location(place.start)}, and which keys each reports can't be "
                f"found out. Name the folder of one that covers the source, such as "
                f"{place.location(candidate.configuration)}, or grant s3:GetInventoryConfiguration on bucket {self._bucket}",
                key=setting(self._source),
            )
        notice = (
            f"Whether inventory configuration {configuration} covers all of s3://{self._bucket}/{self._prefix} can't be "
            "found out: a report does not say. Make sure that its prefix filter does, or grant s3:GetInventoryConfiguration."
        )
        return (notice,)

    def _file(self, place: ReportPlace, entry: Any, manifest: str, candidate: _Candidate) -> ReportFile:
        try:
            key, size, md5 = str(entry["key"]), int(entry["size"]), str(entry["MD5checksum"]).lower()
        except (KeyError, ValueError, TypeError) as error:
            problem = f"an entry of its files lacks or garbles {error}"
            raise damaged(place.location(manifest), problem, self._source) from None
        name, _ = located(place, key, candidate.configuration, source=self._source)
        return ReportFile(name, size, md5)


def _candidate(folder: str, configuration: str) -> _Candidate:
    return _Candidate(datetime.strptime(_last(folder), _DATED_FORMAT).replace(tzinfo=UTC), configuration, folder)


def _last(folder: str) -> str:
    return folder.rstrip("/").rpartition("/")[2]


def _fields(schema: str, form: ReportFormat) -> tuple[str, ...]:
    """Return the columns that a manifest's ``fileSchema`` names; each format has its own way to write them."""
    if form is ReportFormat.CSV:
        return tuple(name.strip() for name in schema.split(","))
    if form is ReportFormat.ORC:
        return tuple(re.findall(r"(\w+)\s*:", schema))
    return tuple(re.findall(r"(?:required|optional)\s+\w+\s+(\w+)", schema))
