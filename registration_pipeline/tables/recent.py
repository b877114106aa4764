"""The values that were used last, each made once for all threads that ask for it at the same moment.

What does not belong here: what the values are. Only what never changes may be kept: nothing here asks whether it still is so.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Key = TypeVar("Key")
Value = TypeVar("Value")

_MAKERS: Final = 16
"""Values that are made at the same time, at most; different keys mostly don't wait for each other."""


class Recent(Generic[Key, Value]):
    """The values that were used last, at most ``size`` of them. Safe to share between threads."""

    def __init__(self, size: int) -> None:
        self._size, self._values = size, OrderedDict[Key, Value]()
        self._lock = threading.Lock()
        self._makers = tuple(threading.Lock() for _ in range(_MAKERS))

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of a key; ``make`` is called if it is not in hand.

        One thread makes it for all that ask at once: chunks that begin together lie in the same row group, and each of their
        threads would hold a copy while it decodes it.
        """
        value = self._known(key)
        if value is None:
            with self._makers[hash(key) % _MAKERS]:
                value = self._known(key)
                if value is None:
                    value = self._put(key, make())
        return value

    def _known(self, key: Key) -> Value | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def _put(self, key: Key, value: Value) -> Value:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        return value
