"""Sources in parallel on Celery workers beside one worker, and the same with a worker killed, the broker and the database cut.

``python -m benchmarks.celery_workers --objects 500000 --sources 10 --workers 3 --faults``. Every service is a process here, so
on a small machine the services are the limit, not the workers: the table says what each of them took. Upload jobs take
``--job-seconds`` in the sandbox, so that waiting dominates, as it does with Encord.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import DagsterEventType
from dagster_graphql import DagsterGraphQLClientError

from benchmarks.celery_cluster import Cluster, Size, cluster
from benchmarks.table import Table, machine, ratio

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 3600
_TICK = 0.25
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
_REGISTERED = (
    "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION' AND asset_key LIKE '%registration%' "
    "AND partition IS NOT NULL"
)


@dataclass(slots=True)
class Outcome:
    """What became of the objects.

    Args:
        seconds: from the first launch to the end of the last run.
        runs: by status.
        syncs_again: sources that were synced again because no run of theirs had succeeded.
        cpu: seconds by process.
        connections: the most to the database at once.
        truth: by source, what ``celery_truth`` says.
        sandbox: what the sandbox says at its end.
        notes: what was done and what was seen, with seconds since the first launch.
    """

    seconds: float = 0.0
    runs: Counter[str] = field(default_factory=Counter)
    syncs_again: int = 0
    cpu: dict[str, float] = field(default_factory=dict)
    connections: int = 0
    truth: dict[str, Any] = field(default_factory=dict)
    sandbox: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def check(self, size: Size) -> None:
        """Refuse anything but: each object registered once, and shown so."""
        assert self.sandbox["duplicates"] == 0, self.sandbox
        assert self.sandbox["registered"] == size.all_objects, (self.sandbox["registered"], size.all_objects)
        for source, said in self.truth.items():
            assert said["status"]["registered"] == said["status"]["objects"] == size.objects, (source, said)
            assert said["registered"] == said["chunks"], (source, said)
            wrong = [said["shown_otherwise"], said["manifests_shown_otherwise"], said["partitions_missing"]]
            assert wrong == [[], [], []], (source, wrong)


class Campaign:
    """Syncs all sources of a cluster, does what is planned when so much is registered, and waits for the end."""

    def __init__(self, cluster: Cluster, outcome: Outcome) -> None:
        self._cluster, self._outcome = cluster, outcome
        self._started = time.monotonic()

    def run(self, faults: list[tuple[float, Callable[[], None]]]) -> None:
        """Sync every source; a fault is done when its share of the chunks is registered."""
        size = self._cluster.size
        chunks = size.sources * -(-size.objects // size.chunk_size)
        with self._cluster.instance() as instance:
            for source in size.names:
                self._launch(source)
            while True:
                self._outcome.connections = max(self._outcome.connections, self._cluster.postgres.connections())
                for share, fault in [one for one in faults if self._registered() >= one[0] * chunks]:
                    faults.remove((share, fault))
                    fault()
                if self._has_ended(instance):
                    again = self._not_succeeded(instance)
                    if not again:
                        break
                    for source in again:
                        self.note(f"{source} is synced again")
                        self._outcome.syncs_again += 1
                        self._launch(source)
                assert time.monotonic() - self._started < SECONDS, "the runs do not end"
                time.sleep(_TICK)
            self._outcome.seconds = time.monotonic() - self._started
            self._outcome.runs = Counter(run.status.value for run in instance.get_runs())
            for run in instance.get_runs():
                if run.status.value == "FAILURE":
                    why = [
                        entry.message for entry in instance.all_logs(run.run_id, of_type=DagsterEventType.RUN_FAILURE)
                    ]
                    self.note(f"{run.job_name} failed: {' '.join(why)[:300]}")

    def note(self, text: str) -> None:
        """Keep what happened, with its time."""
        self._outcome.notes.append(f"{time.monotonic() - self._started:.1f} s: {text}")

    def _launch(self, source: str) -> None:
        """Launch as a user of the UI does: again, if the web server says that its connection to the database was cut."""
        for is_last in (False, False, True):
            try:
                self._cluster.launch(f"{source.replace('-', '_')}_sync")
            except DagsterGraphQLClientError as failed:
                if is_last or "psycopg2.OperationalError" not in str(failed):
                    raise
                self.note(f"{source} is launched again: the web server lost its connection to the database")
                time.sleep(_TICK)
            else:
                return

    def _registered(self) -> int:
        ((count,),) = self._cluster.postgres.ask(_REGISTERED)
        return int(count)

    def _has_ended(self, instance: Any) -> bool:
        """Return whether no run is under way, and none will be repeated by Dagster."""
        runs = instance.get_runs()
        waits = [run for run in runs if run.status.value not in _ENDED]
        retried = {run.parent_run_id for run in runs if run.parent_run_id}
        to_come = [
            run
            for run in runs
            if run.status.value == "FAILURE"
            and run.run_id not in retried
            and run.tags.get("dagster/will_retry", "").lower() == "true"
        ]
        return not waits and not to_come

    def _not_succeeded(self, instance: Any) -> list[str]:
        done = {run.tags["registration/source"] for run in instance.get_runs() if run.status.value == "SUCCESS"}
        return [source for source in self._cluster.size.names if source not in done]


def measure(size: Size, folder: Path, *, has_faults: bool, kills_worker: bool = True) -> Outcome:
    """Run a campaign and compare state, Dagster and the sandbox; a killed worker costs a minute of waiting for its lease."""
    outcome = Outcome()
    with cluster(size, folder) as made:
        for number in range(size.workers):
            made.start_worker(number)
        campaign = Campaign(made, outcome)
        faults = _faults(made, campaign) if has_faults else []
        campaign.run(faults if kills_worker else [fault for fault in faults if fault[1].__name__ != "kill_worker"])
        outcome.cpu = {name: _cpu_seconds(process.pid) for name, process in made.processes.items()}
        said = subprocess.run(
            [sys.executable, "-m", "benchmarks.celery_truth"],
            cwd=made.folder / "console",
            env=made.environment("console"),
            check=True,
            capture_output=True,
            text=True,
        )
        outcome.truth = json.loads(said.stdout.splitlines()[-1])
    outcome.sandbox = dict(made.sandbox.farewell)
    outcome.cpu["sandbox"] = outcome.sandbox["cpu_seconds"]
    outcome.cpu["listing"] = made.listing.farewell["cpu_seconds"]
    return outcome


def _faults(made: Cluster, campaign: Campaign) -> list[tuple[float, Callable[[], None]]]:
    """Return what goes wrong, each with the share of the chunks that are registered by then."""

    def kill_worker() -> None:
        campaign.note("worker-0 is killed, and replaced")
        made.kill("worker-0")
        made.start_worker(0)

    def restart_broker() -> None:
        campaign.note("the broker is killed, and started after 2 s")
        made.redis.kill()
        time.sleep(2)
        made.redis.start()

    def cut_connections() -> None:
        campaign.note(f"{made.postgres.cut_connections()} connections to the database are cut")

    def restart_database() -> None:
        campaign.note("the database is stopped, and started after 2 s")
        made.postgres.stop()
        time.sleep(2)
        made.postgres.start()

    several = [(share, cut_connections) for share in (0.5, 0.55, 0.6)]
    return [(0.2, kill_worker), (0.4, restart_broker), *several, (0.75, restart_database)]


def _cpu_seconds(leader: int) -> float:
    """Return the CPU time of the processes of a session, and of their children that have ended."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if int(fields[3]) == leader:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def table_of(size: Size, *, has_faults: bool, has_others: bool = True) -> Table:
    """Measure one worker and all workers, unless only faults are wanted, and all workers with faults, if they are wanted."""
    table = Table(
        f"celery_workers: {size.sources} sources with {size.all_objects:,} objects, jobs of {size.job_seconds} s, "
        f"{size.jobs_at_once} at once",
        ("", "time", "objects/s", "beside one worker", "CPU workers", "CPU sandbox", "CPU all", "runs"),
    )
    one = replace(size, workers=1)
    cases = [("one worker", one, False), (f"{size.workers} workers", size, False)] if has_others else []
    cases += [(f"{size.workers} workers, with faults", size, True)] if has_faults else []
    first = None
    for name, chosen, faulty in cases:
        with tempfile.TemporaryDirectory(prefix="celery-") as folder:
            outcome = measure(chosen, Path(folder), has_faults=faulty)
        print(
            f"{name}: {outcome.seconds:.1f} s, {dict(outcome.runs)}",
            *outcome.notes,
            sep="\n  ",
            file=sys.stderr,
            flush=True,
        )
        outcome.check(chosen)
        first = first or outcome.seconds
        table.add(
            name,
            f"{outcome.seconds:.1f} s",
            f"{chosen.all_objects / outcome.seconds:,.0f}",
            ratio(first, outcome.seconds),
            f"{sum(seconds for process, seconds in outcome.cpu.items() if process.startswith('worker')):.1f} s",
            f"{outcome.cpu['sandbox']:.1f} s",
            f"{sum(outcome.cpu.values()):.1f} s",
            ", ".join(f"{count} {status}" for status, count in outcome.runs.items()),
        )
        table.notes.append(
            f"{name}: CPU seconds { ({process: round(spent, 1) for process, spent in outcome.cpu.items()}) }"
        )
        table.notes.append(f"{name}: at most {outcome.connections} connections to the database")
        table.notes.extend(f"{name}: {note}" for note in outcome.notes)
    return table


