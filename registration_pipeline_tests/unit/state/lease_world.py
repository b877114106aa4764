"""Machines that want one lease, in a time of their own. What is expected of the lease is said in the tests."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from registration_pipeline.errors import LeaseLostError
from registration_pipeline.state.holder import Holder
from registration_pipeline.state.lease import hold_lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from registration_pipeline.state.lease import Lease
    from registration_pipeline.state.store import StateStore

START = datetime(2026, 11, 21, 2, tzinfo=UTC)
FOLDER = "fleet/lease/"


def somebody_on(host: str) -> Holder:
    """A process that can't be looked at from here."""
    return Holder(host=host, boot=f"boot of {host}", pid=4711, start="12", namespace="pid:[1]", since=START)


class World:
    """Machines that share a state and a time which only sleeping moves on."""

    def __init__(self, store: StateStore) -> None:
        self.store = store
        self.now = 0.0
        self.wall_jumps = timedelta()
        self.told: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()

    def lease(self, host: str = "worker-1", **options: Any) -> AbstractContextManager[Lease]:
        """Ask for the lease as a process of that host."""
        values: dict[str, Any] = {
            "clock": lambda: START + timedelta(seconds=self.now) + self.wall_jumps,
            "monotonic": lambda: self.now,
            "sleep": self.sleep,
            "notify": self.told.append,
            "stop": threading.Event(),
            "holder": somebody_on(host),
        }
        return hold_lease(options.pop("store", self.store), "fleet", **values | options)

    def files(self) -> list[str]:
        return [name.removeprefix(FOLDER) for name in self.store.names(FOLDER)]


def is_held(lease: Lease) -> bool:
    try:
        lease.check()
    except LeaseLostError:
        return False
    return True


@contextmanager
def abandoned(world: World, host: str) -> Iterator[Lease]:
    """A lease whose holder went silent when it had it; its block ends in order when the test is over."""
    with ExitStack() as stack:
        yield stack.enter_context(world.lease(host))
