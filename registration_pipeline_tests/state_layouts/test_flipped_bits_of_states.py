"""Campaign: one bit of one file of a state is flipped, for every kind of file; then everything is read, audited and sent.

Either it goes as if nothing had happened, or it ends with exit status 4 and the name of the file. Nothing else is ever sent,
and a verification names the file, unless it says the same as before.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest
from obstore.store import MemoryStore

from registration_pipeline.audit.audit import audit_source
from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.facts.sets import latest_facts, read_facts
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.state.bucket import BucketStateStore
from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.tracking.failures.log import source_failures, write_source_failure_log
from registration_pipeline.verification.state import verify_state
from registration_pipeline_tests.doses import DOSES, IS_SOAK
from registration_pipeline_tests.state_layouts.describe import kind_of, numbers
from registration_pipeline_tests.state_layouts.going_on import LAYOUT_1, continued
from registration_pipeline_tests.state_layouts.make_layout_1 import make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from registration_pipeline.state.store import StateStore
    from registration_pipeline_tests.unit.conftest import Fleet

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(3600)]

REPORTS: Final = ("failures/", "failure_log/", "audit/")
HARMLESS: Final = ("failures/", "failure_log/", "audit/…/findings.csv", "journal_summary/")
"""Not every bit of these says something: both forms of a report are compared in what they say, and a gzip stream begins with a
time that is not read."""
ACTIONS: Final[dict[str, Callable[[Fleet], Any]]] = {
    "status, chunks and failures": lambda fleet: numbers(fleet.store),
    "plan --dry-run": lambda fleet: dry_run(fleet),  # noqa: PLW0108 - defined below
    "facts": lambda fleet: facts_of(fleet.store),
    "audit": lambda fleet: audit(fleet),  # noqa: PLW0108 - defined below
}
Files = dict[str, bytes]


class World:
    """A state, and what each action gives on it when nothing is damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        store = continued(BucketStateStore(MemoryStore(), "memory://state"), folder).store
        for path in sorted((folder / "state").rglob("*")):
            if path.is_file():
                store.create(path.relative_to(folder / "state").as_posix(), path.read_bytes())
        fleet = continued(store, folder)
        audit(fleet)  # so that there are reports, too
        write_source_failure_log(store, "fleet", "20261121T030000000000Z", source_failures(store, "fleet"))
        self.files: Files = {name: store.read(name) for name in store.names("")}
        self.expected = {name: act(self.fleet(self.files)) for name, act in ACTIONS.items()}
        self.synced = sync(self.fleet(self.files))
        self.kinds: dict[str, list[str]] = {}
        for name in self.files:
            self.kinds.setdefault(kind_of(name.partition("/")[2]), []).append(name)

    def fleet(self, files: Files) -> Fleet:
        store = BucketStateStore(MemoryStore(), "memory://state")
        for name, data in files.items():
            store.create(name, data)
        fleet = continued(store, self.folder)
        fleet.time.sleep(60)
        return fleet

    def flips(self) -> list[tuple[str, str, int]]:
        """Return kind, file and bit, the same in every run."""
        draws = ((kind, random.Random(f"{kind} {n}")) for kind in sorted(self.kinds) for n in range(DOSES.flipped_bits))
        chosen = ((kind, draw.choice(self.kinds[kind]), draw) for kind, draw in draws)
        return [(kind, name, draw.randrange(8 * len(self.files[name]))) for kind, name, draw in chosen]


def dry_run(fleet: Fleet) -> Any:
    fleet.put("raw/later.jpg").take_inventory()
    plan = plan_source(store=fleet.store, source=fleet.source, clock=fleet.time.clock, dry_run=True)
    return plan.wave.counts, plan.chunks


def facts_of(store: StateStore) -> Any:
    facts = latest_facts(store, "fleet", "headers")
    return facts and [row for batch in read_facts(store, facts) for row in batch.to_pylist()]


def audit(fleet: Fleet) -> Any:
    fleet.time.sleep(1)
    report = audit_source(
        store=fleet.store,
        source="fleet",
        gateway=fleet.encord,
        retry=RetryPolicy(sleep=fleet.time.sleep, jitter=lambda _low, high: high),
        target_folder=fleet.encord.find_folder("fleet"),
        clock=fleet.time.clock,
    )
    return report.findings, report.sample, report.registered_objects


