"""What tests of a store's listing in many places at once ask of it, whatever the store, and stores that answer in odd ways.

What does not belong here: what a provider's answers are like (``gcs_imitation.py``, ``azure_imitation.py``).
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from registration_pipeline.inventory.lister import DivisibleLister, ObjectLister
    from registration_pipeline_tests.answers import Answer

    Answering = Callable[[dict[str, str]], Answer]

NUMBERED = [f"raw/{folder}/img_{number:04d}.jpg" for folder in "abc" for number in range(100)]


def keys_of(lister: ObjectLister) -> list[str]:
    return [key for batch in lister.list_objects() for key in batch.column("key").to_pylist()]


def parts_of(lister: DivisibleLister, borders: Iterable[str]) -> list[list[str]]:
    """Return the keys of each range."""
    ends = [None, *sorted(borders), None]
    return [keys_of(lister.between(after, until)) for after, until in pairwise(ends)]


def keys_by_ranges(lister: DivisibleLister, borders: Iterable[str]) -> list[str]:
    return [key for part in parts_of(lister, borders) for key in part]


def counted(answer: Answering, asked: list[dict[str, str]]) -> Answering:
    """Answer the same, and note what was asked."""

    def counting(query: dict[str, str]) -> Answer:
        asked.append(query)
        return answer(query)

    return counting


def meeting(answer: Answering, asked: list[dict[str, str]], *, threads: int, after: int) -> Answering:
    """Answer the same and note what was asked; once, answers come only when so many requests are really made at once.

    Args:
        answer: of the store.
        asked: takes what is asked.
        threads: requests at once.
        after: requests before them.
    """
    counting, all_here = counted(answer, asked), threading.Barrier(threads)

    def meet(query: dict[str, str]) -> Answer:
        result = counting(query)
        if after <= len(asked) < after + threads:
            all_here.wait(20)
        return result

    return meet


class Throttling:
    """Refuses requests, twelve in all, while there are more than two at once, from the tenth request on.

    The tenth to the twelfth wait for each other: however slow the machine is, one of them at least is refused.

    Args:
        answer: to the others.
        refusal: the provider's word for it.

    Attributes:
        refused: how many.
    """

    def __init__(self, answer: Answering, refusal: Answer) -> None:
        self._answer, self._refusal = answer, refusal
        self._made, self._under_way, self._lock = 0, 0, threading.Lock()
        self._all_here = threading.Barrier(3)
        self.refused = 0

    def __call__(self, query: dict[str, str]) -> Answer:
        with self._lock:
            self._made += 1
            made = self._made
            self._under_way += 1
            is_refused = made >= 10 and self._under_way > 2 and self.refused < 12
            self.refused += is_refused
        try:
            if 10 <= made <= 12:
                self._all_here.wait(20)
            threading.Event().wait(0.005)
            return self._refusal if is_refused else self._answer(query)
        finally:
            with self._lock:
                self._under_way -= 1
