"""On the module path of a test's ``dagster dev``: its daemon does every few seconds what it does every half minute.

Nothing but the waits of a test is shorter for it: new backfills, queued runs, runs of dead workers, ticks of sensors. What no
test waits for keeps its pace, and nothing is faster than it must be: each round costs processor time, in every test.
"""

import sys

if "dagster._daemon" in sys.orig_argv:
    from typing import Any

    from dagster._core.remote_representation.external import RemoteSensor
    from dagster._daemon import controller
    from dagster._daemon.daemon import IntervalDaemon

    PACES = {"QueuedRunCoordinatorDaemon": 1, "MonitoringDaemon": 3}
    at_its_pace = IntervalDaemon.__init__

    def more_often(daemon: IntervalDaemon[Any], interval_seconds: float, **options: float) -> None:
        """Ask for queued runs every second, and for dead workers every three."""
        at_its_pace(daemon, PACES.get(type(daemon).__name__, interval_seconds), **options)

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 3
    IntervalDaemon.__init__ = more_often  # type: ignore[method-assign,assignment]
    RemoteSensor.min_interval_seconds = 10  # type: ignore[assignment,method-assign]
