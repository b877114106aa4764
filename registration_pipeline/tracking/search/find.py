"""Finds where objects are by whole key, key below the prefix, URL or item UUID: the same for the command and for ``Pipeline``.

What does not belong here: reading rows (``places.py``) and printing them.

Nothing is planned and nothing is asked of the store or of Encord. A key costs the tails of a few files and the row groups that
can hold it; the UUID of an item costs the outcomes of the chunks, one after the other.
"""

from __future__ import annotations

import difflib
import unicodedata
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from registration_pipeline.counted import counted
from registration_pipeline.planning.exclusion import Exclusion
from registration_pipeline.tracking.chunk_list import shown_state
from registration_pipeline.tracking.journal.journal import Journal
from registration_pipeline.tracking.journal.states import JournalEventKind
from registration_pipeline.tracking.search.found import Attempt, FoundObject, Listing, Place
from registration_pipeline.tracking.search.places import KeyedRows
from registration_pipeline.urls import key_reader, object_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore
    from registration_pipeline.tracking.journal.states import JournalEvent, UnitFailure
    from registration_pipeline.tracking.snapshot import SourceSnapshot

_NEIGHBOURS: Final = 200
"""Keys on each side of an unknown one that are compared with it."""

_MOST_NEAREST: Final = 3

_MOST_COUNTED: Final = 100_000
"""Keys below a prefix that are counted: a fraction of a second."""


