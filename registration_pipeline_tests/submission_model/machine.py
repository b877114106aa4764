"""What may happen to a source, one thing after the other, drawn by hypothesis.

What belongs here: rules, and which values they draw. What must hold is in ``world.py``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from registration_pipeline.submission.gateway import JobStatus
from registration_pipeline.submission.testing import StartScript
from registration_pipeline_tests.submission_model.hostile_encord import TELLS, Fate, read_fault
from registration_pipeline_tests.submission_model.variants import GOOD, Variant
from registration_pipeline_tests.submission_model.world import World

if TYPE_CHECKING:
    from collections import Counter

    from registration_pipeline_tests.submission_model.process import Process

RIGS = [f"raw/rig/{rig}/{place}.jpg" for rig in "pq" for place in (9, 10)]
"""Two image groups of two: an object of one that comes after the other was planned is late."""
KEYS = [*(f"raw/{letter}.jpg" for letter in "abcd"), *RIGS, "raw/g.mp4", "raw/skip/h.jpg", "raw/i.exe"]
SECONDS = [110.0, 50.0, 20.0, 1.0]
"""Less than anybody settles."""
ACTS = [
    "intent",
    "start",
    "job",
    "poll",
    "sleep",
    "count",
    "list",
    "outcomes",
    "failures",
    "closed",
    "split",
    "manifests",
]
RUNS = ["nightly", "nightly", "nightly", "named", "retry", "force"]
GATEWAYS = [StartScript.GATEWAY_REFUSES, StartScript.GATEWAY_HALTS, StartScript.GATEWAY_THROTTLES]
LOST = [StartScript.LOSE_REPLY, StartScript.LOSE_REPLY, StartScript.LOSE_REQUEST, *GATEWAYS]
ENDS = ["kill", "kill", "leave", "freeze", "finish"]

keys = st.lists(st.sampled_from(KEYS), min_size=2, max_size=6, unique=True)
which = st.integers(0, 5)
any_act = st.tuples(st.just(""), st.integers(1, 25))
an_act = st.tuples(st.sampled_from(ACTS), st.sampled_from([1, 1, 2]))
acts = st.one_of(an_act, any_act, an_act)
seconds = st.sampled_from([*SECONDS, 0.0])
scripts = st.lists(st.sampled_from([*StartScript, StartScript.LOSE_REPLY, StartScript.ACCEPT]), max_size=3)
troubles = st.tuples(
    st.sampled_from(KEYS),
    st.sampled_from(["503 try again", "403 forbidden", "corrupt", "refused"]),
    st.sampled_from([1.0, 2.0, float("inf")]),
)
working = st.builds(
    Fate,
    first=seconds,
    gap=seconds,
    last=seconds,
    slow=st.sampled_from([0.0, 400.0, 1_000.0]),
    hidden=st.sampled_from([0.0, 0.0, 30.0, 100.0]),
    hides_errors=st.booleans(),
)
usual = st.builds(Fate, first=seconds, slow=st.sampled_from([0.0, 400.0]))
ending = st.builds(
    Fate,
    first=seconds,
    gap=seconds,
    last=seconds,
    status=st.sampled_from([JobStatus.ERROR, JobStatus.CANCELLED]),
    units=st.sampled_from([None, 0, 1, 2]),
    takes_back=st.booleans(),
)
late = st.builds(Fate, first=st.sampled_from(SECONDS), is_forgotten=st.booleans())
silent = st.builds(Fate, first=seconds, gap=seconds, last=seconds, tells=st.sampled_from(TELLS))
early = st.builds(
    Fate,
    first=seconds,
    gap=seconds,
    units=st.sampled_from([0, 1, 2]),
    tells=st.just("all pending"),
    goes_on=st.booleans(),
)
stuck = st.builds(Fate, is_stuck=st.just(True), ignores_cancel=st.booleans())
fates = st.lists(st.one_of(late, working, ending, silent, early, stuck), max_size=3)


class RegistrationMachine(RuleBasedStateMachine):
    """A source, what happens to it, and its processes."""

    fleet_type: ClassVar[Any]
    variant: ClassVar[Variant] = GOOD
    reached: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.world: World

    @initialize(
        first=keys,
        chunk_size=st.sampled_from([2, 3, 5]),
        late=st.sampled_from([False, False, True]),
        holds=st.booleans(),
        usual=st.one_of(usual, usual, silent),
        by_hand=st.lists(st.sampled_from(KEYS), max_size=4),
        names_all=st.booleans(),
        drawn=st.lists(troubles, max_size=2),
    )
    def begin(
        self,
        *,
        first: list[str],
        chunk_size: int,
        late: bool,
        holds: bool,
        usual: Fate,
        by_hand: list[str],
        names_all: bool,
        drawn: list[tuple[str, str, float]],
    ) -> None:
        sizes = dict.fromkeys(("images", "image_groups", "videos"), chunk_size)
        self.world = World(self.fleet_type, self.variant, chunk_size=sizes)
        self.world.encord.names_all = names_all
        self.world.encord.sees_duplicates_late = late
        self.world.encord.holds_polls = holds
        self.world.encord.usual = usual
        self.world.fleet.put(*first)
        self.world.sync()
        self.world.fill(by_hand)
        self._plant(drawn)

    @rule(run=st.sampled_from(RUNS), scripts=scripts, fates=fates, until=acts, end=st.sampled_from(ENDS))
    def register(
        self, run: str, scripts: list[StartScript], fates: list[Fate], until: tuple[str, int], end: str
    ) -> None:
        """Start a process, and let it go up to some act."""
        world = self.world
        world.encord.starts.extend(scripts)
        world.encord.fates.extend(fates)
        if len(world.processes) < world.variant.most_processes:
            world.seen.add(f"run: {run}")
            choices = {"nightly": world.nightly, "retry": lambda: world.retries(force=False), "named": world.named}
            world.start(choices.get(run, lambda: world.retries(force=True)))
        self._go_on(world.processes[-1], until, end)

    @rule(run=st.sampled_from(RUNS), fates=fates, until=acts)
    def crash(self, run: str, fates: list[Fate], until: tuple[str, int]) -> None:
        """Start a process, and kill it before some act."""
        self.register(run=run, scripts=[], fates=fates, until=until, end="kill")

    @rule(run=st.sampled_from(RUNS), script=st.sampled_from(LOST), fates=fates, until=acts, end=st.sampled_from(ENDS))
    def lose(self, run: str, script: StartScript, fates: list[Fate], until: tuple[str, int], end: str) -> None:
        """Start a process that loses the reply to its first start, or the request."""
        self.register(run=run, scripts=[script], fates=fates, until=until, end=end)

    @rule(
        fates=fates,
        until=acts,
        end=st.sampled_from(["leave", "freeze"]),
        others=st.integers(1, 100),
        then=st.integers(1, 10),
    )
    def stall(self, fates: list[Fate], until: tuple[str, int], end: str, others: int, then: int) -> None:
        """Let a process stand still before some act while another one goes on, and then go on."""
        self.register(run="nightly", scripts=[], fates=[], until=until, end=end)
        stalled = self.world.processes[-1:]
        self.register(run="nightly", scripts=[], fates=fates, until=("", others), end="leave")
        for process in stalled:
            self.world.seen.add(f"stalled before: {process.act}")
            self._go_on(process, ("", then), "leave")

    @precondition(lambda self: self._processes())
    @rule(index=which, until=acts, end=st.sampled_from(ENDS))
    def go_on(self, index: int, until: tuple[str, int], end: str) -> None:
        processes = self._processes()
        self._go_on(processes[index % len(processes)], until, end)

    @precondition(lambda self: len(self._processes()) > 1)
    @rule(turns=st.lists(st.integers(1, 40), min_size=2, max_size=6))
    def alternate(self, turns: list[int]) -> None:
        """Let the processes go on in turn."""
        processes = list(self.world.processes)
        self.world.seen.add("process: in turn")
        for turn, acts in enumerate(turns):
            process = processes[turn % len(processes)]
            process.is_frozen = False
            for _ in range(acts):
                process.step()
        self.world.reap()

    @rule(
        names=keys,
        facts=st.fixed_dictionaries(
            {"e_tag": st.sampled_from(["one", "two"]), "size": st.sampled_from([10, 10, 10, 0])}
        ),
        gone=which,
        killed_at=st.sampled_from([0, 0, 1, 2, 4, 6, 7, 8]),
        folder=st.sampled_from(["fleet", "fleet", "other"]),
    )
    def change(self, names: list[str], facts: dict[str, Any], gone: int, killed_at: int, folder: str) -> None:
        """Write some objects, delete one, and plan that; perhaps register into another folder from now on."""
        self.world.fleet.put(*names, **facts)
        self.world.fleet.objects.pop(names[gone % len(names)])
        self.world.retarget(folder)
        self.world.sync(killed_at=killed_at)

    @rule(drawn=st.lists(troubles, min_size=1, max_size=3), most_units=st.sampled_from([1, 2, 1_000, 1_000]))
    def trouble(self, drawn: list[tuple[str, str, float]], most_units: int) -> None:
        """Have Encord find something wrong with objects, entries or manifests."""
        self.world.encord.most_units = most_units
        self._plant(drawn)

    def _plant(self, drawn: list[tuple[str, str, float]]) -> None:
        for key, text, times in drawn:
            url = next((url for url, name in self.world.key_of.items() if name == key), None)
            if url is None:
                continue
            if text == "refused":
                self.world.encord.refused.add(url)
            else:
                self.world.encord.troubles[url] = (text, times)

    @rule(
        reads=st.lists(st.sampled_from(["throttled", "reply lost", "not found", "key refused"]), max_size=4),
        writes=st.lists(st.sampled_from(["none", "full", "answer lost"]), max_size=6),
    )
    def next_faults(self, reads: list[str], writes: list[str]) -> None:
        """Have reads of Encord and writes to the state fail."""
        self.world.encord.read_faults.extend(map(read_fault, reads))
        self.world.write_faults.extend(writes)

    @rule(index=which)
    def cancel(self, index: int) -> None:
        """Have a person cancel a chunk's job."""
        chunk_ids = list(self.world.chunks)
        if chunk_ids:
            self.world.cancel(chunk_ids[index % len(chunk_ids)])

    @rule(seconds=st.sampled_from([*SECONDS, 300.0]), job=which, forgets=st.booleans())
    def pass_time(self, seconds: float, job: int, forgets: bool) -> None:  # noqa: FBT001 - drawn
        """Wait; Encord may forget a job that has ended, or that will before anybody has settled."""
        self.world.pass_time(seconds)
        encord = self.world.encord
        jobs = [job_id for job_id in encord.jobs if job_id not in encord.open or not encord.open[job_id].fate.slow]
        if jobs and forgets:
            encord.forgotten.add(jobs[job % len(jobs)])
            self.world.seen.add("job: forgotten later")

    @invariant()
    def promises(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.world.end()
                for what in sorted(self.world.seen):
                    event(what)
                self.reached.update(self.world.seen)
        finally:
            self.world.close()

    def _processes(self) -> list[Process]:
        return self.world.processes if hasattr(self, "world") else []

    def _go_on(self, process: Process, until: tuple[str, int], end: str) -> None:
        act, left = until
        others = [other for other in self.world.processes if other is not process and other.lease is not None]
        process.is_frozen = False
        for _ in range(120 if others else 400):
            process.step()
            left -= act in process.at
            if process.has_ended or (not left and end != "finish"):
                break
        if end == "kill" and not process.has_ended:
            self.world.seen.add(f"killed before: {process.act}")
            process.kill()
        process.is_frozen = end == "freeze"
        self.world.reap()
