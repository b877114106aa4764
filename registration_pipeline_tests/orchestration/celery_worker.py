"""A worker of Celery in a thread of the test's process, which leaves the process's logging as it was.

What does not belong here: workers that are processes (``benchmarks/celery_cluster.py``).
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery.contrib.testing.worker import start_worker

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def worker_in_this_process(app: Any, **how: Any) -> Iterator[None]:
    """Run a worker; Celery's own gives the root logger a level and a handler, and other tests of the process log less then.

    Args:
        app: Celery's.
        how: as ``start_worker`` takes it.
    """
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        with start_worker(app, perform_ping_check=False, **how):
            yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
