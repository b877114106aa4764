"""Any order of changes, kills, lost replies, retries, deletions and moves, and what must hold of upserts at every moment.

What belongs here: what may happen, and the promises, in the words of a model that knows tables, items and what took effect.
The product's own plan and journals are only asked whether anything is under way.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from registration_pipeline.errors import HaltError
from registration_pipeline.manifest.format import UNIT_METADATA_KEY
from registration_pipeline.objects import MediaKind
from registration_pipeline.settings.metadata import OWN_PREFIX
from registration_pipeline.submission.calls.slots import Slots
from registration_pipeline.submission.testing import ScriptedGateway, StartScript
from registration_pipeline.tracking.due import ChunkTask
from registration_pipeline_tests.planned_units import Group, plan_groups
from registration_pipeline_tests.unit.conftest import Crash, CrashingGateway, CrashingStore
from registration_pipeline_tests.upsert_model.fleet import MetadataFleet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registration_pipeline.submission.gateway import RemoteItem

GROUPS = (
    *(Group(MediaKind.IMAGE, f"raw/{name}.jpg", (f"raw/{name}.jpg",)) for name in "abcde"),
    Group(MediaKind.VIDEO, "raw/v.mp4", ("raw/v.mp4",)),
    Group(MediaKind.NIFTI, "raw/n.nii", ("raw/n.nii",)),
    Group(MediaKind.IMAGE_GROUP, "rig x", ("raw/x/2.jpg", "raw/x/0.jpg", "raw/x/1.jpg")),
    Group(MediaKind.DICOM_SERIES, "series y", ("raw/y/0.dcm", "raw/y/1.dcm")),
)
KEYS = [key for group in GROUPS for key in group.keys]
ALONE: dict[str, Any] = {"slots": Slots(1), "ahead": 0}
"""One thread, so that the same story always goes the same way."""
WITH_METADATA = [group for group in GROUPS if group.kind is not MediaKind.NIFTI]

names = st.sampled_from(["weather", "speed", "a b"])
values = st.one_of(
    st.integers(0, 2), st.sampled_from(["sun", "rain"]), st.booleans(), st.lists(st.floats(0, 1), max_size=2)
)
tables = st.dictionaries(names, values, max_size=3)


class Trouble(NamedTuple):
    """What happens while metadata is sent.

    Args:
        starts: of the next upload jobs.
        dies_at: ``write`` or ``start``: the process dies at one; empty: it does not.
        number: of that write or start, from 1.
        moment: before or after it has had its effect.
    """

    starts: list[StartScript]
    dies_at: str
    number: int
    moment: str


troubles = st.builds(
    Trouble,
    st.lists(st.sampled_from([*StartScript]), max_size=3),
    st.sampled_from(["", "start", "write", "write", "write"]),
    st.integers(1, 14),
    st.sampled_from(["before", "after"]),
)


class RecordingGateway(ScriptedGateway):
    """An Encord that notes what was sent last to each item."""

    effects: dict[str, dict[str, Any]]

    def _upsert(self, folder: Sequence[RemoteItem], unit: Mapping[str, Any], urls: tuple[str, ...]) -> None:
        super()._upsert(folder, unit, urls)
        for item in folder:
            if self._urls_of_groups.get(item.item_uuid, (item.url or "",)) == urls:
                self.effects[item.item_uuid] = _own(unit["clientMetadata"])


@dataclass(slots=True)
class Known:
    """What the tables say of an object: ``values``, or a problem, or nothing yet."""

    values: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    is_read: bool = True


class UpsertMachine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = MetadataFleet()
        self.encord = RecordingGateway(clock=self.fleet.time.clock, fails=self._error_of)
        self.effects = self.encord.effects = {}
        self.fleet.encord = self.encord
        self.known = {key: Known() for key in KEYS}
        self.provenance: dict[str, dict[str, Any]] = {}
        self.refused: dict[str, dict[str, Any]] = {}
        self.failing: set[str] = set()
        self.gone: dict[str, set[str]] = {}
        self.seen: set[str] = set()

    def _error_of(self, url: str) -> str | None:
        return "boom" if any(key in url for key in self.failing) else None

    @initialize(
        merges=st.booleans(), seconds=st.sampled_from([0, 50]), failing=st.sets(st.sampled_from(KEYS), max_size=1)
    )
    def begin(self, merges: bool, seconds: float, failing: set[str]) -> None:  # noqa: FBT001 - hypothesis gives names
        self.encord.merges_metadata, self.encord.job_seconds = merges, seconds
        self.failing = failing
        plan_groups(self.fleet, GROUPS, chunk_units=2)
        self.fleet.register(ahead=0)
        self._publish()

    @rule(
        changes=st.dictionaries(st.sampled_from(KEYS), tables, min_size=1, max_size=4),
        spoiled=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["invalid_metadata", None]), max_size=1),
        taken=st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=2),
        comes_back=st.booleans(),
        registers=st.sampled_from([None, None, False, True]),
        troubles=st.lists(troubles, max_size=2),
        is_peaceful=st.booleans(),
        asks=st.booleans(),
    )
    def night(  # noqa: PLR0917
        self,
        changes: dict[str, dict[str, Any]],
        spoiled: dict[str, str | None],
        taken: list[tuple[int, bool]],
        comes_back: bool,  # noqa: FBT001 - hypothesis gives names
        registers: bool | None,  # noqa: FBT001
        troubles: list[Trouble],
        is_peaceful: bool,  # noqa: FBT001
        asks: bool,  # noqa: FBT001
    ) -> None:
        """Tables and items change, chunks may be registered again, and metadata is sent, in trouble or in peace."""
        for key, row in changes.items():
            self.known[key] = Known(row)
        for key, problem in spoiled.items():
            self.known[key] = Known(self.known[key].values, problem, is_read=problem is not None)
        self._publish()
        for place, moves in taken:
            self._take_item(place, moves=moves)
        if comes_back:
            self._folder()[1].extend(self.encord.items.pop("elsewhere", []))
        if registers is not None:
            self._register(is_forced=registers)
        for trouble in troubles:
            self._disturbed(trouble)
        if is_peaceful:
            self._in_peace(failed=asks)

    def teardown(self) -> None:
        """At the end there is always a quiet night."""
        if self.encord.items:
            self._in_peace(failed=True)

    def _take_item(self, place: int, *, moves: bool) -> None:
        """Delete or move an item in Encord."""
        _, found = self._folder()
        if found:
            item = found.pop(place % len(found))
            self.seen.add("moved" if moves else "deleted")
            if moves:
                self.encord.items.setdefault("elsewhere", []).append(item)

    def _register(self, *, is_forced: bool) -> None:
        """Register chunks again: what failed, or by force also what was deleted."""
        self.failing = set()
        tasks = [
            ChunkTask(
                chunk=chunk,
                after_attempt=self.fleet.journal.progress(chunk.chunk_id).attempt,
                is_fresh=True,
                is_forced=is_forced,
            )
            for chunk in self.fleet.chunks
        ]
        self.encord.starts = []
        self.fleet.register(tasks=tasks, ahead=0)

    def _in_peace(self, *, failed: bool) -> None:
        """A night without trouble: each change is sent once, nothing else is, and all of it is there at the end."""
        self.encord.starts = []
        was_under_way = bool(self.fleet.view().under_way())
        was_quarantined = self._kept() if not failed else set[str]()
        expected = Counter(
            item
            for item, group in self._registered().items()
            if item not in was_quarantined and self._differs(item, group)
        )
        before, items = len(self.encord.manifests), self._items()

        self.fleet.upsert(failed=failed, force=failed, max_attempts=50, **ALONE)
        self._note_gone()

        assert self._items() == items, "an upsert made or removed an item"
        if not was_under_way:
            found = self._sent(before)
            assert found == expected, (self._named(found - expected), self._named(expected - found))
            self.seen.add("in peace")
        for item, group in self._registered().items():
            now = self._now(group)
            if now is not None and item not in self._kept():
                assert _shows(_own(self.encord.metadata[item]), now), f"{group.name} does not show its metadata"
        manifests = len(self.encord.manifests)
        self.fleet.upsert(max_attempts=50, **ALONE)
        assert len(self.encord.manifests) == manifests, "nothing was left to send"
        counts = self.fleet.counts()
        assert counts.pending == 0
        rows = self.fleet.upsert_failures()
        assert counts.failed == len(rows) == len({row.key for row in rows})
        assert {row.key for row in rows if row.reason == "invalid_metadata"} == self._invalid()
        planned = {outcome.key: outcome.unit_id for outcome in self.fleet.outcomes()}
        assert {row.chunk_id for row in rows} <= {chunk.chunk_id for chunk in self.fleet.chunks}
        assert all(row.unit_id == planned[row.key] for row in rows)

    @invariant()
    def what_the_pipeline_wrote_of_a_unit_stays(self) -> None:
        """An upsert changes nothing of where an item comes from."""
        for item, found in self.encord.metadata.items():
            own = {name: value for name, value in found.items() if name.startswith(OWN_PREFIX)}
            assert self.provenance.setdefault(item, own) == own

    def _disturbed(self, trouble: Trouble) -> None:
        """Send metadata with replies and requests that are lost, refused or throttled, and perhaps a process that dies."""
        self.encord.starts = list(trouble.starts)
        options: dict[str, Any] = {}
        if trouble.dies_at == "write":
            options["store"] = CrashingStore(self.fleet.store, trouble.number, trouble.moment)
        elif trouble.dies_at == "start":
            options["gateway"] = CrashingGateway(self.encord, trouble.number, trouble.moment)
        items = self._items()
        try:
            self.fleet.upsert(max_attempts=50, **ALONE, **options)
        except Crash:
            self.seen.add(f"killed at a {trouble.dies_at}")
        except HaltError:
            self.seen.add("halted")
        self._note_refusals()
        self._note_gone()
        assert self._items() == items, "an upsert made or removed an item"

    def _publish(self) -> None:
        read = {key: one for key, one in self.known.items() if one.is_read}
        self.fleet.know(
            {key: one.values for key, one in read.items() if one.problem is None},
            problems={key: one.problem for key, one in read.items() if one.problem is not None},
        )

    def _folder(self) -> tuple[str, list[Any]]:
        folder = next(name for name in self.encord.items if name != "elsewhere")
        return folder, self.encord.items[folder]

    def _items(self) -> list[str]:
        return sorted(item.item_uuid for found in self.encord.items.values() for item in found)

    def _registered(self) -> dict[str, Group]:
        """Return the unit of each item that is registered, and is in the folder at the moment."""
        here = {item.item_uuid for item in self._folder()[1]}
        groups = {key: group for group in WITH_METADATA for key in group.keys}
        return {
            outcome.item_uuid or "": groups[outcome.key]
            for outcome in self.fleet.outcomes()
            if outcome.item_uuid is not None and outcome.item_uuid in here and outcome.key in groups
        }

    def _now(self, group: Group) -> dict[str, Any] | None:
        """Return the metadata of a unit now; None: it is not known."""
        known = [self.known[key] for key in group.keys]
        if any(one.problem or not one.is_read for one in known):
            return None
        found: dict[str, Any] = {}
        for one in known:
            found = {**one.values, **found}
        return found

    def _differs(self, item: str, group: Group) -> bool:
        now = self._now(group)
        return now is not None and not _shows(self.effects.get(item, {}), now)

    def _kept(self) -> set[str]:
        """Return the items that wait for a request: they were not in their folder, or what they have now was refused."""
        return {item for items in self.gone.values() for item in items} | {
            item for item, group in self._registered().items() if self.refused.get(item, {}) == self._now(group)
        }

    def _note_gone(self) -> None:
        """Note after an upsert which items were not in their folder: a unit may be registered as another item later."""
        rows = self.fleet.upsert_failures()
        gone = {row.key for row in rows if row.reason == "not_in_encord"}
        # What is invalid has one row, about that; that it is not in its folder is still known.
        gone |= {*self.gone} & {row.key for row in rows if row.reason == "invalid_metadata"}
        now = {outcome.key: outcome.item_uuid for outcome in self.fleet.outcomes() if outcome.item_uuid}
        self.gone = {key: self.gone.get(key, set()) | {now[key]} for key in gone if key in now}

    def _invalid(self) -> set[str]:
        """Return the first objects of registered units of which something is invalid."""
        registered = {outcome.key for outcome in self.fleet.outcomes() if outcome.item_uuid is not None}
        return {
            group.keys[0]
            for group in WITH_METADATA
            if group.keys[0] in registered and any(self.known[key].problem for key in group.keys)
        }

    def _note_refusals(self) -> None:
        """Note with which metadata units were refused by Encord's word alone."""
        refused = {row.key for row in self.fleet.upsert_failures() if row.reason == "manifest_refused"}
        invalid = self._invalid()
        for item, group in self._registered().items():
            now = self._now(group)
            if group.keys[0] in invalid:
                continue
            if group.keys[0] in refused and now is not None:
                self.refused[item] = now
            elif group.keys[0] not in refused:
                self.refused.pop(item, None)

    def _named(self, items: Counter[str]) -> dict[str, object]:
        """Return what there is of items, for the message of a failure."""
        groups: dict[str, str] = {outcome.item_uuid or "": outcome.key for outcome in self.fleet.outcomes()}
        return {f"{groups.get(item)} {count}": self.effects.get(item) for item, count in items.items()}

    def _sent(self, begin: int) -> Counter[str]:
        """Return how often metadata was sent to each item since then."""
        by_unit = {outcome.unit_id: outcome.item_uuid or "" for outcome in self.fleet.outcomes()}
        return Counter(
            by_unit[unit["clientMetadata"][UNIT_METADATA_KEY]]
            for document in map(json.loads, self.encord.manifests[begin:])
            for units in document.values()
            if isinstance(units, list)
            for unit in units
        )


def _own(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if not name.startswith(OWN_PREFIX)}


def _shows(shown: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return all(json.dumps(shown.get(name)) == json.dumps(value) for name, value in now.items()) and (
        now.keys() <= shown.keys()
    )
