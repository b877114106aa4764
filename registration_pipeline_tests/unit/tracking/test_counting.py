"""Every object is in exactly one place after every step, and the counts are those of a model that looks at each object."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registration_pipeline.submission.testing import StartScript
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.latest_view import view_of_latest
from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline.tracking.status import source_status
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from datetime import datetime

MIN_AGE = 100
HOSTILE = " +%#?&\"',;=*[]!\\\n\r\t\x01\x7fé😀e\u0301\u2028A~0"
KNOWN_SUFFIXES = [".jpg", ".JPG", ".mp4", ".nii"]

keys = st.builds(
    lambda folder, name, suffix: f"raw/{folder}{name}{suffix}",
    st.sampled_from(["", "", "", "a b//", "skip/"]),
    st.text(HOSTILE, min_size=1, max_size=2),
    st.sampled_from([*KNOWN_SUFFIXES * 3, ".exe", "", "/"]),
)
objects = st.fixed_dictionaries(
    {
        "size": st.sampled_from([10] * 9 + [0]),
        "storage_class": st.sampled_from([None] * 9 + ["GLACIER"]),
        "e_tag": st.sampled_from(["one", "two"]),
    }
)
changes = st.tuples(
    st.just("change"), st.dictionaries(keys, objects, max_size=6), st.lists(st.integers(0, 30), max_size=8)
)
runs = st.tuples(
    st.just("register"),
    st.booleans(),
    st.sampled_from([{0}, {1}, {0, 1}, {2}, set()]),
    st.lists(st.sampled_from([StartScript.ACCEPT, StartScript.LOSE_REPLY, StartScript.LOSE_REQUEST]), max_size=3),
    st.one_of(st.none(), st.tuples(st.integers(1, 12), st.sampled_from(["before", "after"]))),
)
others = st.sampled_from([("plan",), ("inventory",), ("age",), ("rules", True), ("rules", False)])
steps = st.lists(st.one_of(changes, changes, runs, runs, others, others), max_size=6).map(
    lambda drawn: [("plan",), *drawn, ("plan",)]
)
sizes = st.tuples(st.integers(1, 5), st.sampled_from([0, 3]))


@dataclass
class Model:
    """What every single object should be, computed without any code of the product."""

    include_jpg_only: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    """ETag at planning, of every key that was ever planned."""
    registered: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    accepted: dict[str, datetime] = field(default_factory=dict)
    """When what had been refused before was sent again and accepted: whatever the bucket held then is in Encord."""
    listed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the newest inventory holds."""
    listed_at: datetime | None = None
    undecided: dict[str, str] = field(default_factory=dict)
    """Of the keys of the planned inventory that are in no chunk: excluded, rejected or held."""
    counted: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the planned inventory holds."""

    def plan(self) -> None:
        self.counted, self.undecided = self.listed, {}
        for key, facts in self.listed.items():
            if key not in self.tags:
                place = self._place(key, facts)
                if place == "new":
                    self.tags[key] = facts["e_tag"]
                else:
                    self.undecided[key] = place

    def _place(self, key: str, facts: dict[str, Any]) -> str:
        if key.startswith("raw/skip/") or (self.include_jpg_only and not key.endswith(".jpg")):
            return "excluded"
        if not key.endswith(tuple(KNOWN_SUFFIXES)) or not facts["size"] or facts["storage_class"] == "GLACIER":
            return "rejected"
        assert self.listed_at is not None
        return "held" if (self.listed_at - facts["last_modified"]).total_seconds() < MIN_AGE else "new"

    def register(self, failing: set[str], at: datetime, *, retry_failed: bool) -> None:
        sent = set(self.tags) - self.registered - (set() if retry_failed else self.failed)
        self.accepted |= dict.fromkeys(sent & self.failed - failing, at)
        self.registered |= sent - failing
        self.failed = (self.failed | sent & failing) - self.registered

    def counts(self) -> dict[str, int]:
        places = list(self.undecided.values())
        present = set(self.counted)
        changed = {key for key in present & self.registered if self._differs(key)}
        return {
            "objects": len(self.counted),
            "excluded": places.count("excluded"),
            "rejected": places.count("rejected"),
            "registered": len(present & self.registered),
            "pending": places.count("held") + len(present & set(self.tags) - self.registered - self.failed),
            "failed": len(present & self.failed),
            "changed": len(changed),
            "deleted": len(self.registered - present),
        }

    def _differs(self, key: str) -> bool:
        facts, accepted = self.counted[key], self.accepted.get(key)
        return facts["e_tag"] != self.tags[key] and (accepted is None or facts["last_modified"] > accepted)


class Rehearsal:
    """A fleet and its model, moved on together."""

    def __init__(self, fleet: Any, crash: Any, crashing_store: Any) -> None:
        self.fleet, self.model, self.crash, self.crashing_store = fleet, Model(), crash, crashing_store

    def take(self, step: Any) -> None:
        getattr(self, step[0])(*step[1:])

    def change(self, put: dict[str, dict[str, Any]], deleted: list[int]) -> None:
        for key, facts in put.items():
            self.fleet.put(key, **facts)
        for index in deleted:
            if self.fleet.objects:
                del self.fleet.objects[sorted(self.fleet.objects)[index % len(self.fleet.objects)]]
        self.fleet.time.sleep(2)  # a listing leaves out fractions of a second

    def age(self) -> None:
        self.fleet.time.sleep(MIN_AGE)

    def rules(self, jpg_only: bool) -> None:  # noqa: FBT001 - drawn by the test
        self.model.include_jpg_only = jpg_only
        self.fleet.configure(**options(chunk_size=self.fleet.source.chunk_size.images, jpg_only=jpg_only))
        self.fleet.plan()
        self.model.plan()

    def inventory(self) -> None:
        """Take an inventory and leave it unplanned for now; the view has to count it all the same."""
        self.fleet.take_inventory()
        self.model.listed = {key: dict(facts) for key, facts in self.fleet.objects.items()}
        self.model.listed_at = self.fleet.time.clock()
        before = list(self.fleet.store.names(""))
        read = read_snapshot(self.fleet.store, "fleet")
        with view_of_latest(self.fleet.store, self.fleet.source, read) as (view, snapshot):
            status = source_status(view, "fleet", snapshot)
            failures = sum(1 for _ in source_failures(view, "fleet", snapshot))
        assert list(self.fleet.store.names("")) == before
        # Planning is due anyway; it has to come to what the view said.
        self.fleet.plan()
        self.model.plan()
        assert counts_of(status) == self.model.counts()
        assert failures == status.rejected + status.failed

    def plan(self) -> None:
        self.fleet.take_inventory()
        self.fleet.plan()
        self.model.listed = {key: dict(facts) for key, facts in self.fleet.objects.items()}
        self.model.listed_at = self.fleet.time.clock()
        self.model.plan()

    def register(self, retry_failed: bool, digits: set[int], starts: Any, crash_at: Any) -> None:  # noqa: FBT001
        url_of = {entry.object_url: entry.key for unit in self.fleet.units() for entry in unit.objects}
        failing = {url for url in url_of if sum(url.encode()) % 3 in digits}
        self.fleet.encord.fails = lambda url: "corrupt" if url in failing else None
        self.fleet.encord.starts = list(starts)
        began = self.fleet.time.clock()
        if crash_at:
            with suppress(self.crash):
                store = self.crashing_store(self.fleet.store, *crash_at)
                self.fleet.register(store=store, retry_failed=retry_failed)
            self.check_identity()
        self.fleet.register_until_done(retry_failed=retry_failed, settle_seconds=5, max_in_flight=2)
        self.model.register({url_of[url] for url in failing}, began, retry_failed=retry_failed)

    def check_identity(self) -> None:
        status = self.fleet.status()
        assert status.adds_up
        failures = list(source_failures(self.fleet.store, "fleet"))
        assert len(failures) == status.rejected + status.failed
        assert len({row.key for row in failures}) == len(failures)

    def check(self) -> None:
        self.check_identity()
        assert counts_of(self.fleet.status()) == self.model.counts()
        urls = self.fleet.encord.urls()
        url_of = {entry.key: entry.object_url for unit in self.fleet.units() for entry in unit.objects}
        assert sorted(urls) == sorted(url_of[key] for key in self.model.registered)


def counts_of(status: Any) -> dict[str, int]:
    return {name: getattr(status, name) for name in Model().counts()}


def options(*, chunk_size: int, jpg_only: bool) -> dict[str, Any]:
    return {
        "chunk_size": dict.fromkeys(("images", "videos", "nifti"), chunk_size),
        "include": ["*.jpg"] if jpg_only else [],
        "exclude": ["**/skip/**"],
        "min_age_seconds": MIN_AGE,
    }


@pytest.fixture(scope="session")
def rehearsal_of(new_fleet: Any, crash: Any, crashing_store: Any) -> Any:
    def make(chunk_size: int, job_seconds: float) -> Rehearsal:
        fleet = new_fleet(encord={"job_seconds": job_seconds}, **options(chunk_size=chunk_size, jpg_only=False))
        return Rehearsal(fleet, crash, crashing_store)

    return make


@settings(max_examples=examples(6, thorough=120), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(first=st.dictionaries(keys, objects, min_size=3, max_size=12), drawn=steps, sizes=sizes)
def test_every_object_is_in_exactly_one_place_after_every_step(
    rehearsal_of: Any, first: Any, drawn: Any, sizes: tuple[int, float]
):
    rehearsal = rehearsal_of(*sizes)
    rehearsal.change(first, [])
    rehearsal.age()
    for step in drawn:
        rehearsal.take(step)
        rehearsal.check()
