"""Which objects of a source a rehearsal registers: few, small, and such as a plan would send.

What does not belong here: listing (``inventory/``), the rules themselves (``planning/decision.py``) and sending.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import UsageError
from registration_pipeline.ids import unit_id
from registration_pipeline.planning.decision import Decider
from registration_pipeline.planning.kinds import suffix_of
from registration_pipeline.planning.titles import TitleWriter
from registration_pipeline.planning.units import PlannedObject, PlannedUnit
from registration_pipeline.urls import object_url

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from typing import Any

    import pyarrow as pa

    from registration_pipeline.inventory.lister import ObjectLister
    from registration_pipeline.objects import MediaKind
    from registration_pipeline.settings import SourceSettings

FIRST_UNITS: Final = 5
NEW_UNITS: Final = 2
_ENOUGH: Final = FIRST_UNITS + NEW_UNITS
_PAGES_WORTH: Final = 2_000
"""Objects that are examined even if enough were found before: the smallest of two pages."""
MOST_EXAMINED: Final = 20_000
"""Where the listing is left although too few were found."""
MISSING_NAME: Final = "registration-pipeline-rehearsal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The units of a rehearsal, each one object.

    Args:
        first: registered first, all of one kind.
        new: of the same kind, registered together with some of ``first``.
        others: one of each other kind that was seen.
        missing: an object that does not exist below the source.
        examined: how many objects of the listing were examined.
    """

    first: tuple[PlannedUnit, ...]
    new: tuple[PlannedUnit, ...]
    others: tuple[PlannedUnit, ...]
    missing: PlannedUnit
    examined: int


def choose_units(source: SourceSettings, lister: ObjectLister, *, at: datetime, token: str) -> Choice:
    """List as much of the source as is needed, which is two pages as a rule, and choose.

    Args:
        source: its rules decide what would be sent.
        lister: of the source; left as soon as enough was seen.
        at: what ages are measured against.
        token: makes the name of the missing object one that nothing has.

    Raises:
        UsageError: nothing of what was listed would be sent.
        HaltError: the source can't be listed.
    """
    found, examined = _examine(source, lister, at)
    if not found:
        raise UsageError(
            f"Source {source.name} has no object that a sync would send among the first {examined:,} of its listing, so "
            "nothing can be rehearsed. `plan --dry-run` says what is excluded or rejected; rehearse a source with a narrower "
            "uri, or put a few small files below it."
        )
    counts = {kind: len(objects) for kind, objects in found.items()}
    main = max(counts, key=lambda kind: counts[kind])
    units = [_unit(source, main, placed) for placed in found[main]]
    first, new = _split(units)
    others = (_unit(source, kind, objects[0]) for kind, objects in found.items() if kind != main)
    # With a character that URLs may hold encoded or not, so that it shows how Encord writes the URLs of errors.
    missing = f"{source.location.prefix}{MISSING_NAME}={token}{suffix_of(units[0].objects[0].key)}"
    return Choice(
        first=first,
        new=new,
        others=tuple(others),
        missing=_unit(source, main, PlannedObject(missing, object_url(source, missing), 0)),
        examined=examined,
    )


def _examine(
    source: SourceSettings, lister: ObjectLister, at: datetime
) -> tuple[dict[MediaKind, list[PlannedObject]], int]:
    """Return the smallest objects of each kind, and how many objects were examined."""
    decider = Decider(source, at)
    found: dict[MediaKind, list[PlannedObject]] = defaultdict(list)
    examined = 0
    # Iterators of listers hold connections and threads: closed, they let go of them at once.
    with closing(_generator(lister.list_objects())) as batches:
        for batch in batches:
            rows = batch.slice(0, MOST_EXAMINED - examined)
            examined += rows.num_rows
            decision = decider.decide(rows)
            keys, sizes = (decision.eligible.column(name).to_pylist() for name in ("key", "size"))
            for kind, *entry in zip(decision.kinds, keys, decision.urls, sizes, strict=True):
                found[kind].append(PlannedObject(*entry))
            for kind, objects in found.items():
                found[kind] = sorted(objects, key=attrgetter("size", "key"))[:_ENOUGH]
            is_enough = examined >= _PAGES_WORTH and any(len(objects) >= _ENOUGH for objects in found.values())
            if is_enough or examined >= MOST_EXAMINED:
                break
    return found, examined


def _generator(batches: Iterable[pa.RecordBatch]) -> Any:
    return (batch for batch in batches)


def _split(units: list[PlannedUnit]) -> tuple[tuple[PlannedUnit, ...], tuple[PlannedUnit, ...]]:
    """Return what is registered first and what comes new later; a source of few objects has fewer of both."""
    new = min(NEW_UNITS, len(units) - FIRST_UNITS if len(units) > FIRST_UNITS else len(units) // 2)
    first = min(FIRST_UNITS, len(units) - new)
    return tuple(units[:first]), tuple(units[first : first + new])


def _unit(source: SourceSettings, kind: MediaKind, entry: PlannedObject) -> PlannedUnit:
    # Not the ids of the source's own units: nothing may take an item of a rehearsal for one of them.
    own_id = unit_id(f"{source.name}/rehearsal", kind, entry.key)
    title = TitleWriter(source).of_objects([entry.key], [own_id]).texts[0]
    return PlannedUnit(own_id, kind, title, (entry,), 0)
