"""What a report's manifest says, verified: when, which files, and whether it can be used for a source.

What does not belong here: each provider's own names and folders (``amazon.py`` and its neighbours).
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from registration_pipeline.errors import ListingError, NotFoundError
from registration_pipeline.inventory.reports.place import missing_file, setting
from registration_pipeline.inventory.reports.rows import CsvForm, ReportFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    import pyarrow as pa

    from registration_pipeline.inventory.reports.place import ReportPlace
    from registration_pipeline.inventory.reports.rows import Columns

_Candidate = TypeVar("_Candidate")

MANIFEST_BYTES = 64 << 20
"""A manifest longer than this is none: 64 MiB name some 300,000 files."""

_MOST_CHECKS = 200
"""Manifests that are read, the newest first, before the search ends."""


@dataclass(frozen=True, slots=True)
class ReportFile:
    """A data file of a report.

    Args:
        name: its whole name in the place.
        size: bytes, where the manifest says.
        md5: hexadecimal, where the manifest says.
    """

    name: str
    size: int | None = None
    md5: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A complete report that covers a source.

    Args:
        service: the provider's name for such reports.
        manifest: where its manifest is, for people.
        snapshot_at: what happened to the bucket later is not in it.
        format: of its files.
        files: all of them.
        sheet: how its files are written if they are CSV.
        fields: the columns' names where the manifest gives them.
        rows: the least number of rows that the files must have together, where the manifest says.
        notices: what people should know about it.
    """

    service: str
    manifest: str
    snapshot_at: datetime
    format: ReportFormat
    files: tuple[ReportFile, ...]
    sheet: CsvForm = field(default_factory=CsvForm)
    fields: tuple[str, ...] | None = None
    rows: int | None = None
    notices: tuple[str, ...] = ()


class ReportService(Protocol):
    """One provider's reports."""

    @property
    def wanted(self) -> frozenset[str]:
        """The columns to read, as ``column_name`` returns them."""

    @property
    def required(self) -> Mapping[str, tuple[str, ...]]:
        """What every report must have: the field to switch on, and the columns of which one must be there."""

    def newest(self, place: ReportPlace) -> Report:
        """Return the newest report that is complete and covers the source.

        Raises:
            NotFoundError: there is none.
            ListingError: a manifest does not agree with its checksum, or can't be read.
        """

    def rows(self, columns: Columns, form: ReportFormat) -> pa.RecordBatch:
        """Return rows of ``ROW_SCHEMA``: current objects of the source's bucket, and delete markers; keys decoded.

        Raises:
            ValueProblemError: a value can't be read.
        """


class UnfitReportError(Exception):
    """A report is not the one to use: unfinished, of another bucket, or of another prefix. The text is the reason."""


def first_fit(
    candidates: Iterable[_Candidate],
    judge: Callable[[_Candidate], Report],
    *,
    place: ReportPlace,
    source: str,
    wanted: str,
) -> Report:
    """Return the first report that fits.

    Args:
        candidates: the newest first.
        judge: reads one, raises ``UnfitReportError`` if it is not the one.
        place: where the search was.
        source: the source's name.
        wanted: what should be there, for the error text.

    Raises:
        NotFoundError: none fits; the text gives the reasons of the newest ones.
    """
    reasons: list[str] = []
    for candidate in candidates:
        try:
            return judge(candidate)
        except UnfitReportError as unfit:
            reasons.append(str(unfit))
        if len(reasons) == _MOST_CHECKS:
            break
    where, key = place.location(place.start), setting(source)
    if not reasons:
        raise NotFoundError(
            f"There is no inventory report below {where}: none holds {wanted}. The first report takes up to 48 hours "
            f"after it is switched on. Fix `{key}`, or remove it to list the bucket."
        )
    shown = "; ".join(dict.fromkeys(reasons[:5]))
    raise NotFoundError(
        f"None of the {len(reasons)} inventory reports read below {where} can be used for source {source}: {shown}. "
        f"Wait for the next report, fix `{key}`, or remove it to list the bucket."
    )


def read_manifest(place: ReportPlace, name: str, checksum: str | None, *, source: str) -> dict[str, Any]:
    """Read and verify a manifest.

    Args:
        place: where it is.
        name: the manifest.
        checksum: the file that holds its MD5, if the provider writes one.
        source: the source's name.

    Raises:
        ListingError: it does not agree with its checksum, or is not a JSON object.
    """
    data = _read(place, name)
    if checksum is not None:
        said = _read(place, checksum).decode("ascii", "replace").strip().strip('"')
        digest = hashlib.md5(data, usedforsecurity=False).digest()
        if said.lower() != digest.hex() and said != base64.b64encode(digest).decode():
            raise damaged(
                place.location(name), f"its MD5 is {digest.hex()}, but {place.location(checksum)} says {said!r}", source
            )
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise damaged(place.location(name), f"it is not JSON ({error})", source) from None
    if not isinstance(manifest, dict):
        raise damaged(place.location(name), "it is not a JSON object", source)
    return manifest


def damaged(location: str, problem: str, source: str) -> ListingError:
    """Return the error for a file of a report that can't be trusted."""
    return ListingError(
        f"The report's file {location} can't be trusted: {problem}. Nothing of the report was used. Run again, because a new "
        f"report may just be arriving; if it lasts, delete this report so that the one before it is used, or remove "
        f"`{setting(source)}` to list the bucket."
    )


def located(place: ReportPlace, name: str, folder: str, *, source: str) -> tuple[str, int]:
    """Return the whole name and the size of a file that a manifest names.

    Providers name files from the top of the bucket, or beside the manifest. In a copy of a report the top is another, so
    ever shorter ends of the name are searched for below the report's folder.

    Raises:
        NotFoundError: the file is nowhere.
    """
    parts = name.split("/")
    below = [folder + "/".join(parts[start:]) for start in range(len(parts))]
    for candidate in [name, *below] if len(parts) > 1 else [*below, name]:
        size = place.size(candidate)
        if size is not None:
            return candidate, size
    raise missing_file(place.location(name), setting(source))


def _read(place: ReportPlace, name: str) -> bytes:
    data = bytearray()
    for chunk in place.chunks(name):
        data += chunk
        if len(data) > MANIFEST_BYTES:
            raise ListingError(f"{place.location(name)} is longer than {MANIFEST_BYTES:,} bytes: not a manifest.")
    return bytes(data)
