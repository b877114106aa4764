"""Reads the table of an entry into its set of facts, unless that set is of the same files already.

What does not belong here: how files are found (``files.py``), what is in them (``columnar.py``, ``jsonl.py``), and merging
the entries (``facts/metadata``). Polars is imported only from here on: sources without tables never load it.

Rows are sorted once, on disk. What is in the temporary folder at the same time: a copy of one file, if it is in a bucket, and
the rows as text, compressed by lz4 (twice, for a moment, while many runs are merged or names are looked up).
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.errors import UsageError
from registration_pipeline.facts.metadata.value_sets import ROWS_WITHOUT_OBJECT, VALUES_SCHEMA, entry_set_name
from registration_pipeline.facts.reading.progress import claim_reading, clear_away, give_up_claim
from registration_pipeline.facts.sets import FactsWriter, latest_facts
from registration_pipeline.facts.tables.address import table_address
from registration_pipeline.facts.tables.columnar import csv_batches, parquet_batches
from registration_pipeline.facts.tables.columns import TableForm
from registration_pipeline.facts.tables.files import TableFiles
from registration_pipeline.facts.tables.jsonl import jsonl_batches
from registration_pipeline.facts.tables.names import NameJoin
from registration_pipeline.facts.tables.rows import ROW_SCHEMA, RowWriter
from registration_pipeline.facts.tables.settled import Settled, keep_two
from registration_pipeline.ids import rules_digest
from registration_pipeline.inventory.inventory import read_inventory
from registration_pipeline.settings.metadata import FRAME_COLUMN, TableMatch
from registration_pipeline.state.temporary import temporary_space
from registration_pipeline.tables.external_sort import RUN_BYTES, ExternalSort
from registration_pipeline.urls import key_reader, object_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    import pyarrow as pa

    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.facts.tables.files import TableFile, TablePlaces
    from registration_pipeline.inventory.inventory import Inventory
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.settings.metadata import MetadataEntry
    from registration_pipeline.state.store import StateStore

INPUTS: Final = "inputs"
"""The note with the digest of all that the set depends on."""

_FORM: Final = 1
"""Another one where the same files are to give other values: then tables are read again."""

_GROUP_BYTES: Final = 64 << 20
"""Arrow bytes of a row group of values, which may be embeddings."""


def read_table(
    *,
    store: StateStore,
    source: SourceSettings,
    index: int,
    entry: MetadataEntry,
    base_folder: Path,
    places: TablePlaces,
    inventory: Inventory | None,
    clock: Callable[[], datetime],
    run_bytes: int = RUN_BYTES,
) -> FactSet:
    """Return the values of a table's rows by object: the set that is there if files and settings are the same, else a new one.

    Args:
        store: the state.
        source: whose entry it is.
        index: of the entry, from 0.
        entry: with ``table``.
        base_folder: of registration.yaml, where relative paths begin.
        places: give what lists and reads buckets.
        inventory: the latest; only ``matches: name`` needs it.
        clock: gives the aware time.
        run_bytes: Arrow bytes of rows that are sorted in memory at once.

    Raises:
        ConfigurationError: there is no such file or column, or a file is not what its suffix says; names the entry.
        UsageError: the inventory is needed, and there is none.
        HaltError: the files can't be read now, or changed meanwhile.
        StateError: the state can't be read or written, or the temporary folder has no room.
    """
    address = table_address(source, index, entry, base_folder)
    reading = _Reading(store, source, entry, inventory, TableFiles(address, source, places), run_bytes)
    name = entry_set_name(entry)
    assert name is not None
    files = reading.files.find()
    inputs = reading.inputs(files)
    latest = latest_facts(store, source.name, name)
    if latest is not None and latest.notes.get(INPUTS) == inputs:
        return latest
    facts_id = claim_reading(store, source.name, name, clock())
    try:
        with FactsWriter(store, source.name, name, facts_id, VALUES_SCHEMA, bytes_per_group=_GROUP_BYTES) as writer:
            notes = reading.write(files, writer)
            facts = writer.commit(made_at=clock(), notes={INPUTS: inputs, **notes})
    except BaseException:
        give_up_claim(store, source.name, name, facts_id)
        raise
    clear_away(store, source.name, name, facts_id, clock())
    return facts


class _Reading:
    """One reading of a table."""

    def __init__(  # noqa: PLR0917 - made in one place
        self,
        store: StateStore,
        source: SourceSettings,
        entry: MetadataEntry,
        inventory: Inventory | None,
        files: TableFiles,
        run_bytes: int,
    ) -> None:
        self._store, self._source, self._entry, self._inventory = store, source, entry, inventory
        self._by_name = entry.matches is TableMatch.NAME
        if self._by_name and inventory is None:
            raise UsageError(
                f"Source {source.name} has no inventory, which a table with `matches: name` needs: run "
                f"`registration-pipeline inventory {source.name}` first"
            )
        self.files, self._run_bytes = files, run_bytes
        self._form = TableForm(entry, files.key, source.metadata_schema)

    def inputs(self, files: Iterable[TableFile]) -> str:
        """Return the digest of all that the set depends on."""
        source, entry = self._source, self._entry
        is_csv = (entry.table or "").endswith(".csv")
        types = {name: kind.kind.value for name, kind in source.metadata_schema.items()} if is_csv else {}
        rules = {
            "form": _FORM,
            "entry": entry.model_dump(mode="json"),
            "types": types,
            "files": [file.identity for file in files],
            "place": self._place(),
        }
        return rules_digest(rules)

    def _place(self) -> str:
        """Return what the keys of objects depend on besides the rows."""
        if self._entry.matches is TableMatch.URL:
            return object_url(self._source, self._source.location.prefix)
        if self._entry.matches is TableMatch.PATH:
            return self._above()
        return self._inventory.digest if self._by_name and self._inventory is not None else ""

    def _above(self) -> str:
        """Return what paths below the prefix are below: its folder, as for globs."""
        prefix = self._source.location.prefix
        return prefix[: prefix.rfind("/") + 1]

    def write(self, files: list[TableFile], writer: FactsWriter) -> dict[str, Any]:
        """Read the files, write the rows of the set, and return its notes."""
        rows = RowWriter(self._form, self._resolver())
        digests: list[str] = []
        with _temporary_folder() as folder:
            sort = self._sort(folder / "rows")
            for number, file in enumerate(files):
                with self.files.local(file, folder) as (path, digest):
                    digests.append(digest)
                    for batch in self._rows(rows, number, file, path):
                        with temporary_space("A sorted table", folder):
                            sort.add(batch)
            settled = Settled(
                [file.name for file in files], has_frames=self._form.has_frames, config=self._entry.config
            )
            with ExitStack() as stack:
                names = NameJoin(_made(folder / "names"), self._listed()) if self._by_name else None
                tables = sort.tables() if names is None else self._named(names, sort, folder)
                stack.enter_context(temporary_space("A sorted table", folder))
                for batch in settled.batches(tables):
                    writer.write(batch)
        lost = rows.without_object + (names.rows_without_object if names is not None else 0)
        return {
            "files": [{**file.identity, "digest": digest} for file, digest in zip(files, digests, strict=True)],
            "rows": rows.rows,
            ROWS_WITHOUT_OBJECT: lost,
            "objects": settled.objects,
            "duplicates": settled.duplicates,
            **({} if names is None else {"shared_names": names.shared_names}),
        }

    def _sort(self, folder: Path) -> ExternalSort:
        return ExternalSort(_made(folder), ROW_SCHEMA, keep_two, by=("key", "frame"), run_bytes=self._run_bytes)

    def _named(self, names: NameJoin, sort: ExternalSort, folder: Path) -> Iterator[pa.Table]:
        again = self._sort(folder / "found")
        for batch in names.joined(sort.tables()):
            again.add(batch)
        yield from again.tables()

    def _listed(self) -> Iterator[pa.RecordBatch]:
        assert self._inventory is not None
        return read_inventory(self._store, self._inventory, ["key"])

    def _resolver(self) -> Callable[[str], str | None]:
        if self._entry.matches is TableMatch.URL:
            return key_reader(self._source)
        if self._entry.matches is TableMatch.PATH:
            above = self._above()
            return lambda path: above + path
        return lambda key: key

    def _rows(self, rows: RowWriter, number: int, file: TableFile, path: Path) -> Iterator[pa.RecordBatch]:
        suffix, first = (self._entry.table or "").rpartition(".")[2], 1
        if suffix == "jsonl":
            yield from self._lines(rows, number, file, path)
            return
        read = parquet_batches if suffix == "parquet" else csv_batches
        for columns, batch in read(path, file.name, self._form):
            yield rows.of_columns(number, first, columns, batch)
            first += batch.num_rows

    def _lines(self, rows: RowWriter, number: int, file: TableFile, path: Path) -> Iterator[pa.RecordBatch]:
        first, seen = 1, set[str]()
        for objects in jsonl_batches(path, file.name, self._form):
            if first == 1:
                self._form.frames(file.name, is_there=FRAME_COLUMN in objects[0])
            yield rows.of_objects(number, first, objects, seen)
            first += len(objects)
        if first > 1:
            self._form.columns(file.name, sorted(seen))


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="registration-pipeline-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
