"""Azure Blob Inventory: where its reports are, what a manifest says, and what a row means.

What does not belong here: reading files (``rows.py``) and sorting (``sort.py``).

Folders, manifest and fields: Microsoft's page "Azure Storage blob inventory".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow.compute as pc

from registration_pipeline.inventory.reports.manifest import (
    Report,
    ReportFile,
    UnfitReportError,
    damaged,
    first_fit,
    located,
    read_manifest,
)
from registration_pipeline.inventory.reports.rows import Columns, CsvForm, ReportFormat, rows_of
from registration_pipeline.inventory.reports.values import ValueProblemError, column_name, flags, text, time_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from registration_pipeline.inventory.reports.place import Level, ReportPlace

SERVICE = "Azure Blob Inventory"

_YEAR = re.compile(r"\d{4}")
_DEPTH = 7  # year, month, day, time, rule, and two folders above
_COLUMNS = {
    "size": ("contentlength",),
    "last_modified": ("lastmodified",),
    "e_tag": ("etag",),
    "storage_class": ("accesstier",),
    "content_type": ("contenttype",),
    "version": ("versionid",),
}


class AzureReports:
    """``ReportService`` of Azure Blob Inventory.

    Args:
        container: the source's.
        prefix: the source's.
        account: the source's storage account; None does not compare it.
        source: its name, for error texts.
    """

    wanted = frozenset({"name", "iscurrentversion", "snapshot", "deleted", "hdiisfolder"}.union(*_COLUMNS.values()))
    required: Mapping[str, tuple[str, ...]] = {
        "Name": ("name",),
        "Content-Length": ("contentlength",),
        "Last-Modified": ("lastmodified",),
    }

    def __init__(self, container: str, prefix: str = "", *, account: str | None = None, source: str = "<name>") -> None:
        self._container, self._prefix, self._account, self._source = container, prefix, account, source

    def newest(self, place: ReportPlace) -> Report:
        """See ``ReportService.newest``."""
        return first_fit(
            self._manifests(place, place.start, 0),
            lambda candidate: self._judged(place, *candidate),
            place=place,
            source=self._source,
            wanted="YYYY/MM/DD/HH-MM-SS/<rule>/<rule>-manifest.json",
        )

    def rows(self, columns: Columns, form: ReportFormat) -> pa.RecordBatch:
        """See ``ReportService.rows``.

        Names begin with the container; rows of other containers, directories, snapshots, deleted blobs and versions that
        are not the current one are left out. Without versioning no blob has a version, and each is the current one.
        """
        del form
        name = text(columns["name"])
        keep = pc.fill_null(pc.starts_with(name, f"{self._container}/"), True)
        for flag in ("hdiisfolder", "deleted"):
            if flag in columns:
                keep = pc.and_(keep, pc.invert(pc.fill_null(flags(columns[flag]), False)))
        if "snapshot" in columns:
            keep = pc.and_(keep, pc.is_null(text(columns["snapshot"])))
        if "versionid" in columns and "iscurrentversion" in columns:
            is_current = pc.fill_null(flags(columns["iscurrentversion"]), False)
            keep = pc.and_(keep, pc.or_(is_current, pc.is_null(text(columns["versionid"]))))
        kept = {column: values.filter(keep) for column, values in columns.items()}
        key = pc.utf8_slice_codeunits(name.filter(keep), len(self._container) + 1)
        return rows_of(kept, key, None, _COLUMNS)

    def _manifests(self, place: ReportPlace, folder: str, depth: int) -> Iterator[tuple[str, Level]]:
        """Yield manifests with what lies beside them, the newest first: folders are years, months, days and times."""
        level = place.level(folder)
        for name in sorted(level.names):
            if name.endswith("manifest.json"):
                yield name, level
        if depth < _DEPTH:
            years = [below for below in level.folders if _YEAR.fullmatch(below.rstrip("/").rpartition("/")[2])]
            for below in sorted(years or level.folders, reverse=True):
                yield from self._manifests(place, below, depth + 1)

    def _judged(self, place: ReportPlace, name: str, level: Level) -> Report:
        where = place.location(name)
        checksum = f"{name.removesuffix('json')}checksum"
        if checksum not in level.names:
            raise UnfitReportError(f"{where} has no checksum beside it (yet)")
        manifest = read_manifest(place, name, checksum, source=self._source)
        try:
            rule, files = dict(manifest["ruleDefinition"]), list(manifest["files"])
            filters = dict(rule.get("filters") or {})
            status = str(manifest.get("status", "Succeeded"))
            form = ReportFormat(str(rule["format"]).lower())
            at = time_of(str(manifest["inventoryStartTime"]))
            fields = tuple(map(str, rule["schemaFields"]))
            records = int(dict(manifest.get("summary") or {}).get("objectCount", 0))
        except (KeyError, ValueError, TypeError, ValueProblemError) as error:
            raise damaged(where, f"it lacks or garbles {error}", self._source) from None
        if status.lower() != "succeeded":
            raise UnfitReportError(f"{where} has status {status}")
        self._check_coverage(where, manifest, rule, filters, fields)
        return Report(
            service=SERVICE,
            manifest=where,
            snapshot_at=at,
            format=form,
            files=tuple(self._file(place, entry, name) for entry in files),
            sheet=CsvForm(has_header=True),
            fields=fields,
            rows=records,
        )

    def _check_coverage(
        self, where: str, manifest: Mapping[str, Any], rule: Mapping[str, Any], filters: Mapping[str, Any], fields: Any
    ) -> None:
        account = (urlsplit(str(manifest.get("endpoint", ""))).hostname or "").partition(".")[0]
        if self._account is not None and account and account != self._account:
            raise UnfitReportError(f"{where} is of account {account}, not {self._account}")
        if str(rule.get("objectType", "Blob")).lower() != "blob":
            raise UnfitReportError(f"{where} reports containers, not blobs")
        own = f"{self._container}/{self._prefix}"
        prefixes = [str(prefix) for prefix in filters.get("prefixMatch") or [""]]
        if not any(own.startswith(prefix) for prefix in prefixes):
            raise UnfitReportError(f"{where} reports only {', '.join(prefixes)}, and the source is {own}")
        excluded = [str(prefix) for prefix in filters.get("excludePrefix") or ()]
        if hidden := [prefix for prefix in excluded if prefix.startswith(own) or own.startswith(prefix)]:
            raise UnfitReportError(f"{where} leaves out {', '.join(hidden)}, and the source is {own}")
        if "blockblob" not in {str(kind).lower() for kind in filters.get("blobTypes") or ["blockBlob"]}:
            raise UnfitReportError(f"{where} does not report block blobs")
        if filters.get("creationTime"):
            raise UnfitReportError(f"{where} reports only blobs that were created lately")
        names = {column_name(field) for field in fields}
        if filters.get("includeBlobVersions") and not {"versionid", "iscurrentversion"} <= names:
            raise UnfitReportError(f"{where} has versions, but not the fields VersionId and IsCurrentVersion")
        if filters.get("includeSnapshots") and "snapshot" not in names:
            raise UnfitReportError(f"{where} has snapshots, but not the field Snapshot")

    def _file(self, place: ReportPlace, entry: Any, manifest: str) -> ReportFile:
        folder = manifest[: len(manifest) - len(manifest.rpartition("/")[2])]
        try:
            name, size = str(entry["blob"]), int(entry["size"])
        except (KeyError, ValueError, TypeError) as error:
            problem = f"an entry of its files lacks or garbles {error}"
            raise damaged(place.location(manifest), problem, self._source) from None
        found, _ = located(place, name, folder, source=self._source)
        return ReportFile(found, size)
