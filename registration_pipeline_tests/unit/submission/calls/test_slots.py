"""How many upload jobs are open at once."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.errors import HaltError, StoppedError
from registration_pipeline.submission.calls.slots import Slots

NEVER = threading.Event()


def use(slots: Slots) -> None:
    with slots.occupied(NEVER):
        pass


def test_room_begins_small_and_grows_with_every_job_that_went_through():
    slots = Slots(5)
    sizes = [slots.size]
    for _ in range(5):
        use(slots)
        sizes.append(slots.size)

    assert sizes == [2, 3, 4, 5, 5, 5]


def test_room_is_halved_once_for_throttling_and_grows_again():
    throttles = 0
    slots = Slots(8, lambda: throttles, first=8)
    throttles = 3
    use(slots)
    halved = slots.size
    use(slots)

    assert (halved, slots.size) == (4, 5)


@given(most=st.integers(1, 6), throttled=st.lists(st.booleans(), max_size=40))
def test_room_is_always_between_one_and_the_most(most: int, throttled: list[bool]):
    throttles = 0
    slots = Slots(most, lambda: throttles)
    for one in throttled:
        throttles += one
        use(slots)
        assert 1 <= slots.size <= most


def test_no_more_than_the_room_is_ever_occupied():
    slots, most, lock = Slots(3, first=3), 0, threading.Lock()
    held = 0

    def work() -> None:
        nonlocal held, most
        for _ in range(50):
            with slots.occupied(NEVER):
                with lock:
                    held += 1
                    most = max(most, held)
                with lock:
                    held -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most <= 3
    assert held == 0


def test_a_stop_ends_the_wait_for_room():
    slots, stop = Slots(1), threading.Event()
    with ExitStack() as stack:
        stack.enter_context(slots.occupied(NEVER))
        threading.Timer(0.05, stop.set).start()
        with pytest.raises(StoppedError, match="No further upload job"):
            stack.enter_context(slots.occupied(stop))


def test_a_halt_is_known_to_all_before_its_room_is_free():
    slots, stop = Slots(1), threading.Event()
    is_inside = threading.Event()
    stopped: list[bool] = []

    def wait_for_room() -> None:
        is_inside.wait()
        with suppress(StoppedError), slots.occupied(stop):
            stopped.append(stop.is_set())

    def halt() -> None:
        with slots.occupied(stop):
            is_inside.set()
            raise HaltError

    waiting = threading.Thread(target=wait_for_room)
    waiting.start()
    with pytest.raises(HaltError):
        halt()
    waiting.join()

    assert stop.is_set()
    assert stopped in ([], [True])