def run(objects: int, folder: Path) -> Table:
    """Measure as ``python -m benchmarks celery_workers`` does."""
    del folder  # each cluster has its own
    return table_of(Size(sources=10, objects=objects // 10), has_faults=True)


def main() -> None:
    """Measure with options."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that the services end, too
    parser = argparse.ArgumentParser(prog="python -m benchmarks.celery_workers")
    parser.add_argument("--objects", type=int, default=50_000, help="of all sources together")
    parser.add_argument("--sources", type=int, default=10)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--chunk-size", type=int, default=500)
    parser.add_argument("--job-seconds", type=float, default=1.0)
    parser.add_argument("--jobs-at-once", type=int, default=8, help="upload jobs that the sandbox works on at once")
    parser.add_argument("--lost-seconds", type=int, default=10)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--only-faults", action="store_true", help="without the runs to compare with")
    parser.add_argument("--volatile-broker", action="store_true", help="Redis writes nothing to a file")
    chosen = parser.parse_args()
    size = Size(
        sources=chosen.sources,
        objects=chosen.objects // chosen.sources,
        chunk_size=chosen.chunk_size,
        job_seconds=chosen.job_seconds,
        jobs_at_once=chosen.jobs_at_once,
        workers=chosen.workers,
        lost_seconds=chosen.lost_seconds,
        persistent_broker=not chosen.volatile_broker,
    )
    print(machine() + "\n", flush=True)
    print(
        table_of(size, has_faults=chosen.faults or chosen.only_faults, has_others=not chosen.only_faults).text(),
        flush=True,
    )


if __name__ == "__main__":
    main()
