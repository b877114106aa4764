"""What the journals of concluded chunks say, gathered in few files, so that a night does not open every entry of every night.

The journal is the truth: a chunk's line counts only while the chunk has exactly the entries that it was made from, and a
summary that is missing, damaged or outdated costs time and nothing else. Whether one is damaged shows at its end, where the
checksum of all its lines is: who has read it asks, and reads again without it. What does not belong here: what entries mean
(``states.py``) and single journals (``journal.py``).

Lines are in the order in which the state lists the journals, so that all are read side by side in constant memory.
"""

from __future__ import annotations

import gzip
import json
import tempfile
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from registration_pipeline.errors import StateConflictError, StateNotFoundError
from registration_pipeline.state.layout import journal_summary_folder, journal_summary_name
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.temporary import temporary_space

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Iterator, Sequence

    from registration_pipeline.state.store import StateStore

    Line = tuple[str, Sequence[str], Sequence[dict[str, Any]]]
    """A chunk, the base names of its entries, and what they say, as JSON has it."""

_DAMAGED = (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error, StateNotFoundError)


class SummaryReader:
    """Reads all summaries forward, chunk by chunk, beginning when it is first asked. A context manager.

    Args:
        store: the state.
        source: its name.
        without: summaries that are not read.
        only: the summaries that are read; None: all.

    Attributes:
        names: of the summaries, the oldest first.
    """

    def __init__(
        self,
        store: StateStore,
        source: str,
        without: Container[str] = (),
        only: Collection[str | None] | None = None,
    ) -> None:
        # Of chunks that are in no summary none is wanted, and then none is searched for.
        present = own_names(store, journal_summary_folder(source)) if only is None or any(only) else ()
        self.names = [name for name in present if name not in without and (only is None or name in only)]
        self._stack = ExitStack()
        # Of two that have the same chunk, the newer one is more likely to have all its entries.
        self._lines = [_Lines(self._stack, store, name) for name in reversed(self.names)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def entries(self, chunk_id: str, names: Sequence[str]) -> tuple[str, list[dict[str, Any]]] | None:
        """Return a summary that has just the entries of those base names, and what they say; None: no summary has.

        Chunks are asked for in the order in which the state lists their folders.
        """
        found = None
        for lines in self._lines:
            line = lines.forward_to(chunk_id)
            if found is None and line is not None and line["names"] == list(names):
                found = lines.name, line["entries"]
        return found

    def damaged(self) -> set[str]:
        """Read what is left of the summaries that were begun, and return those that are not what was written."""
        return {lines.name for lines in self._lines if not lines.is_sound()}


def summarised_entries(store: StateStore, source: str) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Yield of every line of every summary its summary, its chunk and the base names of the chunk's entries."""
    for name in own_names(store, journal_summary_folder(source)):
        with ExitStack() as stack:
            for line in _Lines(stack, store, name).rest():
                yield name, line["chunk_id"], line["names"]


class _Lines:
    """Reads one summary forward; a damaged one has no more lines."""

    def __init__(self, stack: ExitStack, store: StateStore, name: str) -> None:
        self._stack, self._store, self.name = stack, store, name
        self._lines: Iterator[bytes] | None = None
        self._head: dict[str, Any] | None = None
        self._is_sound = True

    def forward_to(self, chunk_id: str) -> dict[str, Any] | None:
        """Return a chunk's line, or None."""
        if self._lines is None:
            self._lines = self._open()
            self._advance()
        while self._head is not None and self._head["chunk_id"] + "/" < chunk_id + "/":
            self._advance()
        return self._head if self._head is not None and self._head["chunk_id"] == chunk_id else None

    def rest(self) -> Iterator[dict[str, Any]]:
        """Yield all lines, of a summary that was not begun."""
        self._lines = self._open()
        self._advance()
        while self._head is not None:
            yield self._head
            self._advance()

    def is_sound(self) -> bool:
        """Read to the end, where the checksum is, unless nothing was read yet; return whether no damage was seen."""
        while self._is_sound and self._head is not None:
            self._advance()
        return self._is_sound

    def _open(self) -> Iterator[bytes]:
        try:
            path = self._stack.enter_context(self._store.local_file(self.name))  # in one request, whatever its size
            self._is_sound = path.stat().st_size > 0  # gzip reads an empty file without complaint
            return iter(self._stack.enter_context(gzip.open(path, "rb")))
        except StateNotFoundError:  # replaced by another process
            return iter(())
        except _DAMAGED:
            self._is_sound = False
            return iter(())

    def _advance(self) -> None:
        try:
            line = next(self._lines or iter(()), None)
            self._head = None if line is None else json.loads(line)
            if self._head is not None and not _is_line(self._head):
                raise ValueError("not a line of a summary")
        except _DAMAGED:
            self._head, self._lines, self._is_sound = None, iter(()), False


def _is_line(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value["chunk_id"], str)
        and isinstance(value["names"], list)
        and isinstance(value["entries"], list)
    )


def write_summary(
    store: StateStore, source: str, lines: Iterable[Line], *, present: Sequence[str], kept: Container[str]
) -> None:
    """Write a new summary and remove those that it replaces. Of two writers one wins, and either's is right.

    Args:
        store: the state.
        source: its name.
        lines: what it says.
        present: the summaries that are there.
        kept: those of them that stay.

    Raises:
        StateError: the state can't be written.
    """
    newest = max(present, default="/0.")
    number = 1 + int(newest.rsplit("/", 1)[-1].split(".")[0])
    with tempfile.TemporaryDirectory(prefix="registration-pipeline-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "summary"
        with (
            temporary_space("The summary of the journal", path),
            path.open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as file,
        ):
            _write_lines(file, lines)
        try:
            store.create_from_file(journal_summary_name(source, number), path)
        except StateConflictError:
            return
    for name in present:
        if name not in kept:
            store.delete(name)


def _write_lines(file: IO[bytes] | gzip.GzipFile, lines: Iterable[Line]) -> None:
    for chunk_id, names, entries in lines:
        line = {"chunk_id": chunk_id, "names": list(names), "entries": list(entries)}
        file.write(json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n")
