"""The messages of a source as create-only records in its state: what was said last, and which channel has it.

``<number>.json`` is a message with what is remembered from then on, and the first try to send it; ``<number>-<try>.json``
says who tries once more, ``<number>-<try>-sent.json`` or ``-failed.json`` what became of a try. Creating a name that exists
fails, so of two processes that saw the same thing one sends. What does not belong here: when something is a message
(``rules.py``).
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.errors import StateConflictError, StateCorruptError
from registration_pipeline.notify.incident import IncidentKind
from registration_pipeline.notify.known import KnownFailures
from registration_pipeline.notify.rules import Memory
from registration_pipeline.state.damage import damaged
from registration_pipeline.state.holder import Holder
from registration_pipeline.state.layout import alert_name, alert_try_name, alerts_folder
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.sealed import read_sealed, sealed_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registration_pipeline.state.store import StateStore

MOST_TRIES: Final = 6
GIVE_UP_AFTER: Final = timedelta(hours=24)
"""A message that no channel took for a day is not sent any more: by then there is newer news."""

_FIRST_WAIT: Final = timedelta(minutes=5)
"""After a try that failed; twice as long after each further one."""

_SILENT_AFTER: Final = timedelta(minutes=10)
"""A try that did not say what became of it, of a process that can't be seen from here, is given up. A try takes a minute."""

_NAME: Final = re.compile(r"(\d{8,})(?:-(\d{4,})(?:-(sent|failed))?)?\.json")
SENT: Final = "sent"
FAILED: Final = "failed"


@dataclass(slots=True)
class Tries:
    """What the names of the files say of sending one message.

    Args:
        number: of the message.
        results: by the number of the try, what became of it: ``sent`` (every channel took it), ``failed``, or nothing.
    """

    number: int
    results: dict[int, str] = field(default_factory=lambda: {1: ""})

    @property
    def last(self) -> int:
        """The number of the last try."""
        return max(self.results)

    @property
    def is_over(self) -> bool:
        """Return whether it is not tried again, however much time passes."""
        return SENT in self.results.values() or self.last >= MOST_TRIES


