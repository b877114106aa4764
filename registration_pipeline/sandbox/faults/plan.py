"""The faults in force: which one strikes a request, how often each has, and what they did; kept in the database.

What does not belong here: striking (gate).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.api.wire import timestamp
from registration_pipeline.sandbox.faults.random_profile import RandomFaults
from registration_pipeline.sandbox.faults.values import Fault
from registration_pipeline.sandbox.jobs.submissions import UNIT_RULE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.sandbox.database import Database

UNIT_FAILURES = "unit_failures"
"""Counted beside the ways: unit errors that ``Fate.UNITS`` caused, so often as they were reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """A request that is to suffer: from a scripted fault (``script_id``) or by chance."""

    fault: Fault
    script_id: int | None
    endpoint: Endpoint
    method: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRecord:
    """A fault that struck. ``committed``: whether the request took effect all the same."""

    at: str
    kind: str
    way: str
    endpoint: str
    method: str
    path: str
    committed: bool
    script_id: int | None


@dataclass(slots=True, kw_only=True)
class ScriptedFault:
    """A scripted fault in force: ``seen`` requests matched it, ``struck`` of them suffered."""

    id: int
    fault: Fault
    seen: int = 0
    struck: int = 0

    @property
    def spent(self) -> bool:
        """Whether it has struck as often as it may."""
        return self.fault.times is not None and self.struck >= self.fault.times


