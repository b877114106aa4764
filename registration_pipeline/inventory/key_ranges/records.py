"""The files that say how far an inventory in key ranges is: written once each, and the first one counts.

What does not belong here: what they say (``division.py``, ``listing.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from registration_pipeline.errors import StateCorruptError, StateNotFoundError
from registration_pipeline.state.sealed import read_sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from registration_pipeline.state.store import StateStore

Record = TypeVar("Record")


def read_record(store: StateStore, name: str, from_json: Callable[[Mapping[str, Any]], Record]) -> Record | None:
    """Return what a file says; None: there is no such file.

    Args:
        store: the state.
        name: of the file.
        from_json: reads its content; raises KeyError, TypeError or ValueError for what it can't be.

    Raises:
        StateCorruptError: it is not what was written.
    """
    try:
        return from_json(read_sealed(store, name))
    except StateNotFoundError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise StateCorruptError(
            f"{store.location(name)} lacks or garbles {error}. Start a new run, which takes a new inventory."
        ) from error
