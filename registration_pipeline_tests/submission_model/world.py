"""A bucket, a state, an Encord and processes, and what must hold of them at every moment.

What belongs here: the promises, told without the product's own reading of its journal. What happens is up to ``machine.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from obstore.store import MemoryStore

from registration_pipeline.manifest.render import render_manifest
from registration_pipeline.objects import MediaKind
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.cancel import cancel_chunk
from registration_pipeline.submission.gateway import RemoteItem
from registration_pipeline.tracking.due import due_tasks, failed_tasks, named_tasks
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.journal.states import ONE_TRY
from registration_pipeline.tracking.outcomes import read_outcomes
from registration_pipeline.tracking.repairs import repaired_chunks
from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline.tracking.status import chunk_statuses, source_status
from registration_pipeline_tests.submission_model.bucket import Bucket
from registration_pipeline_tests.submission_model.hostile_encord import HostileEncord
from registration_pipeline_tests.submission_model.process import Killed, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from registration_pipeline.planning.units import ChunkUnits
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.submission.result import ChunkResult
    from registration_pipeline.tracking.due import ChunkTask
    from registration_pipeline.tracking.status import SourceStatus
    from registration_pipeline_tests.submission_model.variants import Variant

SETTLE_SECONDS = 120.0
MAX_ATTEMPTS = 3
_MOST_ACTS = 5_000
_MAY_GO = (
    "/prior_items/",
    "/lease/",
    "/failures/",
    "/inventory/",
    "/inventory_writers/",
    "/plan/",
    "/census/",
    "/ledger/",
)


class WatchedStore:
    """The state, which nothing may be taken from but leases and leftovers.

    Args:
        inner: where it lies.
    """

    def __init__(self, inner: Any) -> None:
        self.inner, self.writes = inner, 0

    def create(self, name: str, data: bytes) -> None:
        self.inner.create(name, data)
        self.writes += 1

    def create_from_file(self, name: str, path: Path) -> None:
        self.inner.create_from_file(name, path)
        self.writes += 1

    def delete(self, name: str) -> None:
        assert any(place in name for place in _MAY_GO), f"{name} was deleted"
        self.inner.delete(name)
        self.writes += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class DyingStore:
    """The state as a process sees it that is killed before the nth write."""

    def __init__(self, inner: Any, left: int) -> None:
        self.inner, self.left = inner, left

    def __getattr__(self, name: str) -> Any:
        self.left -= name.startswith("create")
        if not self.left:
            raise Killed
        return getattr(self.inner, name)


class World:
    """Everything that processes share."""

    def __init__(self, fleet_type: Any, variant: Variant, **options: Any) -> None:
        self.variant = variant
        self.store = WatchedStore(BucketStateStore(MemoryStore(), "memory://state"))
        groups = [{"match": "rig/**", "as": "image_group", "by": "directory"}]
        self._options = {"exclude": ["**/skip/**"], "groups": groups, **options}
        self.fleet = fleet_type(store=self.store, **self._options)
        self.encord = HostileEncord(clock=self.fleet.time.clock, gone=self._is_gone)
        self.fleet.encord = self.encord
        self.bucket = Bucket(seen=self.encord.seen)
        self.processes: list[Process] = []
        self.results: list[ChunkResult] = []
        self.write_faults: list[str] = []
        self.seen: set[str] = self.encord.seen
        self.chunks: dict[str, PlannedChunk] = {}
        self.units: dict[str, ChunkUnits] = {}
        self.key_of: dict[str, str] = {}
        self._events: dict[str, dict[str, Any]] = {}
        self._outcomes: dict[str, dict[str, bool]] = {}
        self._checked: tuple[int, int] | None = None
        self.is_filled = False

    def _is_gone(self, url: str) -> bool:
        return self.key_of[url] not in self.fleet.objects

    def tell(self, text: str) -> None:
        """Take a notice."""
        for words in (
            "may or may not have reached",
            "has been pending",
            "is cancelled",
            "is being submitted by",
            "is not empty",
        ):
            if words in text:
                self.seen.add(f"told: {words}")

    def pass_time(self, seconds: float) -> None:
        """Let time pass for everybody; who is not frozen gives signs of life."""
        while seconds > 0:
            step = min(seconds, 10.0)
            self.fleet.time.sleep(step)
            seconds -= step
            for process in self.processes:
                process.renew(self.fleet.time.monotonic())

    def sync(self, *, killed_at: int = 0) -> None:
        """Take an inventory and plan it, the first time by a process that is killed at that write."""
        if killed_at:
            self.fleet.store = DyingStore(self.store, killed_at)
            with suppress(Killed):
                self.fleet.sync()
            self.fleet.store = self.store
        self.fleet.sync()
        self.note_plan()

    def fill(self, keys: Collection[str]) -> None:
        """Have a person register objects under titles of their own, before anything is sent."""
        folder = self.encord.create_folder("fleet")
        held = self.encord.items.setdefault(folder, [])
        for unit in (unit for units in self.units.values() for unit in units if unit.objects[0].key in keys):
            urls, at = [entry.object_url for entry in unit.objects], self.fleet.time.clock()
            uuid = str(uuid5(NAMESPACE_URL, f"by hand {urls[0]}"))
            item = RemoteItem(item_uuid=uuid, name="by hand", url=urls[0], unit_id=None, created_at=at)
            if unit.kind is MediaKind.IMAGE_GROUP:
                self.encord.add_group(folder, item, urls)
                self.seen.add("folder: a group by hand")
            else:
                held.append(item)
        if held:
            self.seen.add("folder: filled by hand")
            self.is_filled = True
            self.pass_time(86_400)

    def retarget(self, folder: str) -> None:
        """Have what is planned from now on registered in another folder, unless that would double what a person put there."""
        if self.is_filled:
            return
        self.fleet.configure(**self._options, encord={"integration": "sandbox", "folder": folder})

    def note_plan(self) -> None:
        """Take over what was planned; what was planned before must be the same."""
        self.bucket.plan(self.fleet.objects)
        chunks = {chunk.chunk_id: chunk for chunk in self.fleet.chunks}
        assert {chunk_id: chunks.get(chunk_id) for chunk_id in self.chunks} == self.chunks, "a chunk changed"
        for chunk_id in set(chunks) - set(self.chunks):
            self.units[chunk_id] = self.fleet.units_of(chunks[chunk_id])
            self.key_of |= {entry.object_url: entry.key for unit in self.units[chunk_id] for entry in unit.objects}
        self.chunks = chunks
        members = Counter(entry.key for units in self.units.values() for unit in units for entry in unit.objects)
        assert members == Counter(self.bucket.tags.keys()), "an object is in no chunk, or in two"

    def start(self, choose: Callable[[], list[ChunkTask]]) -> Process:
        """Start a process."""
        process = Process(self, choose)
        self.processes.append(process)
        return process

    def nightly(self) -> list[ChunkTask]:
        """Choose what a nightly run does."""
        snapshot = read_snapshot(self.fleet.store, "fleet")
        statuses = chunk_statuses(self.fleet.store, "fleet", snapshot)
        repaired = repaired_chunks(self.fleet.store, snapshot, statuses)
        return due_tasks(statuses, max_attempts=MAX_ATTEMPTS, repaired=repaired)

    def retries(self, *, force: bool) -> list[ChunkTask]:
        """Choose what a person's retry of everything that failed does."""
        snapshot = read_snapshot(self.fleet.store, "fleet")
        statuses = chunk_statuses(self.fleet.store, "fleet", snapshot)
        repaired = repaired_chunks(self.fleet.store, snapshot, statuses)
        return failed_tasks(statuses, max_attempts=MAX_ATTEMPTS, repaired=repaired, force=force)

    def named(self) -> list[ChunkTask]:
        """Choose what a person does who sends everything again."""
        statuses = chunk_statuses(self.fleet.store, "fleet")
        return named_tasks("fleet", statuses, list(statuses), force=True)

    def cancel(self, chunk_id: str) -> None:
        """Cancel a chunk's jobs, as a person does."""
        retry = RetryPolicy(sleep=self.pass_time, jitter=lambda _low, high: high)
        if cancel_chunk(self.fleet.store, "fleet", chunk_id, gateway=self.encord, retry=retry):
            self.seen.add("told: cancelled by a person")

    def finish(self, *processes: Process) -> None:
        """Step processes to their ends, in turn."""
        for _ in range(_MOST_ACTS):
            if all(process.has_ended for process in processes):
                break
            for process in processes:
                process.step()
        else:
            raise AssertionError(f"processes do not end; they stand before {[process.at for process in processes]}")
        self.reap()

    def reap(self) -> None:
        """Forget processes that have ended."""
        for process in self.processes:
            if process.has_ended:
                halt = type(process.halt).__name__ if process.halt else "well"
                self.seen.add("process: killed" if process.is_killed else f"process: ended {halt}")
        self.processes = [process for process in self.processes if not process.has_ended]

    def check_intent(self, manifest: Path) -> None:
        """Promise 4: whatever is started, the state says so before."""
        if not self.variant.checks_intents:
            return
        chunk_id, sha256 = manifest.stem, hashlib.sha256(manifest.read_bytes()).hexdigest()
        event = self.journal()[chunk_id][-1]
        assert (event["kind"], event.get("manifest_sha256")) == ("intent", sha256), (
            f"{chunk_id} is sent without an intent"
        )

    def journal(self) -> dict[str, list[dict[str, Any]]]:
        """Return every chunk's entries, oldest first, read without the product."""
        kinds = ["intent", "job", "split", "closed"]
        chunks: dict[str, list[tuple[int, int, str]]] = {}
        for name in self.store.names("fleet/journal/"):
            chunk_id, base = name.split("/")[-2:]
            attempt, kind = base.removesuffix(".json").split("-")
            chunks.setdefault(chunk_id, []).append((int(attempt), kinds.index(kind), name))
            if name not in self._events:
                self._events[name] = json.loads(self.store.read(name))
        return {chunk_id: [self._events[name] for _, _, name in sorted(names)] for chunk_id, names in chunks.items()}

    def standings(self) -> tuple[set[str], set[str], set[str]]:
        """Return the keys that are registered and those that failed, and of these the ones that may be under way again."""
        registered, failed, moving = set[str](), set[str](), set[str]()
        journal = self.journal()
        for chunk_id, units in self.units.items():
            events = journal.get(chunk_id, [])
            verdicts = [event for event in events if event["kind"] == "verdict"]
            if not verdicts:
                continue
            failures = {failure["unit_index"] for failure in verdicts[-1].get("failures", ())}
            ours = {entry.key for unit in units for entry in unit.objects if unit.unit_index in failures}
            failed |= ours
            registered |= {entry.key for unit in units for entry in unit.objects} - ours
            moving |= ours if events[-1] is not verdicts[-1] else set()
            told = self._outcomes_of(chunk_id, verdicts[-1])
            assert {key for key, is_registered in told.items() if not is_registered} == ours
            assert len(told) == sum(len(unit.objects) for unit in units)
        return registered, failed, moving

    def _outcomes_of(self, chunk_id: str, verdict: dict[str, Any]) -> dict[str, bool]:
        name = f"{chunk_id}/{verdict['outcomes']}"
        if name not in self._outcomes:
            event = next(event for event in self.fleet.journal.events(chunk_id)[::-1] if event.kind == "verdict")
            outcomes = read_outcomes(self.fleet.store, "fleet", event)
            assert all(outcome.reason and outcome.message for outcome in outcomes if not outcome.verdict.is_registered)
            items, units = self.encord.contents(), {unit.unit_id: unit for unit in self.units[chunk_id]}
            assert all(
                items.get(one.item_uuid or "") == tuple(entry.object_url for entry in units[one.unit_id].objects)
                for one in outcomes
                if one.verdict.is_registered
            ), "called registered without its item"
            self._outcomes[name] = {outcome.key: outcome.verdict.is_registered for outcome in outcomes}
        return self._outcomes[name]

    def check(self) -> None:
        """Promises 1 and 2, as far as they hold while work is under way."""
        urls = Counter(self.encord.urls())
        assert max(urls.values(), default=1) == 1, f"registered twice: {[url for url in urls if urls[url] > 1]}"
        now = (self.store.writes, len(urls))
        if now == self._checked:
            return
        self._checked = now
        in_encord = {self.key_of[url] for url in urls}
        registered, failed, moving = self.standings()
        assert registered <= in_encord, f"called registered and not in Encord: {registered - in_encord}"
        assert not (failed - moving) & in_encord, f"called failed and in Encord: {(failed - moving) & in_encord}"
        status = source_status(self.fleet.store, "fleet", max_attempts=MAX_ATTEMPTS)
        assert status.adds_up
        self._check_counts(status, registered, failed)

    def _check_counts(self, status: SourceStatus, registered: set[str], failed: set[str]) -> None:
        """Compare all numbers. What failed may have been fixed before Encord accepted it, so it need not count as changed."""
        least, most = (
            (
                self.bucket.counts(registered, failed, repaired=repaired),
                self.bucket.unit_counts(self._units_by_key(), registered, failed, repaired=repaired),
            )
            for repaired in (self._ever_failed(), set[str]())
        )
        objects, units = {name: getattr(status, name) for name in most[0]}, asdict(status.units)
        for said, low, high in ((objects, least[0], most[0]), (units, least[1], most[1])):
            assert low["changed"] <= said["changed"] <= high["changed"]
            assert said | {"changed": 0} == high | {"changed": 0}

    def _ever_failed(self) -> set[str]:
        """Return the keys of which any verdict says that they failed."""
        return {
            entry.key
            for chunk_id, events in self.journal().items()
            for event in events
            for unit in self.units.get(chunk_id, ())
            if unit.unit_index in {failure["unit_index"] for failure in event.get("failures", ())}
            for entry in unit.objects
        }

    def _units_by_key(self) -> list[frozenset[str]]:
        return [frozenset(entry.key for entry in unit.objects) for units in self.units.values() for unit in units]

    def end(self) -> None:
        """Promise 1 in full: fix everything, go on until nothing is due, and read every object."""
        for process in self.processes:
            process.is_frozen = False
        self.encord.heal()
        self.write_faults = []
        self.finish(*self.processes)
        self.check()
        self.pass_time(2 * SETTLE_SECONDS)
        if self.fleet.objects != self.bucket.listed:
            self.sync()
        for _ in range(MAX_ATTEMPTS + 1):
            if self.nightly():
                self._run(self.nightly)
                self.fleet.time.sleep(ONE_TRY.total_seconds())
        assert not self.nightly(), "nightly runs do not come to an end"
        assert not source_status(self.fleet.store, "fleet").pending
        self._run(lambda: self.retries(force=True))
        self._check_end()

    def close(self) -> None:
        """End all processes without looking."""
        for process in self.processes:
            process.failure = None
            process.is_killed = True
            while not process.has_ended:
                process._go.release()
                process._stands.acquire()
            process._thread.join()

    def _run(self, choose: Callable[[], list[ChunkTask]]) -> None:
        process = self.start(choose)
        self.finish(process)
        assert process.halt is None, f"halted in a world without faults: {process.halt}"
        self.check()

    def _check_end(self) -> None:
        registered, failed, _ = self.standings()
        present = set(self.fleet.objects)
        bad = {
            key
            for url, key in self.key_of.items()
            if key not in present or url in self.encord.refused or url in self.encord.troubles
        }
        hopeless = set[str]().union(*(unit for unit in self._units_by_key() if unit & bad))
        assert set(self.bucket.tags) - hopeless <= registered, "an object that Encord accepts is not registered"
        assert failed <= hopeless
        assert registered | failed == set(self.bucket.tags)
        failures = list(source_failures(self.fleet.store, "fleet"))
        left = (
            [entry.key for entry in unit.objects if entry.key in failed & present]
            for units in self.units.values()
            for unit in units
        )
        assert sorted((row.key, row.objects) for row in failures if row.chunk_id) == sorted(
            (keys[0], len(keys)) for keys in left if keys
        )
        assert all(row.reason and row.message for row in failures)
        for chunk_id, units in self.units.items():
            name = f"fleet/manifests/{chunk_id}.json"
            if self.store.exists(name):
                assert self.store.read(name) == render_manifest(chunk_id, self.fleet.units_of(self.chunks[chunk_id]))
            assert list(self.fleet.units_of(self.chunks[chunk_id])) == list(units)
