"""How much of the temporary folder a stage takes at the most.

What does not belong here: time and memory (``measure.py``).
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Self

from benchmarks.measure import tree_size


class TemporaryPeak:
    """The most bytes that lay in the temporary folder, seen every tenth of a second."""

    def __init__(self) -> None:
        self.bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self.bytes = max(self.bytes, self._seen())

    def _seen(self) -> int:
        try:
            return tree_size(Path(tempfile.gettempdir()))[1]
        except FileNotFoundError:  # removed while it was measured
            return 0
