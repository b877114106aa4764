"""What the folder of a source held before the source's first upload: listed once, kept in the state by what finds it.

What belongs here is finding out and looking up; that a chunk of which everything is there is not sent is in ``chunk.py``. A
folder that was empty then has nothing here, and costs no chunk a request.

An item of one object is found by its URL. A group shows none: it is found by the digest of its objects' URLs, which is in the
metadata of those that the pipeline registered. Of all others it is asked what they consist of, which costs a request for each.
The id of a unit finds nothing here: it does not say of which objects the unit consisted.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.errors import PermanentError, StateConflictError, StoppedError
from registration_pipeline.ids import objects_digest
from registration_pipeline.objects import KINDS
from registration_pipeline.state.layout import COMMIT_MARKER, prior_items_folder
from registration_pipeline.state.markers import FileSet, read_marker
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.parquet import ParquetPartWriter, Part
from registration_pipeline.state.temporary import temporary_space
from registration_pipeline.submission.unit_errors import decoded
from registration_pipeline.tables.external_sort import ExternalSort
from registration_pipeline.tables.part_reader import GroupReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from registration_pipeline.planning.units import PlannedUnit
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.gateway import ItemPage, RegistrationGateway
    from registration_pipeline.submission.target import Target
    from registration_pipeline.tracking.journal.journal import FoldedChunk

PRIOR_ITEMS_SCHEMA: Final = pa.schema(
    [pa.field("url", pa.string(), nullable=False), pa.field("item_uuid", pa.string(), nullable=False)]
)
"""Sorted by ``url``: that of an item, without its percent-encoding; of a group ``objects:`` and the digest of the
URLs of its objects (``ids.objects_digest``)."""

MOST_OPENED: Final = 1_000
"""Groups that are asked what they consist of, one request each, because their metadata does not say it."""

_OBJECTS: Final = "objects:"
_SORT_BYTES: Final = 32 << 20
_ROWS_PER_GROUP: Final = 8_192
"""A chunk of a thousand neighbours reads one or two groups."""
_PAGES_PER_NOTICE: Final = 500
_ROWS: Final = GroupReader(PRIOR_ITEMS_SCHEMA.names)


@dataclass(frozen=True, slots=True)
class PriorItems:
    """The items that a folder held before the first upload. Safe to share between threads.

    Args:
        parts: rows of ``PRIOR_ITEMS_SCHEMA``.
    """

    store: StateStore
    parts: tuple[Part, ...]

    def of(self, units: Sequence[PlannedUnit]) -> dict[str, str]:
        """Return the item UUIDs of units, by unit id. Whether the items still exist is not known.

        Raises:
            StateCorruptError: a part is missing or unreadable.
        """
        groups = [unit for unit in units if KINDS[unit.kind].is_group]
        names = (
            {_name_of(entry.object_url for entry in unit.objects): unit.unit_id for unit in groups},
            {decoded(unit.objects[0].object_url): unit.unit_id for unit in units if not KINDS[unit.kind].is_group},
        )
        found: dict[str, str] = {}
        for units_by_name in filter(None, names):
            for unit_id, item_uuid in self._items_of(units_by_name):
                found.setdefault(unit_id, item_uuid)
        return found

    def _items_of(self, units_by_name: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Yield unit ids and items; a chunk of singles are neighbours here, the groups of one are anywhere."""
        first, last, wanted = min(units_by_name), max(units_by_name), pa.array(list(units_by_name), pa.string())
        for part in self.parts:
            for table in _ROWS.groups(self.store, part, first_key=first, last_key=last):
                rows = table.filter(pc.is_in(table.column("url"), wanted))
                for url, item_uuid in zip(
                    rows.column("url").to_pylist(), rows.column("item_uuid").to_pylist(), strict=True
                ):
                    yield units_by_name[url], item_uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorItemsFinder:
    """Finds out what a folder held before the first upload, or reads what was found then.

    Args:
        source: the source's name.
        url_prefix: what the URLs of the source's objects begin with.
        has_sent: returns whether anything of the source was sent to the folder before; asked only if it matters.
        notify: called with texts for people.
    """

    store: StateStore
    source: str
    target: Target
    url_prefix: str
    gateway: RegistrationGateway
    retry: RetryPolicy
    has_sent: Callable[[], bool]
    notify: Callable[[str], None]

    def find(self) -> PriorItems | None:
        """Return what the folder held; None: nothing of the source.

        Call it under the lease: it writes to the state.

        Raises:
            HaltError: the folder can't be listed, or another process does it.
            StateError: the state or the temporary folder can't be read or written.
        """
        if self.target.is_new:
            return None
        folder = prior_items_folder(self.source, self.target.folder_uuid)
        parts = self._stored(folder)
        if parts is None:
            parts = () if self.has_sent() else self._list_once(folder)
        return PriorItems(self.store, parts) if parts else None

    def _list_once(self, folder: str) -> tuple[Part, ...]:
        page = self._page(None)
        if not page.items and page.next_token is None:
            return ()
        where = f"Encord folder {self.target.folder_uuid}"
        self.notify(
            f"{where} is not empty, and nothing of {self.source} was sent to it before. It is listed once, so that what it "
            "holds of this source is not registered again"
        )
        files, counts = (
            FileSet(self.store, folder),
            dict.fromkeys(("items", "of_source", "groups", "opened", "not_opened"), 0),
        )
        with (
            tempfile.TemporaryDirectory(prefix="registration-prior-", ignore_cleanup_errors=True) as name,
            temporary_space("The listing of the folder", Path(name)),
        ):
            rows = ExternalSort(Path(name), PRIOR_ITEMS_SCHEMA, by=("url",), run_bytes=_SORT_BYTES)
            for batch in self._batches(page, counts):
                rows.add(batch)
            parts = _write(files, rows)
        try:
            names = {"source": self.source, "folder_uuid": self.target.folder_uuid}
            files.commit({**names, **counts, "parts": [part.to_json() for part in parts]})
        except StateConflictError as error:
            return self._listed_by_another(folder, error)
        self._clear_strays(folder, parts)
        self.notify(
            f"{where} held {counts['items']:,} items before the first upload, {counts['of_source']:,} of them with URLs of "
            f"{self.source}{_said_of_groups(counts)}. What is of this source, with exactly the objects "
            "that are planned, is adopted; the rest is sent"
        )
        return parts

    def _listed_by_another(self, folder: str, error: StateConflictError) -> tuple[Part, ...]:
        """Return what another process found, which listed the folder while this one had lost its lease."""
        parts = self._stored(folder)
        if parts is None:
            raise StoppedError(
                f"Another process lists Encord folder {self.target.folder_uuid} for {self.source} ({error}). Run again when "
                "it has ended."
            ) from error
        return parts

    def _clear_strays(self, folder: str, parts: Sequence[Part]) -> None:
        """Remove what processes left that ended before their commit; not earlier, for another one may be about to commit."""
        kept = {folder + COMMIT_MARKER, *(part.name for part in parts)}
        for name in {*own_names(self.store, folder)} - kept:
            self.store.delete(name)

    def _stored(self, folder: str) -> tuple[Part, ...] | None:
        marker = read_marker(self.store, folder)
        return None if marker is None else tuple(map(Part.from_json, marker["parts"]))

    def _batches(self, page: ItemPage, counts: dict[str, int]) -> Iterator[pa.RecordBatch]:
        """Yield the source's items, counting; a page that fails is asked for again, not the whole listing."""
        prefix, pages = decoded(self.url_prefix), 0
        while True:
            rows = [(decoded(_text(item.url)), item.item_uuid) for item in page.items if item.url]
            rows = [row for row in rows if row[0].startswith(prefix)]
            counts["items"] += len(page.items)
            counts["of_source"] += len(rows)
            rows += self._groups(page, prefix, counts)
            if rows:
                yield pa.RecordBatch.from_arrays(
                    list(map(pa.array, zip(*rows, strict=True))), schema=PRIOR_ITEMS_SCHEMA
                )
            if page.next_token is None:
                return
            page, pages = self._page(page.next_token), pages + 1
            if pages % _PAGES_PER_NOTICE == 0:
                self.notify(f"listed {counts['items']:,} items of Encord folder {self.target.folder_uuid}")

    def _groups(self, page: ItemPage, prefix: str, counts: dict[str, int]) -> list[tuple[str, str]]:
        """Return what finds the groups of a page. Whether one is of this source is seen only when a unit is searched for."""
        rows: list[tuple[str, str]] = []
        for item in page.items:
            if item.url:
                continue
            if item.objects:
                name: str | None = f"{_OBJECTS}{_text(item.objects)}"
            else:
                name = self._opened(item.item_uuid, prefix, counts)
            if name:
                rows.append((name, item.item_uuid))
        counts["groups"] += len(rows)
        return rows

    def _opened(self, item_uuid: str, prefix: str, counts: dict[str, int]) -> str | None:
        """Ask what an item consists of; None: not of objects of the source, or not asked any more."""
        if counts["opened"] >= MOST_OPENED:
            counts["not_opened"] += 1
            return None
        counts["opened"] += 1
        folder = self.target.folder_uuid
        try:
            children = self.retry.call(f"opening item {item_uuid}", lambda: self.gateway.child_items(folder, item_uuid))
        except PermanentError:
            return None  # how Encord answers for an item of another kind is not documented
        urls = [_text(child.url) for child in children or ()]
        return _name_of(urls) if urls and all(decoded(url).startswith(prefix) for url in urls) else None

    def _page(self, token: str | None) -> ItemPage:
        folder = self.target.folder_uuid
        return self.retry.read(f"listing folder {folder}", lambda: self.gateway.items_page(folder, token))


