"""What one kind of reading is: the set of facts that it makes, and how one object is read.

What does not belong here: reading many objects (``reading.py``), and any kind itself: each has its package beside this one.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from registration_pipeline.facts.sets import latest_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from registration_pipeline.facts.reader import ObjectReader, StoredObject
    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.state.store import StateStore

COLUMNS_NOTE: Final = "columns"
"""The note of a set that names its columns: a set with others is not read."""

VERSION_COLUMNS: Final = ("e_tag", "size", "last_modified")
"""That say as which version an object was read."""


WAITING: Final = "waiting"
"""The ``problem`` of a row that says of an object only that it is held: it could not be read for a reason that passes."""


class Fact(Protocol):
    """What was read of one object."""

    @property
    def bytes_read(self) -> int:
        """Bytes of it that came from the store."""


T = TypeVar("T", bound=Fact)


def _itself(item: StoredObject) -> StoredObject:
    return item


def _permission(reader: ObjectReader) -> str:
    return reader.permission


@dataclass(frozen=True, slots=True, kw_only=True)
class FactKind(Generic[T]):
    """One kind of reading.

    Args:
        name: of its set of facts, e.g. ``headers``.
        what: is read, in the plural, for messages.
        schema: of the set: ``FACTS_KEYS`` first, then at least the columns of ``version`` and ``problem``.
        read: returns what one object says. Raises ObjectReadError and HaltError as its reader does.
        unreadable: what is written about an object that can't be read; the message says why.
        waiting: the same for one that can't be read for a reason that passes, with the problem ``WAITING``; None: it gets no
            row.
        rows: returns rows of the schema: the objects as they were listed, and what was read of each, in the same order.
        retried: the values of ``problem`` that don't count as known: such objects are read again the next time.
        target: the object that is read for a candidate, if it is not the candidate itself.
        version: the columns of the set with the ETag, size and time of what was read.
        is_timed: what was read may change while the ETag stays the same; another time is another version, too.
        range_bytes: of the objects that are read together, where they are read whole; None: few bytes of each.
        permission: what reading needs.
        still_counts: which known rows count although ``problem`` lets them: for what is read otherwise once settings change.
            Rows without a key are rows of nothing.
        session: a context around the whole reading.
    """

    name: str
    what: str
    schema: pa.Schema
    read: Callable[[ObjectReader, StoredObject], T]
    unreadable: Callable[[str], T]
    rows: Callable[[Sequence[StoredObject], Sequence[T]], pa.RecordBatch]
    retried: frozenset[str]
    waiting: Callable[[str], T] | None = None
    target: Callable[[StoredObject], StoredObject] = _itself
    version: tuple[str, str, str] = VERSION_COLUMNS
    is_timed: bool = False
    range_bytes: int | None = None
    permission: Callable[[ObjectReader], str] = _permission
    still_counts: Callable[[pa.RecordBatch], pa.BooleanArray] | None = None
    session: Callable[[], AbstractContextManager[None]] = nullcontext


def latest_reading(store: StateStore, source: str, name: str, schema: pa.Schema) -> FactSet | None:
    """Return the last committed reading of a kind; None: there is none, or it has other columns.

    Args:
        store: the state.
        source: its name.
        name: of the kind.
        schema: of the kind.

    Raises:
        StateCorruptError: its commit marker is damaged.
    """
    facts = latest_facts(store, source, name)
    return facts if facts is not None and facts.notes.get(COLUMNS_NOTE) == schema.names else None
