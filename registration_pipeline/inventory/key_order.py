"""Whether keys come in the order of an inventory.

What does not belong here: what it means that they do not (``totals.py``, ``ranges/checks.py``), and other orders (``azure/``).
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def disorder(keys: pa.StringArray) -> tuple[str, str] | None:
    """Return the first two neighbours of which the second is not greater; None: keys increase strictly.

    Arrow compares the UTF-8 bytes, which is also the order of code points that Python compares by.
    """
    if not len(keys):
        return None
    increasing = pc.less(keys.slice(0, len(keys) - 1), keys.slice(1))
    if pc.all(increasing, min_count=0).as_py():
        return None
    fault = pc.index(increasing, pa.scalar(value=False)).as_py()
    return keys[fault].as_py(), keys[fault + 1].as_py()