class ObjectFinder:
    """Finds objects of one source in its state.

    Args:
        store: the state.
        source: its settings.
        snapshot: of its state.
    """

    def __init__(self, store: StateStore, source: SourceSettings, snapshot: SourceSnapshot) -> None:
        self._source, self._snapshot = source, snapshot
        self._rows = KeyedRows(store, snapshot)
        self._journal = Journal(store, source.name)
        self._exclusion = Exclusion(source)
        self._key_of_url = key_reader(source)

    def find(self, asked: Iterable[str]) -> Iterator[FoundObject]:
        """Yield what is known of each object that was asked for, in that order; of an item, one for each of its objects.

        Raises:
            StateCorruptError: a file of the state is damaged.
        """
        for text in asked:
            key = self._known_key(text)
            keys = [key] if key is not None else self._keys_of_item(text)
            yield from (self._found(text, one) for one in keys)
            if not keys:
                yield self._unknown(text)

    def _keys_of_item(self, text: str) -> list[str]:
        try:
            item = str(uuid.UUID(text))
        except ValueError:
            return []
        return self._rows.keys_of_item(item)

    def _known_key(self, text: str) -> str | None:
        """Return the first key that may be meant and that the inventory or a plan has."""
        return next(
            (key for key in self._readings(text) if self._rows.listed(key) or self._rows.chunk_of(key) is not None),
            None,
        )

    def _readings(self, text: str) -> list[str]:
        """Return the whole keys that a text may mean, the likeliest first, each once."""
        prefix = self._source.location.prefix
        url = self._key_of_url(text)
        below = prefix[: prefix.rfind("/") + 1] + text
        return list(dict.fromkeys([*([url] if url else []), text, below]))

    def _found(self, asked: str, key: str) -> FoundObject:
        listed = self._rows.listed(key)
        known: dict[str, Any] = {"asked": asked, "key": key, "listing": self._listing(listed)}
        if listed is not None:
            known["object_url"] = object_url(self._source, key)
        if (chunk_id := self._rows.chunk_of(key)) is not None:
            return self._planned(known, chunk_id, is_listed=listed is not None)
        return self._not_planned(known, key)

    def _listing(self, row: dict[str, Any] | None) -> Listing | None:
        if row is None or self._rows.inventory is None:
            return None
        columns = {name: value for name, value in row.items() if name != "key"}
        return Listing(inventory_id=self._rows.inventory.inventory_id, **columns)

    def _planned(self, known: dict[str, Any], chunk_id: str, *, is_listed: bool) -> FoundObject:
        key, chunk = known["key"], self._snapshot.chunks[chunk_id]
        progress = self._snapshot.progress_of(chunk_id)
        row = self._rows.unit_of(chunk, key) or {}
        outcome = self._rows.outcome(progress.verdict, key) if progress.verdict is not None else None
        state = shown_state(progress.state)
        known |= {
            "chunk_id": chunk_id,
            "chunk_state": state,
            "unit_id": row.get("unit_id"),
            "unit_title": row.get("title"),
            "unit_position": row.get("position"),
            "unit_key": row.get("group_key"),
            "object_url": row.get("object_url") or known.get("object_url"),
            "history": self._history(chunk_id, row.get("unit_index")),
        }
        if outcome is not None:
            known |= {name: outcome[name] for name in ("item_uuid", "reason", "message", "subtask_uuid")}
        is_registered = outcome is not None and outcome["verdict"] != "failed"
        known["is_changed"] = is_registered and is_listed and self._rows.is_changed(key)
        if not is_listed:
            left = "its item stays in Encord" if is_registered else "nothing of it is in Encord"
            said = f"it was planned in chunk {chunk_id}, and the latest inventory does not have it any more; {left}"
            return FoundObject(place=Place.DELETED, explanation=said, **known)
        if outcome is None:
            said = f"its chunk {chunk_id} is {state}; the next sync goes on with it"
            return FoundObject(place=Place.PENDING, explanation=said, **known)
        if is_registered:
            changed = "; the bucket has another object under its key now, which is not sent again"
            said = f"registered by attempt {outcome['attempt']} of chunk {chunk_id}{changed if known['is_changed'] else ''}"
            return FoundObject(place=Place.REGISTERED, explanation=said, **known)
        said = (
            f"attempt {outcome['attempt']} of chunk {chunk_id} did not register it ({outcome['reason']}). Fix the object, "
            f"then run `registration-pipeline submit {self._source.name} --failed`"
        )
        return FoundObject(place=Place.FAILED, explanation=said, **known)

    def _not_planned(self, known: dict[str, Any], key: str) -> FoundObject:
        latest, inventory = self._snapshot.history.latest, self._rows.inventory
        assert inventory is not None
        if latest is None or latest.inventory_id < inventory.inventory_id:
            said = (
                f"inventory {inventory.inventory_id} is not planned yet: `registration-pipeline plan {self._source.name}` "
                "decides about it"
            )
            return FoundObject(place=Place.NOT_PLANNED, explanation=said, **known)
        if (row := self._rows.rejected(key)) is not None:
            known |= {"reason": row["reason"], "message": row["message"], "unit_key": row["group_key"]}
            said = f"rejected by plan {latest.wave_id} ({row['reason']}), before anything was sent"
            return FoundObject(place=Place.REJECTED, explanation=said, **known)
        if (rule := self._exclusion.rule_of(key)) is not None:
            return FoundObject(place=Place.EXCLUDED, explanation=f"left out by {rule}", reason=rule, **known)
        return FoundObject(place=Place.PENDING, explanation=self._why_held(known["listing"]), **known)

    def _why_held(self, listing: Listing) -> str:
        inventory = self._rows.inventory
        assert inventory is not None
        age, least = inventory.started_at - listing.last_modified, self._source.min_age_seconds
        if least and age < timedelta(seconds=least):
            return (
                f"held: it was {max(int(age.total_seconds()), 0):,} s old when it was listed, and min_age_seconds is "
                f"{least:,}; the next sync takes it"
            )
        return (
            "held: it waits for other objects of its unit, or for its header or metadata to be read. "
            f"`registration-pipeline plan {self._source.name} --dry-run` says how many wait for what"
        )

    def _history(self, chunk_id: str, unit_index: int | None) -> tuple[Attempt, ...]:
        attempts: dict[int, list[JournalEvent]] = {}
        for event in self._journal.events(chunk_id):
            attempts.setdefault(event.attempt, []).append(event)
        return tuple(_attempt(events, unit_index) for events in attempts.values())

    def _unknown(self, asked: str) -> FoundObject:
        inventory = self._rows.inventory
        if inventory is None:
            said = f"there is no inventory yet: run `registration-pipeline sync {self._source.name}`"
            return FoundObject(asked=asked, key=asked, place=Place.UNKNOWN, explanation=said)
        readings = self._readings(asked)
        folder, nearest = self._folder(readings)
        if not nearest:
            nearest = self._nearest(readings)
        hint = folder or self._hint(readings, nearest)
        said = f"inventory {inventory.inventory_id} has no such key, and none was ever planned. {hint}"
        return FoundObject(asked=asked, key=asked, place=Place.UNKNOWN, explanation=said, nearest=tuple(nearest))

    def _folder(self, readings: list[str]) -> tuple[str | None, list[str]]:
        """Return what to say of a text that is a folder, and its first keys; None and none: it is not one."""
        for key in readings:
            prefix = key if key.endswith("/") else f"{key}/"
            first, count = self._rows.below(prefix, _MOST_COUNTED)
            if first:
                least = "at least " if count >= _MOST_COUNTED else ""
                return f"It is a prefix, of {least}{counted(count, 'key')} such as {first[0]!r}; give whole keys", first
        return None, []

    def _hint(self, readings: list[str], nearest: list[str]) -> str:
        prefix = self._source.location.prefix
        if nearest:
            return f"Nearest: {', '.join(map(repr, nearest))}"
        if not any(key.startswith(prefix) for key in readings):
            return f"It is outside the prefix {prefix!r} of sources.{self._source.name}.uri"
        return "Check its spelling: keys are case-sensitive. An object that was written since is in the next inventory"

    def _nearest(self, readings: list[str]) -> list[str]:
        """Return keys of the inventory that may be meant: other forms of the same text, and similar ones close by."""
        forms = [
            form
            for key in readings
            for form in (
                unicodedata.normalize("NFC", key),
                unicodedata.normalize("NFD", key),
                unquote(key),
                key.strip(),
            )
        ]
        exact = [form for form in dict.fromkeys(forms) if form not in readings and self._rows.listed(form)]
        close = [
            near
            for key in readings
            for near in difflib.get_close_matches(
                key, self._rows.neighbours(key, _NEIGHBOURS), n=_MOST_NEAREST, cutoff=0.8
            )
        ]
        return list(dict.fromkeys([*exact, *close]))[:_MOST_NEAREST]


def _attempt(events: list[JournalEvent], unit_index: int | None) -> Attempt:
    """Return what one attempt says of a unit.

    Args:
        events: of the attempt, in their order.
        unit_index: of the unit in its chunk; None: it is not known.
    """
    last = events[-1]
    failure = _failure_of(last, unit_index)
    is_verdict = last.kind is JournalEventKind.VERDICT
    return Attempt(
        number=last.attempt,
        at=events[0].at,
        event=last.kind.value,
        job_id=next((event.job_id for event in reversed(events) if event.job_id), None),
        is_registered=failure is None if is_verdict and unit_index is not None else None,
        reason=failure.reason if failure else None,
        message=failure.message if failure else None if is_verdict else last.message,
    )


def _failure_of(event: JournalEvent, unit_index: int | None) -> UnitFailure | None:
    return next((failure for failure in event.failures if failure.unit_index == unit_index), None)
