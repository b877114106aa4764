"""One source listed in key ranges by one and by three worker processes of Dagster, and by three of which one is killed.

A worker has a few requests at once, as a client has that its store, its network or its proxy slows down: with as many as it
likes one process keeps two cores busy, and more workers give nothing. What does not belong here: listing in one process
(``listing.py``).
"""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import run_stage
from benchmarks.project import SOURCE, environment, load_project, write_configuration
from benchmarks.servers import listing_server
from benchmarks.table import Table, rate, ratio, seconds_text

if TYPE_CHECKING:
    from benchmarks.measure import Measured, Stopwatch

LATENCY = 0.06
"""Seconds a page: Amazon S3 takes 50 to 150 ms."""

CONCURRENCY = 4
"""Requests at once of each worker."""

RANGES, WORKERS = 6, 3
_PAGE = 1_000
_JOB = f"{SOURCE}_inventory"


def run(objects: int, folder: Path) -> Table:
    """Measure, with everything that is written below ``folder``."""
    many = 10 * objects
    table = Table(
        f"key_ranges: {many:,} objects, {LATENCY * 1000:.0f} ms a page, {CONCURRENCY} requests at once a worker",
        ("", "objects/s", "time", "CPU of all processes", "listed again", "same digest", "against one worker"),
    )
    with listing_server("flat", many, latency=LATENCY) as server:
        configs = {
            name: _configure(folder / name, server.facts["endpoint_url"], workers)
            for name, workers in (("whole", 1), ("one", 1), ("three", WORKERS), ("killed", WORKERS))
        }
        whole = run_stage(list_at_once, environment(configs["whole"]))
        one = run_stage(list_in_ranges, environment(configs["one"]), home=str(folder / "home-one"))
        three = run_stage(list_in_ranges, environment(configs["three"]), home=str(folder / "home-three"))
        kill_after = many / RANGES / _PAGE * LATENCY / CONCURRENCY / 2
        home = str(folder / "home-killed")
        killed = run_stage(list_in_ranges, environment(configs["killed"]), home=home, kill_after=kill_after)
    for name, measured in (
        ("at once, without steps", whole),
        (f"{RANGES} ranges, one worker", one),
        (f"{RANGES} ranges, three workers", three),
        (f"{RANGES} ranges, three workers, one killed midway", killed),
    ):
        _add(table, name, many, measured, whole=whole, one=one)
    table.notes.append(
        "Each step of Dagster's multiprocess executor is a process that loads the code location, 3 to 4 s of CPU: that is in "
        "the times, and weighs less the more objects there are. The server shares the machine's cores."
    )
    table.notes.append(f"the commit read all rows again in {seconds_text(one.facts['commit_seconds'])} of its step")
    return table


def _configure(folder: Path, endpoint_url: str, workers: int) -> Path:
    config = write_configuration(folder, endpoint_url=endpoint_url, concurrency=CONCURRENCY)
    with config.open("a", encoding="utf-8") as file:
        file.write(f"    key_ranges: {RANGES}\nexecutor: {{multiprocess: {{max_concurrent: {workers}}}}}\n")
    return config


def _add(table: Table, name: str, objects: int, measured: Measured, *, whole: Measured, one: Measured) -> None:
    facts = measured.facts
    assert facts["objects"] == objects, (name, facts)
    table.add(
        name,
        rate(objects, measured.seconds),
        seconds_text(measured.seconds),
        seconds_text(measured.cpu_seconds + facts["children_seconds"]),
        f"{facts['retried']} of {facts['ranges']}",
        "yes" if facts["digest"] == whole.facts["digest"] else "NO",
        ratio(one.seconds, measured.seconds),
    )


def list_at_once(watch: Stopwatch) -> None:
    """Stage: the whole source in one process, without Dagster."""
    project, source = load_project()
    with watch:
        made = project.take_inventory(source)
    watch.facts |= {"objects": made.objects, "digest": made.digest, "retried": 0, "ranges": 1, "children_seconds": 0.0}


def list_in_ranges(watch: Stopwatch, *, home: str, kill_after: float | None = None) -> None:
    """Stage: a run of the inventory job; a worker is killed so many seconds after its range was begun."""
    import dagster as dg

    from registration_pipeline.inventory.inventory import latest_inventory

    Path(home).mkdir(parents=True)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.local_temp(home) as instance:
        if kill_after is not None:
            threading.Thread(target=_kill_one, args=(instance, kill_after), daemon=True).start()
        with watch:
            result = dg.execute_job(dg.reconstructable(inventory_job), instance=instance, run_config=quiet)
        events = list(result.all_events)
    project, _ = load_project()
    made = latest_inventory(project.store, SOURCE)
    assert result.success
    assert made is not None
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    watch.facts |= {
        "objects": made.objects,
        "digest": made.digest,
        "ranges": made.key_ranges,
        "retried": sum(event.is_step_up_for_retry for event in events),
        "children_seconds": used.ru_utime + used.ru_stime,
        "commit_seconds": _seconds_of(events, f"{SOURCE}_take_inventory"),
    }
    assert watch.facts["retried"] == (kill_after is not None)


def inventory_job() -> Any:
    """Return the job, for every process that executes a step of it."""
    from registration_pipeline.definitions import defs

    return defs().resolve_job_def(_JOB)


def _seconds_of(events: list[Any], step: str) -> float:
    (success,) = (event for event in events if event.is_step_success and event.step_key == step)
    return float(success.step_success_data.duration_ms) / 1000


def _kill_one(instance: Any, after: float) -> None:
    """Kill the worker of the second range that was begun, in the middle of it."""
    from dagster import DagsterEventType

    while True:
        time.sleep(0.2)
        for run in instance.get_runs(limit=1):
            begun = instance.get_records_for_run(run.run_id, of_type=DagsterEventType.STEP_START).records
            ranges = [one.event_log_entry for one in begun if "list_key_range[" in (one.event_log_entry.step_key or "")]
            if len(ranges) < WORKERS - 1:
                continue
            step = ranges[1].step_key
            started = instance.get_records_for_run(run.run_id, of_type=DagsterEventType.STEP_WORKER_STARTED).records
            (worker,) = (one.event_log_entry.dagster_event for one in started if one.event_log_entry.step_key == step)
            time.sleep(max(0.0, after - (time.time() - ranges[1].timestamp)))
            os.kill(int(worker.event_specific_data.metadata["pid"].value), signal.SIGKILL)
            return