class FaultPlan:
    """One sandbox's faults. Every method may be called from any thread, and may wait for the database.

    Args:
        database: faults in it are in force again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        with database.reading() as connection:
            scripted = connection.execute("SELECT * FROM faults ORDER BY id").fetchall()
            profile = connection.execute("SELECT spec FROM fault_profile").fetchone()
            draws = connection.execute("SELECT * FROM fault_draws").fetchall()
        self._scripted = [
            ScriptedFault(id=row["id"], fault=load_fault(row["spec"]), seen=row["seen"], struck=row["struck"])
            for row in scripted
        ]
        self._profile = load_profile(profile["spec"]) if profile else None
        self._draws = {Endpoint(row["endpoint"]): int(row["drawn"]) for row in draws}

    @property
    def active(self) -> bool:
        """Whether any request can be struck."""
        return self._profile is not None or any(not scripted.spent for scripted in self._scripted)

    @property
    def scripted(self) -> list[ScriptedFault]:
        """The scripted faults, spent ones too, in the order in which they are tried."""
        with self._lock:
            return [
                ScriptedFault(id=entry.id, fault=entry.fault, seen=entry.seen, struck=entry.struck)
                for entry in self._scripted
            ]

    @property
    def profile(self) -> RandomFaults | None:
        """The random profile."""
        return self._profile

    def script(self, *faults: Fault) -> list[int]:
        """Add faults after those in force, and return their ids."""
        with self._lock:
            added = []
            with self._database.writing() as connection:
                for fault in faults:
                    cursor = connection.execute("INSERT INTO faults (spec) VALUES (?)", (dump_fault(fault),))
                    assert cursor.lastrowid is not None
                    added.append(ScriptedFault(id=cursor.lastrowid, fault=fault))
            self._scripted.extend(added)
        return [entry.id for entry in added]

    def randomise(self, profile: RandomFaults | None) -> None:
        """Put a profile in force instead of the one before; its draws begin again from the first."""
        with self._lock:
            with self._database.writing() as connection:
                connection.execute("DELETE FROM fault_profile")
                connection.execute("DELETE FROM fault_draws")
                if profile is not None:
                    connection.execute("INSERT INTO fault_profile (spec) VALUES (?)", (dump_profile(profile),))
            self._profile, self._draws = profile, {}

    def clear(self) -> None:
        """Put no fault in force. What struck so far stays counted."""
        self.randomise(None)
        with self._lock:
            with self._database.writing() as connection:
                connection.execute("DELETE FROM faults")
            self._scripted = []

    def draw(self, *, endpoint: Endpoint, method: str, path: str) -> Strike | None:
        """The strike that this request is to suffer: the first scripted fault that is due, else by chance."""
        with self._lock:
            for entry in self._scripted:
                if entry.spent or not entry.fault.matches(endpoint=endpoint, method=method, path=path):
                    continue
                entry.seen += 1
                due = entry.seen > entry.fault.skip
                entry.struck += due
                self._save(entry)
                if due:
                    return Strike(fault=entry.fault, script_id=entry.id, endpoint=endpoint, method=method, path=path)
            fault = self._chance(endpoint)
        if fault is None:
            return None
        return Strike(fault=fault, script_id=None, endpoint=endpoint, method=method, path=path)

    def _chance(self, endpoint: Endpoint) -> Fault | None:
        profile = self._profile
        kinds = profile.applicable(endpoint) if profile else ()
        if profile is None or not kinds:
            return None
        number = self._draws.get(endpoint, 0)
        self._draws[endpoint] = number + 1
        # Each draw has a generator of its own, so that requests to other endpoints in between change nothing.
        generator = Random(f"{profile.seed}:{endpoint}:{number}")  # noqa: S311 - no secret
        if generator.random() >= profile.probability:
            return None
        kind = generator.choices(kinds, [profile.weight(kind) for kind in kinds])[0]
        return generator.choice(profile.variants(kind))

    def _save(self, entry: ScriptedFault) -> None:
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE faults SET seen = ?, struck = ? WHERE id = ?", (entry.seen, entry.struck, entry.id)
            )

    def give_back(self, strike: Strike) -> None:
        """The strike could not happen: a start that was refused has no job. A scripted fault keeps it for the next one."""
        with self._lock:
            for entry in self._scripted:
                if entry.id == strike.script_id:
                    entry.struck -= 1
                    self._save(entry)

    def record(self, strike: Strike, *, committed: bool) -> int:
        """Write down that a fault struck, and return the record's number."""
        with self._lock, self._database.writing() as connection:
            drawn = self._draws.get(strike.endpoint, 0)
            connection.execute("INSERT OR REPLACE INTO fault_draws VALUES (?, ?)", (strike.endpoint, drawn))
            cursor = connection.execute(
                "INSERT INTO fault_log (at, kind, way, endpoint, method, path, committed, script_id)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(timestamp(), strike.fault.kind, strike.fault.way, strike.endpoint, strike.method, strike.path),
                    *(committed, strike.script_id),
                ),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def settle(self, record: int, *, committed: bool) -> None:
        """Correct whether the request took effect, once that is known."""
        with self._database.writing() as connection:
            connection.execute("UPDATE fault_log SET committed = ? WHERE id = ?", (committed, record))

    def counts(self) -> dict[str, int]:
        """How often each way struck, most often first; and ``unit_failures``."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT way, count(*) AS n FROM fault_log GROUP BY way ORDER BY n DESC, way")
            counted = {row["way"]: int(row["n"]) for row in rows}
            units = connection.execute(
                "SELECT total(strikes) FROM rule_strikes WHERE rule LIKE ?", (f"{UNIT_RULE_PREFIX}%",)
            ).fetchone()[0]
        return {**counted, UNIT_FAILURES: int(units)} if units else counted

    def records(self, limit: int | None = None) -> list[FaultRecord]:
        """What struck, latest first."""
        with self._database.reading() as connection:
            query = "SELECT * FROM fault_log ORDER BY id DESC LIMIT ?"
            rows = connection.execute(query, (-1 if limit is None else limit,)).fetchall()
        names = ("at", "kind", "way", "endpoint", "method", "path", "script_id")
        return [FaultRecord(**{name: row[name] for name in names}, committed=bool(row["committed"])) for row in rows]


@cache
def _adapter(form: type) -> TypeAdapter[Any]:
    return TypeAdapter(form)


def _load(form: type, text: str | bytes) -> Any:
    return _explained(lambda: _adapter(form).validate_json(text))


def _explained(validate: Callable[[], Any]) -> Any:
    try:
        return validate()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise UsageError(f"fault: {place}: {first['msg']}") from error


def load_fault(text: str | bytes) -> Fault:
    """Read a fault from JSON.

    Raises:
        UsageError: naming the key that is wrong.
    """
    fault: Fault = _load(Fault, text)
    return fault


def load_profile(text: str | bytes) -> RandomFaults:
    """Read a random profile from JSON.

    Raises:
        UsageError: naming the key that is wrong.
    """
    profile: RandomFaults = _load(RandomFaults, text)
    return profile


def dump_fault(fault: Fault) -> str:
    """A fault as JSON, without what is as usual."""
    return _adapter(Fault).dump_json(fault, exclude_defaults=True).decode()


def dump_profile(profile: RandomFaults) -> str:
    """A random profile as JSON, without what is as usual."""
    return _adapter(RandomFaults).dump_json(profile, exclude_defaults=True).decode()
