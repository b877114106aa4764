"""Whether a store creates a name only once, found by trying it: everything that two processes rely on follows from that.

What does not belong here: what relies on it (``lease.py``, ``markers.py``), and how a store creates (``bucket.py``).
"""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import ConfigurationError, StateConflictError, StateError
from registration_pipeline.state.layout import probe_name

if TYPE_CHECKING:
    from registration_pipeline.state.store import StateStore

_WRITERS: Final = 8
_UNKNOWN_CONDITION: Final = ("NotImplemented", "HTTP 501")
_WAY_OUT: Final = (
    "two hosts could then submit one source at the same time and register every object twice. Keep the state in a store "
    "that honours conditional writes (Amazon S3, Google Cloud Storage and Azure do, most S3-compatible servers in their "
    "current version, if no proxy removes the header), or in a folder"
)


def require_exclusive_create(store: StateStore) -> None:
    """Create one name from several threads at once and then once more, and remove it.

    Costs eleven small requests.

    Raises:
        ConfigurationError: more than one of them worked, or the store does not know the condition.
        StateError: the store can't be read or written.
    """
    name = probe_name(secrets.token_hex(8))
    try:
        problem = _problem(store, name)
    finally:
        with suppress(StateError):  # what was found matters more than what is left of it
            store.delete(name)
    if problem is not None:
        raise ConfigurationError(f"the store at {store.uri} {problem}: {_WAY_OUT}", key="state")


def _problem(store: StateStore, name: str) -> str | None:
    start = threading.Barrier(_WRITERS)

    def create(number: int) -> bytes | None:
        content = f"writer {number}\n".encode("ascii")
        start.wait()
        return content if _is_created(store, name, content) else None

    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="create") as pool:
        winners = [content for content in pool.map(create, range(_WRITERS)) if content is not None]
    late = _is_created(store, name, b"late\n")
    if late or len(winners) > 1:
        return f"created the same file {len(winners) + late} times, although each time only if it is absent"
    # With no winner its answer was lost and its repetition refused: there is nothing to compare with then.
    if winners and store.read(name) not in winners:
        return "replaced a file, although it was to be made only if it is absent"
    return None


def _is_created(store: StateStore, name: str, content: bytes) -> bool:
    try:
        store.create(name, content)
    except StateConflictError:
        return False
    except StateError as error:
        if any(word in str(error) for word in _UNKNOWN_CONDITION):
            problem = f"the store at {store.uri} does not know writes that are made only if a file is absent ({error})"
            raise ConfigurationError(f"{problem}; {_WAY_OUT}", key="state") from error
        raise
    return True
