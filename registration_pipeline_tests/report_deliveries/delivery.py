"""Inventory reports as the three providers deliver them, written into a directory from the schemas that they publish.

What does not belong here: reading them. Nothing of the package is imported, so that both can't be wrong together.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SNAPSHOT = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
WRITTEN = datetime(2026, 11, 1, 12, 0, 0, 123000, tzinfo=UTC)
ALL_FORMS = [
    *(("amazon", form) for form in ("Parquet", "ORC", "CSV")),
    *((provider, form) for provider in ("google", "azure") for form in ("parquet", "csv")),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row of a report.

    Args:
        key: the object's.
        marks: columns that only some rows have, by the provider's own names.
    """

    key: str
    size: int = 1
    modified: datetime = WRITTEN
    e_tag: str = "0123456789abcdef"
    tier: str = "STANDARD"
    marks: dict[str, Any] = field(default_factory=dict)


Table = dict[str, list[Any]]


def entries(*keys: str, **values: Any) -> list[Entry]:
    return [Entry(key=key, **values) for key in keys]


def columns_of(rows: Sequence[Entry], own: Callable[[Entry], dict[str, Any]], drop: Sequence[str]) -> Table:
    written = [own(row) | row.marks for row in rows]
    names = dict.fromkeys(name for row in written for name in row)
    return {name: [row.get(name) for row in written] for name in names if name not in drop}


def parquet_of(table: Table) -> bytes:
    sink = io.BytesIO()
    types = {
        name: pa.timestamp("ms", tz="UTC") for name, values in table.items() if isinstance(_first(values), datetime)
    }
    arrays = {name: pa.array(values, types.get(name)) for name, values in table.items()}
    pq.write_table(pa.table(arrays), sink, row_group_size=3)
    return sink.getvalue()


def orc_of(table: Table) -> bytes:
    sink = io.BytesIO()
    arrays = {}
    for name, values in table.items():
        is_time = isinstance(_first(values), datetime)
        plain = [value and value.replace(tzinfo=None) for value in values] if is_time else values
        arrays[name] = pa.array(plain, pa.timestamp("ms")) if is_time else pa.array(plain)
        if pa.types.is_null(arrays[name].type):
            arrays[name] = arrays[name].cast(pa.string())
    orc.write_table(pa.table(arrays), sink, compression="zlib")
    return sink.getvalue()


def csv_of(table: Table, *, has_header: bool, delimiter: str = ",", is_quoted: bool = False) -> bytes:
    sink = io.StringIO()
    # RFC 4180: lines end in CRLF, and values with either are quoted.
    quoting: Literal[0, 1] = csv.QUOTE_ALL if is_quoted else csv.QUOTE_MINIMAL
    writer = csv.writer(sink, delimiter=delimiter, quoting=quoting, lineterminator="\r\n")
    if has_header:
        writer.writerow(table)
    for row in zip(*table.values(), strict=True):
        writer.writerow([_cell(value) for value in row])
    return sink.getvalue().encode()


def _first(values: list[Any]) -> Any:
    return next((value for value in values if value is not None), None)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(kw_only=True)