def was_sent_to(folder_uuid: str, journals: Mapping[str, FoldedChunk]) -> bool:
    """Return whether a chunk was sent to the folder, or was about to be; what an audit adopted was not."""
    intents = (folded.progress.first_intent for folded in journals.values())
    # Only an adoption gives a reason for its intent.
    return any(intent is not None and intent.folder_uuid == folder_uuid and not intent.message for intent in intents)


def _write(files: FileSet, rows: ExternalSort) -> tuple[Part, ...]:
    with ParquetPartWriter(
        files, PRIOR_ITEMS_SCHEMA, rows_per_group=_ROWS_PER_GROUP, distinct=PRIOR_ITEMS_SCHEMA.names
    ) as writer:
        for table in rows.tables():
            for batch in table.to_batches():
                writer.write(batch)
        return writer.finish()


def _name_of(urls: Iterable[str]) -> str:
    """Return what finds a group by the URLs of its objects, in whatever order it lists them."""
    return f"{_OBJECTS}{objects_digest(urls)}"


def _said_of_groups(counts: Mapping[str, int]) -> str:
    """Return what the notice says of groups, if there were any."""
    said = (
        f", and {counts['groups']:,} groups, sequences or series that may be of any source" if counts["groups"] else ""
    )
    if counts["not_opened"]:
        said += (
            f". Of {counts['not_opened']:,} more it was not asked what they consist of, because the limit of {MOST_OPENED:,} "
            "such requests was reached; `registration-pipeline audit` shows them afterwards"
        )
    return said


def _text(value: str | None) -> str:
    """Return a foreign text as one that can be written: JSON may hold halves of surrogate pairs."""
    return (value or "").encode("utf-8", "backslashreplace").decode()
