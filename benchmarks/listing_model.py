"""What listing S3 costs per page in each of its places, a model of the rate that follows, and the model beside the truth.

A listing has four places where a page takes processor time: the thread of its request (signing, asking, passing on), the
process that fetches and reads it, the thread that checks and writes rows, and the server, which shares this machine. With
``requests`` at once, ``late`` seconds a page and all times per page, the rate of pages is at most

- ``requests / (late + sign + read + write)``: each request waits for its page;
- ``1 / (sign + write)``: these share one interpreter, where other processes read;
- ``1 / (sign + read + write)``: without other processes, all of it is in one;
- ``processes / read``;
- ``cores / (sign + read + write + serve)``: no more processors than there are (``serve`` only where the server shares them).

The model is the least of these. It knows nothing of queues, of threads that wait for the interpreter, or of requests that
find nothing at the end of a range, so a real listing is slower; how much, the table says. What does not belong here: other
ways to list (``listing.py``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.measure import run_stage
from benchmarks.project import environment
from benchmarks.servers import listing_server
from benchmarks.table import Table, rate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.measure import Measured, Stopwatch
    from benchmarks.servers import Server

KEYS = 1000
_PROCESSES, _REQUESTS, _LATE = (0, 1, 2), (1, 4, 16, 64), (0.0, 0.02, 0.06)
_SECONDS = 2.0
_FEWEST_PAGES = 40
_REGION = "eu-west-2"


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of processor time per page.

    Args:
        sign: in the threads of the requests.
        read: fetching and reading it.
        write: checking its rows, their digest, and Parquet.
        serve: of the server.
    """

    sign: float
    read: float
    write: float
    serve: float

    def pages_per_second(self, *, processes: int, requests: int, late: float, cores: int, serves: bool) -> float:
        """Return the most pages a second.

        Args:
            processes: that fetch and read pages; 0: the one that lists does it.
            requests: at once.
            late: seconds that a page takes the store.
            cores: of the machine.
            serves: the server is on the same machine.
        """
        each = self.sign + self.read + self.write
        interpreter = self.sign + self.write if processes else each
        bounds = [requests / (late + each), 1 / interpreter, cores / (each + (self.serve if serves else 0.0))]
        return min([*bounds, processes / self.read] if processes else bounds)


def run(objects: int, folder: Path) -> Table:
    """Measure the costs with ``10 * objects``, then each number of processes, of requests and each latency."""
    costs = measured_costs(10 * objects, folder)
    cores = len(os.sched_getaffinity(0))
    table = Table(
        "listing_model: keys a second, measured / model",
        ("processes that read", "requests", *(f"{late * 1000:.0f} ms a page" for late in _LATE)),
    )
    for processes in _PROCESSES:
        for requests in _REQUESTS:
            if processes and requests == 1:
                continue  # one request at once is made in the process that lists
            cells = [
                _cell(costs, folder, {"processes": processes, "requests": requests}, late, cores) for late in _LATE
            ]
            table.add(str(processes), str(requests), *cells)
    table.notes.append(
        "CPU a page: " + ", ".join(f"{name} {getattr(costs, name) * 1000:.2f} ms" for name in Costs.__slots__) + "."
    )
    for many, at_once, late in ((16, 64, 0.06), (16, 16, 0.06), (2, 64, 0.06)):
        most = costs.pages_per_second(processes=min(many, 4), requests=at_once, late=late, cores=many, serves=False)
        table.notes.append(
            f"Model of {many} cores and {at_once} requests at {late * 1000:.0f} ms, the store elsewhere: "
            f"{rate(round(most * KEYS), 1)} keys/s."
        )
    return table


def measured_costs(objects: int, folder: Path) -> Costs:
    """Return the costs of a listing of so many objects by two processes, with 16 requests at once and no latency."""
    with listing_server("flat", objects) as server:
        measured = _run(server, folder, processes=2, requests=16)
    pages = objects / KEYS
    threads, main = measured.facts["cpu"], measured.facts["main_cpu"]
    serve = server.farewell["cpu_seconds"] / pages
    return Costs((threads - main) / pages, measured.facts["cpu_elsewhere"] / pages, main / pages, serve)


def _cell(costs: Costs, folder: Path, how: dict[str, int], late: float, cores: int) -> str:
    model = costs.pages_per_second(**how, late=late, cores=cores, serves=True)
    pages = max(_FEWEST_PAGES, round(model * _SECONDS))
    with listing_server("flat", pages * KEYS, latency=late) as server:
        measured = _run(server, folder, **how)
    found = measured.facts["objects"] / measured.seconds
    return f"{rate(round(found), 1)} / {rate(round(model * KEYS), 1)} ({found / model / KEYS:.0%})"


def _run(server: Server, folder: Path, *, processes: int, requests: int) -> Measured:
    return run_stage(
        list_pages,
        environment(folder / "no.yaml"),
        endpoint_url=server.facts["endpoint_url"],
        bucket=server.facts["bucket"],
        folder=str(folder / "state"),
        processes=processes,
        requests=requests,
    )


def list_pages(watch: Stopwatch, *, endpoint_url: str, bucket: str, folder: str, processes: int, requests: int) -> None:
    """Stage: a listing to a state on disk; the clock starts once the processes run, a few pages after the beginning."""
    import resource
    import time
    from datetime import UTC, datetime
    from pathlib import Path

    from registration_pipeline.inventory.inventory import take_inventory
    from registration_pipeline.inventory.s3.lister import FAN_OUT_AFTER, S3Lister
    from registration_pipeline.inventory.s3.page_processes import WhenToStart
    from registration_pipeline.project.clients.s3 import open_s3
    from registration_pipeline.state.local import LocalStateStore

    when = WhenToStart(processes, after_pages=1, busy=0.0, is_awaited=True)
    client = open_s3(endpoint_url=endpoint_url, region_name=_REGION)
    at_first = FAN_OUT_AFTER + 2 * KEYS

    class Timed(S3Lister):
        def list_objects(self) -> Iterator[Any]:
            listed = 0
            for batch in super().list_objects():
                if listed < at_first <= listed + batch.num_rows:
                    watch.__enter__()
                    self.began = (time.process_time(), time.thread_time(), _cpu_of(self._requests.plain.process_ids))
                listed += batch.num_rows
                yield batch
            watch.facts["objects"] = listed - at_first + KEYS

    lister = Timed(client, bucket, concurrency=requests, fan_out_after=at_first, when=when)
    clock = lambda: datetime.now(UTC)  # noqa: E731
    take_inventory(lister=lister, store=LocalStateStore(Path(folder)), source="bench", clock=clock)
    watch.__exit__()
    cpu, main, elsewhere = lister.began
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    watch.facts |= {
        "cpu": time.process_time() - cpu,
        "main_cpu": time.thread_time() - main,
        "cpu_elsewhere": children.ru_utime + children.ru_stime - elsewhere,
        "peak_elsewhere": children.ru_maxrss * 1024,
    }


def _cpu_of(process_ids: list[int]) -> float:
    """Return the seconds of processor time that processes have used so far."""
    from pathlib import Path

    ticks = os.sysconf("SC_CLK_TCK")
    spent = [Path(f"/proc/{one}/stat").read_text(encoding="ascii").rpartition(")")[2].split() for one in process_ids]
    return sum(int(one[11]) + int(one[12]) for one in spent) / ticks