class Delivery:
    """Writes reports below a directory.

    Args:
        root: the directory; for S3 the bucket's top.
        bucket: the bucket or container that is reported.
        form: the provider's name of a format.
        drop: columns to leave out.
        changes: put over the manifest before it is written.
    """

    root: Path
    bucket: str = "fleet-bucket"
    form: str
    drop: tuple[str, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)

    def write(self, name: str, data: bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def _names(self, files: Sequence[Sequence[Entry]], own: Callable[[Entry], dict[str, Any]]) -> list[str]:
        return list(columns_of([row for rows in files for row in rows] or entries("none"), own, self.drop))


@dataclass(kw_only=True)
class AmazonDelivery(Delivery):
    """Amazon S3 Inventory, as in the user guide's "Locating your inventory list"."""

    form: str = "Parquet"
    configuration: str = "nightly"
    prefix: str = "reports/"

    def deliver(self, *files: Sequence[Entry], at: datetime = SNAPSHOT, is_complete: bool = True) -> Path:
        """Write a report of these files and return its manifest."""
        folder = f"{self.prefix}{self.bucket}/{self.configuration}/"
        names = self._names(files, self._row)
        written = []
        for rows in files:
            table = columns_of(rows, self._row, self.drop)
            table = {name: table.get(name, [None] * len(rows)) for name in names}
            data, suffix = self._file(table)
            name = f"{folder}data/{uuid.uuid4()}.{suffix}"
            self.write(name, data)
            digest = hashlib.md5(data).hexdigest()
            written.append({"key": name, "size": len(data), "MD5checksum": digest})
        manifest = {
            "sourceBucket": self.bucket,
            "destinationBucket": "arn:aws:s3:::reports",
            "version": "2016-11-30",
            "creationTimestamp": str(int(at.timestamp() * 1000)),
            "fileFormat": self.form,
            "fileSchema": self._schema(names),
            "files": written,
        } | self.changes
        data = json.dumps(manifest, indent=4).encode()
        dated = f"{folder}{at:%Y-%m-%dT%H-%MZ}/"
        self.write(f"{folder}hive/dt={at:%Y-%m-%d-%H-%M}/symlink.txt", b"s3://reports/...")
        if is_complete:
            self.write(f"{dated}manifest.checksum", hashlib.md5(data).hexdigest().encode())
        return self.write(f"{dated}manifest.json", data)

    def _row(self, entry: Entry) -> dict[str, Any]:
        row = {
            "bucket": self.bucket,
            "key": quote_plus(entry.key, safe="/") if self.form == "CSV" else entry.key,
            "size": entry.size,
            "last_modified_date": entry.modified,
            "e_tag": entry.e_tag,
            "storage_class": entry.tier,
            "is_multipart_uploaded": False,
        }
        return {_pascal(name): value for name, value in row.items()} if self.form == "CSV" else row

    def _file(self, table: Table) -> tuple[bytes, str]:
        if self.form == "CSV":
            return gzip.compress(csv_of(table, has_header=False, is_quoted=True)), "csv.gz"
        return (orc_of(table), "orc") if self.form == "ORC" else (parquet_of(table), "parquet")

    def _schema(self, names: Sequence[str]) -> str:
        if self.form == "CSV":
            return ", ".join(names)
        if self.form == "ORC":
            return f"struct<{','.join(f'{name}:string' for name in names)}>"
        fields = " ".join(f"optional binary {name} (UTF8);" for name in names)
        return f"message s3.inventory {{ {fields} }}"


def _pascal(name: str) -> str:
    return "ETag" if name == "e_tag" else "".join(part.capitalize() for part in name.split("_"))


@dataclass(kw_only=True)
class GoogleDelivery(Delivery):
    """Storage Insights, with the fields that ``gcloud storage insights inventory-reports create`` reports by default."""

    form: str = "parquet"
    configuration: str = "2f4c8c5e-0f0e-4c3b-9a57-0d6a3e1f7b11"
    folder: str = "inventory_reports/"
    options: dict[str, Any] = field(default_factory=lambda: {"delimiter": ",", "header_required": True})

    def deliver(self, *files: Sequence[Entry], at: datetime = SNAPSHOT, is_complete: bool = True) -> Path:
        """Write a report of these shards and return its manifest."""
        stem = f"{self.configuration}_{at:%Y-%m-%dT%H:%M}"
        names = self._names(files, self._row)
        shards = []
        for number, rows in enumerate(files):
            table = columns_of(rows, self._row, self.drop)
            table = {name: table.get(name, [None] * len(rows)) for name in names}
            has_header = bool(self.options["header_required"])
            delimiter = str(self.options["delimiter"])
            data = (
                parquet_of(table)
                if self.form == "parquet"
                else csv_of(table, has_header=has_header, delimiter=delimiter)
            )
            shards.append(f"{stem}_{number}.{self.form}")
            self.write(f"{self.folder}{shards[-1]}", data)
        report = {"parquet_options": {}} if self.form == "parquet" else {"csv_options": self.options}
        options = {
            "storage_filters": {"bucket": self.bucket},
            "storage_destination_options": {"bucket": "reports", "destination_path": self.folder},
            "metadata_fields": names,
        }
        manifest = {
            "report_config": {"display_name": "nightly", "object_metadata_report_options": options, **report},
            "records_processed": sum(map(len, files)),
            "snapshot_time": at.isoformat().replace("+00:00", "Z"),
            "target_datetime": at.isoformat().replace("+00:00", "Z"),
            "shard_count": len(shards),
            "report_shards_file_names": shards,
        } | self.changes
        name = f"{self.folder}{stem}_manifest.json"
        return self.write(name, json.dumps(manifest).encode()) if is_complete else self.root / name

    def _row(self, entry: Entry) -> dict[str, Any]:
        return {
            "project": "123",
            "bucket": self.bucket,
            "name": entry.key,
            "size": entry.size,
            "timeCreated": entry.modified,
            "updated": entry.modified,
            "storageClass": entry.tier,
            "etag": "CJ/8",
            "md5Hash": entry.e_tag,
            "generation": 1700000000000001,
            "contentType": "image/jpeg",
        }


@dataclass(kw_only=True)
class AzureDelivery(Delivery):
    """Azure Blob Inventory, as on Microsoft's page of that name."""

    form: str = "parquet"
    rule: str = "nightly"
    filters: dict[str, Any] = field(default_factory=dict)

    def deliver(self, *files: Sequence[Entry], at: datetime = SNAPSHOT, is_complete: bool = True) -> Path:
        """Write a report of these files and return its manifest."""
        folder = f"{at:%Y/%m/%d/%H-%M-%S}/{self.rule}/"
        names = self._names(files, self._row)
        written = []
        for number, rows in enumerate(files):
            table = columns_of(rows, self._row, self.drop)
            table = {name: table.get(name, [None] * len(rows)) for name in names}
            data = parquet_of(table) if self.form == "parquet" else csv_of(table, has_header=True)
            name = f"{folder}{self.rule}_{number}_of_{len(files)}.{self.form}"
            self.write(name, data)
            written.append({"blob": name, "size": len(data)})
        filters = {"blobTypes": ["blockBlob"], "includeBlobVersions": False, "includeSnapshots": False}
        manifest = {
            "destinationContainer": "reports",
            "endpoint": "https://fleet.blob.core.windows.net",
            "files": written,
            "inventoryCompletionTime": at.isoformat().replace("+00:00", "Z"),
            "inventoryStartTime": at.isoformat().replace("+00:00", "Z"),
            "ruleDefinition": {
                "filters": filters | self.filters,
                "format": self.form,
                "objectType": "blob",
                "schedule": "daily",
                "schemaFields": names,
            },
            "ruleName": self.rule,
            "status": "Succeeded",
            "summary": {"objectCount": sum(map(len, files)), "totalObjectSize": 1},
            "version": "1.0",
        } | self.changes
        data = json.dumps(manifest).encode()
        if is_complete:
            self.write(f"{folder}{self.rule}-manifest.checksum", hashlib.md5(data).hexdigest().encode())
        return self.write(f"{folder}{self.rule}-manifest.json", data)

    def _row(self, entry: Entry) -> dict[str, Any]:
        return {
            "Name": f"{self.bucket}/{entry.key}",
            "Creation-Time": entry.modified,
            "Last-Modified": entry.modified,
            "Content-Length": entry.size,
            "BlobType": "BlockBlob",
            "AccessTier": entry.tier,
            "Etag": entry.e_tag,
            "Content-Type": "image/jpeg",
            "hdi_isfolder": None,
        }


DELIVERIES: dict[str, type[AmazonDelivery | GoogleDelivery | AzureDelivery]] = {
    "amazon": AmazonDelivery,
    "google": GoogleDelivery,
    "azure": AzureDelivery,
}
