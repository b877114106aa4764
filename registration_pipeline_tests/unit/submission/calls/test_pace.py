"""How fast Encord is asked: bounded, fair, halved once per burst of 429s, and a hint holds everybody back."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registration_pipeline.errors import StoppedError
from registration_pipeline.submission.calls.pace import Pace, shared_pace
from registration_pipeline_tests.doses import examples

if TYPE_CHECKING:
    from collections.abc import Callable

NEVER = threading.Event()


class Time:
    """Does not move until someone waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def wait(self, _condition: threading.Condition, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def pace(self, **options: Any) -> Pace:
        return Pace(**{"monotonic": lambda: self.now, "wait": self.wait} | options)


class Crowd:
    """Threads that want a turn, in a time that only the test moves on; each of them waits until it is called.

    Args:
        pace: options of the pace.
    """

    def __init__(self, **options: Any) -> None:
        self.now = 0.0
        self.waits = 0
        self.order: list[str] = []
        self.stopped: list[str] = []
        self.stop = threading.Event()
        self.pace = Pace(monotonic=lambda: self.now, wait=self.wait, **options)
        self.moved = threading.Condition()
        self.called: set[threading.Condition] = set()
        self.threads: list[threading.Thread] = []

    def wait(self, condition: threading.Condition, _seconds: float) -> None:
        self.called.add(condition)
        with self.moved:
            self.waits += 1
            self.moved.notify_all()
        condition.wait()
        self.called.discard(condition)

    def want(self, *sources: str) -> None:
        """Let one more thread want a turn for each source, and see each waiting or through before the next comes."""
        for source in sources:
            before = self.waits + len(self.order)
            thread = threading.Thread(target=self.work, args=(source,), daemon=True)
            self.threads.append(thread)
            thread.start()
            self.until(partial(self.has_moved_since, before))

    def has_moved_since(self, before: int) -> bool:
        return self.waits + len(self.order) > before

    def work(self, source: str) -> None:
        went = self.order
        try:
            self.pace.turn(source, self.stop)
        except StoppedError:
            went = self.stopped
        with self.moved:
            went.append(source)
            self.moved.notify_all()

    def advance(self, seconds: float, *, lets_through: int = 0) -> None:
        """Let time pass, wake everybody who waits, and see so many go through."""
        expected = len(self.order) + lets_through
        with self.pace._lock:
            self.now += seconds
            for condition in list(self.called):
                condition.notify()
        self.until(lambda: len(self.order) >= expected)

    def until(self, is_so: Callable[[], bool]) -> None:
        with self.moved:
            assert self.moved.wait_for(is_so, timeout=10)

    def disperse(self) -> None:
        self.stop.set()
        self.advance(0)
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


def test_a_second_of_requests_goes_at_once_and_then_one_after_the_other():
    time_ = Time()
    pace = time_.pace(rate=10)

    moments = []
    for _ in range(15):
        pace.turn("fleet", NEVER)
        moments.append(round(time_.now, 6))

    assert moments == [0] * 10 + [0.1, 0.2, 0.3, 0.4, 0.5]


def test_a_rate_below_one_still_lets_one_through():
    time_ = Time()
    pace = time_.pace(rate=0.5)
    pace.turn("fleet", NEVER)
    assert time_.now == 0
    pace.turn("fleet", NEVER)
    assert time_.now == pytest.approx(2)


def test_what_is_not_used_is_saved_up_for_one_second_only():
    time_ = Time()
    pace = time_.pace(rate=10)
    time_.now = 3_600
    for _ in range(10):
        pace.turn("fleet", NEVER)
    assert time_.waits == []
    pace.turn("fleet", NEVER)
    assert time_.now == pytest.approx(3_600.1)


def test_who_waits_is_not_busy():
    time_ = Time()
    pace = time_.pace(rate=1)
    for _ in range(11):
        pace.turn("fleet", NEVER)
    assert time_.now == pytest.approx(10)
    assert len(time_.waits) == 20  # twice a second it looks whether it has to stop


def test_a_source_with_one_request_gets_its_turn_between_the_hundred_of_another():
    crowd = Crowd(rate=1, most=1)
    crowd.want(*["big"] * 100, "small")
    assert crowd.order == ["big"]
    for _ in range(3):
        crowd.advance(1, lets_through=1)
    assert crowd.order == ["big", "big", "small", "big"]
    crowd.disperse()


def test_the_sources_that_wait_take_turns():
    crowd = Crowd(rate=1, most=1)
    crowd.want("a", "a", "a", "a", "b", "b", "c", "c")
    for _ in range(7):
        crowd.advance(1, lets_through=1)
    assert "".join(crowd.order) == "aabcabca"
    assert crowd.pace._queues == {}
    crowd.disperse()


def test_within_a_source_who_came_first_goes_first():
    crowd = Crowd(rate=1, most=1)
    crowd.want(*["fleet"] * 20)
    waiting = list(crowd.pace._queues["fleet"])
    for left in range(19, 0, -1):
        assert list(crowd.pace._queues["fleet"]) == waiting[-left:]
        crowd.advance(1, lets_through=1)
    crowd.disperse()


def test_a_turn_wakes_only_the_next_one():
    """A hundred that wait must not all look at every turn of another."""
    crowd = Crowd(rate=1_000, most=1_000)
    crowd.pace.throttled(5)  # closed, so that all of them wait; and one token
    crowd.want(*["fleet"] * 100)
    before = crowd.waits
    crowd.now += 10
    with crowd.pace._lock:
        crowd.pace._next().notify()  # type: ignore[union-attr]
    crowd.until(lambda: len(crowd.order) == 100)
    assert crowd.waits == before


def test_a_stop_ends_the_wait_and_leaves_the_others_their_turn():
    crowd = Crowd(rate=1, most=1)
    crowd.want("a")
    mine, others = crowd.stop, threading.Event()
    crowd.want("a")
    crowd.stop = others
    crowd.want("b", "b")
    mine.set()
    crowd.advance(0)
    crowd.until(lambda: crowd.stopped == ["a"])
    crowd.advance(1, lets_through=1)
    crowd.advance(1, lets_through=1)
    assert crowd.order == ["a", "b", "b"]
    crowd.disperse()


def test_a_stop_is_noticed_in_real_time_without_anybody_else():
    pace, stop = Pace(rate=1, least=1), threading.Event()
    pace.throttled(60)
    timer = threading.Timer(0.02, stop.set)
    timer.start()
    with pytest.raises(StoppedError, match="run again"):
        pace.turn("fleet", stop)


def test_a_hint_holds_back_every_source():
    crowd = Crowd(rate=10, most=10)
    crowd.pace.throttled(30)
    crowd.want("a", "b", "c")
    crowd.advance(29.9)
    crowd.want("d")
    assert crowd.order == []
    crowd.advance(0.1, lets_through=1)
    crowd.disperse()


@pytest.mark.parametrize("hint", [None, 0.0, 5.0], ids=["no hint", "hint of nothing", "a hint"])
def test_after_a_throttle_there_is_no_burst(hint: float | None):
    time_ = Time()
    pace = time_.pace(rate=10, most=10)
    time_.now = 100
    pace.throttled(hint)

    moments = []
    for _ in range(4):
        pace.turn("fleet", NEVER)
        moments.append(round(time_.now - 100 - (hint or 0), 6))

    assert moments == [0, 0.2, 0.4, 0.6]


def test_the_longest_of_several_hints_counts():
    time_ = Time()
    pace = time_.pace()
    pace.throttled(20)
    pace.throttled(5)
    pace.throttled(None)
    pace.turn("fleet", NEVER)
    assert time_.now == pytest.approx(20)


def test_a_hint_of_hours_is_asked_about_again_after_ten_minutes():
    time_ = Time()
    pace = time_.pace()
    pace.throttled(86_400)
    pace.turn("fleet", NEVER)
    assert time_.now == pytest.approx(600)


def test_a_burst_of_429s_halves_once():
    time_ = Time()
    pace = time_.pace(rate=100)
    for _ in range(50):
        time_.now += 0.01
        pace.throttled(None)
    assert (pace.rate, pace.throttles) == (50, 1)


def test_429s_of_requests_that_were_under_way_before_a_long_hint_halve_once():
    time_ = Time()
    pace = time_.pace(rate=100)
    pace.throttled(30)
    time_.now += 5
    pace.throttled(30)
    assert (pace.rate, pace.throttles) == (50, 1)


def test_a_429_to_a_request_at_the_halved_rate_halves_again():
    time_ = Time()
    pace = time_.pace(rate=100)
    pace.throttled(None)
    pace.turn("fleet", NEVER)
    time_.now += 1
    pace.throttled(None)
    assert (pace.rate, pace.throttles) == (25, 2)


def test_it_never_halves_below_the_least():
    time_ = Time()
    pace = time_.pace(rate=3)
    for _ in range(5):
        pace.turn("fleet", NEVER)
        time_.now += 1
        pace.throttled(None)
    assert pace.rate == 0.5


def ask(pace: Pace, seconds: float, now: Callable[[], float]) -> None:
    """Ask for so long as fast as may be, and hear no complaint."""
    end = now() + seconds
    while now() < end:
        pace.turn("fleet", NEVER)
        pace.answered()


def test_it_doubles_each_second_until_encord_complains_for_the_first_time():
    time_ = Time()
    pace = time_.pace(rate=10)
    ask(pace, 1, lambda: time_.now)
    assert 15 < pace.rate < 30
    ask(pace, 10, lambda: time_.now)
    assert pace.rate == 200


def test_after_a_throttle_it_grows_by_one_a_second():
    time_ = Time()
    pace = time_.pace(rate=100)
    pace.throttled(None)
    ask(pace, 10, lambda: time_.now)
    assert pace.rate == pytest.approx(60, abs=1)


def test_it_does_not_grow_while_it_holds_no_one_up():
    time_ = Time()
    pace = time_.pace(rate=10)
    for _ in range(100):
        pace.turn("fleet", NEVER)
        pace.answered()
        time_.now += 0.2
    assert pace.rate == 10


def test_waiting_for_a_hint_is_no_reason_to_grow():
    time_ = Time()
    pace = time_.pace(rate=10)
    pace.throttled(5)
    pace.turn("fleet", NEVER)
    pace.answered()
    assert pace.rate == 5


ACTS = st.one_of(
    st.tuples(st.just("turn"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("answered")),
    st.tuples(st.just("throttled"), st.sampled_from([None, 0.0, 0.3, 7.0])),
    st.tuples(st.just("wait"), st.floats(0, 3)),
)


@given(
    acts=st.lists(ACTS, max_size=80),
    rate=st.floats(0.01, 1_000),
    bounds=st.tuples(st.floats(0.1, 50), st.floats(0.1, 50)).map(sorted),
)
@settings(max_examples=examples(50, thorough=2_000), deadline=None)
def test_the_rate_keeps_within_its_bounds_and_the_requests_within_the_rate(
    acts: list[tuple[Any, ...]], rate: float, bounds: list[float]
):
    time_, (least, most) = Time(), bounds
    pace = time_.pace(rate=rate, least=least, most=most)
    opens_at, granted, fastest = 0.0, 0, pace.rate
    for name, *arguments in acts:
        if name == "wait":
            time_.now += arguments[0]
        elif name == "turn":
            pace.turn(arguments[0], NEVER)
            granted += 1
            assert time_.now >= opens_at - 1e-9
        else:
            getattr(pace, name)(*arguments)
        if name == "throttled":
            opens_at = max(opens_at, time_.now + (arguments[0] or 0))
        fastest = max(fastest, pace.rate)
        assert least <= pace.rate <= most
        assert granted <= max(1, fastest) + fastest * time_.now + 1e-6


def test_of_many_threads_as_many_go_through_as_there_is_room():
    pace, stop = Pace(rate=100, most=100, monotonic=lambda: 0.0), threading.Event()
    through, stopped = [], []
    barrier = threading.Barrier(24)

    def work(number: int) -> None:
        barrier.wait()
        try:
            for _ in range(10):
                pace.turn(f"source-{number % 3}", stop)
                through.append(number)
                if len(through) == 100:
                    stop.set()
        except StoppedError:
            stopped.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(through) == 100
    assert stopped
    assert pace._queues == {}


def test_in_real_time_threads_are_let_through_no_faster_than_the_rate():
    pace = Pace(rate=100, most=100)
    began = time.monotonic()

    def work(source: str) -> None:
        for _ in range(30):
            pace.turn(source, NEVER)

    threads = [threading.Thread(target=work, args=(source,)) for source in "aabbc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()

    assert time.monotonic() - began > 0.49


def test_one_encord_has_one_pace_and_another_has_its_own():
    assert shared_pace("https://one.example") is shared_pace("https://one.example")
    assert shared_pace("https://one.example") is not shared_pace("https://two.example")