def sync(fleet: Fleet) -> list[str]:
    fleet.put("raw/later.jpg").sync()
    fleet.register_until_done()
    fleet.register(tasks=fleet.tasks(retry_failed=True))
    fleet.journal.summarise()
    return sorted(fleet.encord.urls())


def in_turn(choices: list[str], number: int) -> list[str]:
    """Return two of four: with every change each kind of file meets half of them, in ``make soak`` all."""
    return [choices[(number + by) % len(choices)] for by in (0, 1)]


def ended(error: RegistrationPipelineError, name: str) -> None:
    """See that the error is about damage, and names the file."""
    said = str(error)
    assert name.rsplit("/", 1)[-1] in said, said
    assert error.exit_status == 4 or name.endswith("/state.json"), said


@pytest.fixture(scope="module", params=["layout 1", "made today"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    if request.param == "layout 1":
        return World(LAYOUT_1)
    folder = tmp_path_factory.mktemp("today")
    make(folder)
    return World(folder)


def test_a_flipped_bit_changes_no_number_and_is_named(world: World, note_line: Callable[[str], None]) -> None:
    ends = Counter[str]()
    for number, (kind, name, bit) in enumerate(world.flips()):
        files = {**world.files, name: flipped(world.files[name], bit)}
        for action in list(ACTIONS) if IS_SOAK else in_turn(list(ACTIONS), number):
            fleet = world.fleet(files)
            try:
                assert ACTIONS[action](fleet) == world.expected[action], f"{action} with bit {bit} of {name}"
            except RegistrationPipelineError as error:
                ended(error, name)
                ends[action] += 1
        report = verify_state(world.fleet(files).store, "fleet")
        beside = {name.replace(".parquet", ".csv")} if name.startswith("fleet/failure_log/") else set()
        assert set(report.damaged) <= {name, *beside}, f"bit {bit} of {name}: {report.damaged}"
        assert report.damaged or kind.startswith(HARMLESS), f"bit {bit} of {name} was not found"
        ends["verify"] += bool(report.damaged)
    note_line(f"{len(world.flips())} bits flipped in {len(world.kinds)} kinds of files; refused: {dict(ends)}")


def test_with_a_flipped_bit_nothing_is_sent_wrong_or_twice(world: World, note_line: Callable[[str], None]) -> None:
    flips = world.flips()[:: DOSES.one_in_syncs]
    refused = 0
    for _, name, bit in flips:
        fleet = world.fleet({**world.files, name: flipped(world.files[name], bit)})
        try:
            assert sync(fleet) == world.synced, f"bit {bit} of {name}"
        except RegistrationPipelineError as error:
            ended(error, name)
            refused += 1
        sent = fleet.encord.urls()
        assert len(sent) == len(set(sent)), f"bit {bit} of {name}"
        assert {*sent} <= {*world.synced}, f"bit {bit} of {name}"
    note_line(f"{len(flips)} syncs of a state with a flipped bit, {refused} of them refused")


def test_without_a_flipped_bit_a_verification_finds_nothing(world: World) -> None:
    report = verify_state(world.fleet(world.files).store, "fleet")

    assert report.damaged == {}
    assert (report.files, report.leftovers) == (len(world.files), 0)


HOWS: Final = ["removed", "cut short", "emptied", "grown"]


@pytest.mark.parametrize("how", HOWS)
def test_whatever_happens_to_a_file_is_found(world: World, how: str) -> None:
    """What may be missing without a loss is made again, or is a report as a whole."""
    may_go = ("manifests/", "ledger/", "journal_summary/", "state.json", "facts/", "inventory/", "lineage/", "journal/")
    for number, (kind, names) in enumerate(sorted(world.kinds.items())):
        if not IS_SOAK and how not in in_turn(HOWS, number):
            continue
        name = names[len(names) // 2]
        data = world.files[name]
        changed = {"removed": None, "cut short": data[: len(data) // 2], "emptied": b"", "grown": data + data[-8:]}[how]
        files = {other: content for other, content in world.files.items() if other != name}
        files |= {} if changed is None else {name: changed}
        if changed is None and name.partition("/")[2].startswith((*may_go, *REPORTS)):
            continue
        if kind.startswith(HARMLESS) and how == "grown":
            continue
        report = verify_state(world.fleet(files).store, "fleet")
        assert name in report.damaged, f"{name} {how}: {report.damaged}"


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
