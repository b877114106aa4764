"""On the module path of a test's ``dagster dev``: its daemon asks for new backfills every second, not every 30."""

import sys

if "dagster._daemon" in sys.orig_argv:
    from dagster._daemon import controller

    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 1