class AlertRecords:
    """The records of a source.

    Args:
        store: the state.
        source: its name.
    """

    def __init__(self, store: StateStore, source: str) -> None:
        self._store, self._source = store, source

    def tries(self) -> list[Tries]:
        """Return every message with its tries, in their order; one listing, nothing is read."""
        folder = alerts_folder(self._source)
        found: dict[int, Tries] = {}
        for name in own_names(self._store, folder):
            match = _NAME.fullmatch(name.removeprefix(folder))
            if match is None:
                continue
            tries = found.setdefault(int(match[1]), Tries(int(match[1])))
            if match[2]:
                attempt = int(match[2])
                tries.results[attempt] = match[3] or tries.results.get(attempt, "")
        return [found[number] for number in sorted(found)]

    def memory(self) -> Memory:
        """Return what is remembered.

        Raises:
            StateError: the state can't be read.
        """
        tries = self.tries()
        if not tries:
            return Memory()
        number = tries[-1].number
        try:
            return _memory_of(self._record(number))
        except (KeyError, TypeError, ValueError) as error:
            name = alert_name(self._source, number)
            raise damaged(self._store, name, f"is not a record of a message ({error})") from error

    def last(self) -> int:
        """Return the number of the last message; 0: there was none."""
        return max((tries.number for tries in self.tries()), default=0)

    def create(self, memory: Memory, document: Mapping[str, Any], now: datetime) -> bool:
        """Record a message, which begins its first try; False: another process took the number.

        Args:
            memory: what is remembered from now on.
            document: the message.
            now: the time.
        """
        record = {
            "source": self._source,
            "number": memory.number,
            "message": dict(document),
            "memory": _memory_json(memory),
            **_claim(now),
        }
        return self._created(alert_name(self._source, memory.number), record)

    def message(self, number: int) -> dict[str, Any]:
        """Return the document of a message."""
        document: dict[str, Any] = self._record(number)["message"]
        return document

    def due_again(self, tries: Tries, now: datetime) -> bool:
        """Return whether a message has to be tried once more now."""
        if tries.is_over:
            return False
        first = self._record(tries.number)
        if now - datetime.fromisoformat(first["at"]) > GIVE_UP_AFTER:
            return False
        if tries.results[tries.last]:
            result = self._result(tries, tries.last)
            ready_at: datetime = datetime.fromisoformat(result["at"]) + _FIRST_WAIT * 2 ** (tries.last - 1)
            return now >= ready_at
        claim = first if tries.last == 1 else read_sealed(self._store, self._try_name(tries.number, tries.last))
        began = datetime.fromisoformat(claim["at"])
        return now - began >= _SILENT_AFTER or Holder.from_json(claim["holder"]).is_dead_for_certain()

    def begin_try(self, number: int, attempt: int, now: datetime) -> bool:
        """Claim one more try; False: another process has it."""
        return self._created(self._try_name(number, attempt), {"source": self._source, **_claim(now)})

    def end_try(self, number: int, attempt: int, sent: Sequence[str], failed: Sequence[str], now: datetime) -> None:
        """Record what became of a try.

        Args:
            number: of the message.
            attempt: of the try.
            sent: the channels that took it.
            failed: those that did not.
            now: the time.
        """
        result = {"source": self._source, "at": now.isoformat(), "sent": list(sent), "failed": list(failed)}
        self._created(self._try_name(number, attempt, FAILED if failed else SENT), result)

    def have(self, tries: Tries) -> set[str]:
        """Return the channels that took a message in earlier tries."""
        results = (self._result(tries, attempt) for attempt, result in tries.results.items() if result)
        return {channel for result in results for channel in result["sent"]}

    def overtaken(self, tries: Tries, later: Sequence[Tries]) -> set[str]:
        """Return the channels that a message comes too late for: they have one of those that ended what it is about, or after.

        Args:
            tries: of the message.
            later: the messages after it, in their order.
        """
        record, channels, is_over = self._record(tries.number), set[str](), False
        for one in later:
            with suppress(StateCorruptError):  # what can't be read has ended nothing
                is_over = is_over or _ends(self._record(one.number), record)
                channels |= self.have(one) if is_over else set()
        return channels

    def forget(self, before: KnownFailures | None, after: KnownFailures | None) -> None:
        """Remove the digests that only an earlier message was compared with."""
        kept = {part.name for part in after.parts} if after else set()
        for part in before.parts if before else ():
            if part.name not in kept:
                self._store.delete(part.name)

    def _record(self, number: int) -> dict[str, Any]:
        name = alert_name(self._source, number)
        document = read_sealed(self._store, name)
        if document.get("number") != number:
            raise damaged(self._store, name, "is a copy of another record")
        return document

    def _try_name(self, number: int, attempt: int, result: str = "") -> str:
        return alert_try_name(self._source, number, attempt, result)

    def _result(self, tries: Tries, attempt: int) -> dict[str, Any]:
        return read_sealed(self._store, self._try_name(tries.number, attempt, tries.results[attempt]))

    def _created(self, name: str, document: Mapping[str, Any]) -> bool:
        data = sealed_json(document)
        try:
            self._store.create(name, data)
        except StateConflictError:
            # A store that repeats a write whose reply was lost finds its own file there.
            return self._store.read(name) == data
        return True


def _ends(later: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Return whether what a message is about is over with a later one; that all is well is over with any other."""
    kind = record["message"]["kind"]
    if kind == IncidentKind.RECOVERED:
        return True
    if kind == IncidentKind.FAILED:
        return later["memory"]["known"] is None
    return record["memory"]["troubles"][-1] not in later["memory"]["troubles"]


def _claim(now: datetime) -> dict[str, Any]:
    """Return who sends. The nonce distinguishes our own write, whose answer was lost, from another's of the same moment."""
    return {"at": now.isoformat(), "holder": Holder.current(now).to_json(), "nonce": secrets.token_hex(8)}


def _memory_json(memory: Memory) -> dict[str, Any]:
    return {
        "troubles": list(memory.troubles),
        "known": memory.known.to_json() if memory.known else None,
        "runs": list(memory.runs),
        "ended_at": memory.ended_at.isoformat() if memory.ended_at else None,
    }


def _memory_of(record: Mapping[str, Any]) -> Memory:
    value = record["memory"]
    return Memory(
        number=int(record["number"]),
        troubles=tuple(value["troubles"]),
        known=KnownFailures.from_json(value["known"]) if value["known"] else None,
        runs=tuple(value["runs"]),
        ended_at=datetime.fromisoformat(value["ended_at"]) if value["ended_at"] else None,
    )
