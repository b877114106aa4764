"""Calls that are waited for a limited time, whatever they wait for themselves.

What does not belong here: what is called, and what is said when it takes too long.
"""

from __future__ import annotations

import contextvars
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")


class TooLongError(Exception):
    """A call did not come back in time; it goes on in a thread that ends with the process at the latest."""


def within(seconds: float, function: Callable[[], _Result]) -> _Result:
    """Call it in a thread of its own and return what it returns, or raise what it raises.

    Only for what may be left alone half-way: there is no way to end it.

    Args:
        seconds: to wait.
        function: what to call.

    Raises:
        TooLongError: the seconds are over.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(context.run(function))
        except BaseException as error:  # noqa: BLE001 - passed on
            errors.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=run, name="limited call", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TooLongError(f"There was no answer within {seconds:g} s")
    return results[0]
