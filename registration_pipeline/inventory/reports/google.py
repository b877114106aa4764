"""Google Cloud Storage's inventory reports (Storage Insights): where they are, what a manifest says, what a row means.

What does not belong here: reading files (``rows.py``) and sorting (``sort.py``).

Fields: `gcloud storage insights inventory-reports create`, ``--metadata-fields``. The manifest is not documented by Google;
``<configuration>_<time>_manifest.json`` with ``report_shards_file_names`` is what is delivered.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
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
from registration_pipeline.inventory.reports.values import ValueProblemError, column_name, text, time_of, unquoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from registration_pipeline.inventory.reports.place import ReportPlace

SERVICE = "Google Cloud Storage inventory report"

_MANIFEST = re.compile(r".*?(?:(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}).*)?manifest\.json")
_DEPTH = 3
_MOST_FOLDERS = 1_000
_COLUMNS = {
    "size": ("size",),
    "last_modified": ("updated", "timecreated"),
    "e_tag": ("etag",),  # see _content_tag
    "storage_class": ("storageclass",),
    "content_type": ("contenttype",),
    "version": ("generation",),
}


class GoogleReports:
    """``ReportService`` of Storage Insights. A configuration always reports a whole bucket.

    Args:
        bucket: the source's.
        source: its name, for error texts.
    """

    wanted = frozenset(
        {"name", "bucket", "timedeleted", "softdeletetime", "md5hash", "crc32c"}.union(*_COLUMNS.values())
    )
    required: Mapping[str, tuple[str, ...]] = {
        "name": ("name",),
        "bucket": ("bucket",),
        "size": ("size",),
        "updated": ("updated", "timecreated"),
    }

    def __init__(self, bucket: str, *, source: str = "<name>") -> None:
        self._bucket, self._source = bucket, source

    def newest(self, place: ReportPlace) -> Report:
        """See ``ReportService.newest``."""
        # By the time in the name, not by the name, which begins with the configuration's id.
        candidates = sorted(self._manifests(place), reverse=True)
        wanted = "<configuration>_YYYY-MM-DDTHH:MM_manifest.json"
        return first_fit(
            candidates,
            lambda candidate: self._judged(place, candidate[1]),
            place=place,
            source=self._source,
            wanted=wanted,
        )

    def rows(self, columns: Columns, form: ReportFormat) -> pa.RecordBatch:
        """See ``ReportService.rows``. Noncurrent and soft-deleted objects have a time of deletion."""
        del form
        for ended in ("timedeleted", "softdeletetime"):
            if ended in columns:
                is_live = pc.is_null(_present(columns[ended]))
                columns = {name: column.filter(is_live) for name, column in columns.items()}
        buckets = text(columns["bucket"])
        if len(strange := buckets.filter(pc.not_equal(buckets, self._bucket)).drop_null()):
            raise ValueProblemError(f"a row is of bucket {strange[0].as_py()!r}, not {self._bucket!r}")
        return rows_of(columns | {"etag": _content_tag(columns)}, text(columns["name"]), None, _COLUMNS)

    def _manifests(self, place: ReportPlace) -> Iterator[tuple[str, str]]:
        pending, searched = [(place.start, 0)], 0
        while pending and searched < _MOST_FOLDERS:
            folder, depth = pending.pop()
            level = place.level(folder)
            searched += 1
            for name in level.names:
                if match := _MANIFEST.fullmatch(name.rpartition("/")[2]):
                    yield match[1] or "", name
            if depth < _DEPTH:
                pending += [(below, depth + 1) for below in level.folders]

    def _judged(self, place: ReportPlace, name: str) -> Report:
        manifest = read_manifest(place, name, None, source=self._source)
        where = place.location(name)
        settings: dict[str, Any] = manifest.get("report_config") or manifest.get("reportConfig") or {}
        options = _entry(settings, "object_metadata_report_options") or {}
        bucket = _entry(_entry(options, "storage_filters") or {}, "bucket")
        if bucket is not None and str(bucket).removeprefix("gs://").strip("/").rpartition("/")[2] != self._bucket:
            raise UnfitReportError(f"{where} is of bucket {bucket}, not {self._bucket}")
        shards = manifest.get("report_shards_file_names") or manifest.get("reportNames") or []
        count = manifest.get("shard_count", len(shards))
        try:
            at = time_of(str(manifest["snapshot_time"]))
            if not isinstance(shards, list) or int(count) != len(shards):
                raise damaged(where, f"it names {len(shards)} files, but counts {count}", self._source)
            records = int(manifest["records_processed"]) if "records_processed" in manifest else None
        except (KeyError, ValueError, TypeError, ValueProblemError) as error:
            raise damaged(where, f"it lacks or garbles {error}", self._source) from None
        if not shards:
            raise UnfitReportError(f"{where} names no files")
        files = tuple(self._file(place, str(shard), name) for shard in shards)
        fields = _entry(options, "metadata_fields")
        is_parquet = "parquet_options" in settings or files[0].name.endswith(".parquet")
        return Report(
            service=SERVICE,
            manifest=where,
            snapshot_at=at,
            format=ReportFormat.PARQUET if is_parquet else ReportFormat.CSV,
            files=files,
            sheet=_sheet(_entry(settings, "csv_options") or {}, fields or ()),
            fields=tuple(map(str, fields)) if fields else None,
            rows=records,
        )

    def _file(self, place: ReportPlace, shard: str, manifest: str) -> ReportFile:
        folder = manifest[: len(manifest) - len(manifest.rpartition("/")[2])]
        name = shard.removeprefix("gs://").partition("/")[2] if shard.startswith("gs://") else shard
        found, size = located(place, name, folder, source=self._source)
        return ReportFile(found, size)


def _content_tag(columns: Columns) -> pa.Array:
    """Return what changes exactly when the content does, as a listing has it.

    Google's own etag changes with the metadata too, and objects composed of others have no MD5.
    """
    nothing = pa.nulls(len(columns["name"]), pa.string())
    crc32c = pc.binary_join_element_wise("crc32c", text(columns.get("crc32c", nothing)), ":")
    return pc.coalesce(text(columns.get("md5hash", nothing)), crc32c, unquoted(columns.get("etag", nothing)))


def _present(column: pa.Array) -> pa.Array:
    """Return the column with empty text as null; a time of deletion may be a timestamp or text."""
    return text(column) if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) else column


def _entry(mapping: Mapping[str, Any], name: str) -> Any:
    """Return an entry whose name is written with underscores or in camel case."""
    return next((value for key, value in mapping.items() if column_name(key) == column_name(name)), None)


def _sheet(options: Mapping[str, Any], fields: Any) -> CsvForm:
    return CsvForm(
        names=tuple(map(str, fields)),
        has_header=_entry(options, "header_required"),
        delimiter=str(_entry(options, "delimiter") or ","),
    )
