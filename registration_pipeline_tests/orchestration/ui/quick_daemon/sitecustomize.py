"""On the module path of a test's ``dagster dev``: its daemon does every second, or every five, what it does every half minute.

Nothing but the waits of a test is shorter for it: new backfills, queued runs, runs of dead workers, ticks of sensors.
"""

import sys

if "dagster._daemon" in sys.orig_argv:
    from typing import Any

    from dagster._core.remote_representation.external import RemoteSensor
    from dagster._daemon import controller
    from dagster._daemon.daemon import IntervalDaemon

    at_its_pace = IntervalDaemon.__init__

    def every_second(daemon: IntervalDaemon[Any], interval_seconds: float, **options: float) -> None:
        """Ask for queued runs and for dead workers every second."""
        at_its_pace(daemon, min(interval_seconds, 1), **options)

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 1
    IntervalDaemon.__init__ = every_second  # type: ignore[method-assign,assignment]
    RemoteSensor.min_interval_seconds = 5  # type: ignore[assignment,method-assign]
