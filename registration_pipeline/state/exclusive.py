"""Whether a store creates a name only once, found by trying it: everything that two processes rely on follows from that.

What does not belong here: what relies on it (``lease.py``, ``markers.py``), and how a store creates (``bucket.py``).
"""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import ConfigurationError, StateConflictError, StateError
from registration_pipeline.state.layout import probe_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.state.store import StateStore

_NAMES: Final = 8
_WRITERS: Final = 4
"""Of each name, all names at the same moment. OpenStack Swift checks a name before it takes the content: several win in half
of the cases where one name is tried by itself, and for three to eight of eight names that are tried together."""
_UNKNOWN_CONDITION: Final = ("NotImplemented", "HTTP 501")
_WAY_OUT: Final = (
    "two hosts could then submit one source at the same time and register every object twice. Keep the state in a store "
    "that honours conditional writes (Amazon S3, Google Cloud Storage and Azure do, most S3-compatible servers in their "
    "current version, OpenStack Swift does not), if no proxy removes the header, or in a folder"
)


def require_exclusive_create(store: StateStore) -> None:
    """Create names from several threads at once and then once more, and remove them.

    Costs 56 small requests: 40 writes, 8 reads and 8 deletions.

    Raises:
        ConfigurationError: more than one of them worked, or the store does not know the condition.
        StateError: the store can't be read or written.
    """
    names = [probe_name(secrets.token_hex(8)) for _ in range(_NAMES)]
    with ThreadPoolExecutor(_NAMES * _WRITERS, thread_name_prefix="create") as pool:
        try:
            problem = _problem(store, names, pool)
        finally:
            list(pool.map(partial(_remove, store), names))
    if problem is not None:
        raise _refusal(store, problem)


def require_refused_create(store: StateStore, name: str, content: bytes) -> None:
    """Try to create a file that exists, with the content that it has: one request that changes nothing.

    It finds a store or proxy that ignores the condition by now; not one in which several win at the same moment.

    Args:
        store: the state.
        name: a file that exists.
        content: what it holds.

    Raises:
        ConfigurationError: it was created again.
        StateError: the store can't be written.
    """
    if _is_created(store, name, content):
        raise _refusal(store, _created_times(2))


def _refusal(store: StateStore, problem: str) -> ConfigurationError:
    return ConfigurationError(f"the store at {store.uri} {problem}: {_WAY_OUT}", key="state")


def _created_times(times: int) -> str:
    return f"created the same file {times} times, although each time only if it is absent"


def _problem(store: StateStore, names: Sequence[str], pool: ThreadPoolExecutor) -> str | None:
    start = threading.Barrier(_NAMES * _WRITERS)

    def create(number: int) -> bytes | None:
        content = f"writer {number}\n".encode("ascii")
        start.wait()
        return content if _is_created(store, names[number % _NAMES], content) else None

    created = list(pool.map(create, range(_NAMES * _WRITERS)))
    winners = [[content for content in created[place::_NAMES] if content is not None] for place in range(_NAMES)]
    late = list(pool.map(lambda name: _is_created(store, name, b"late\n"), names))
    times = max(len(won) + was_late for won, was_late in zip(winners, late, strict=True))
    if any(late) or times > 1:
        return _created_times(times)
    # With no winner its answer was lost and its repetition refused: there is nothing to compare with then.
    read = pool.map(lambda name, won: store.read(name) if won else None, names, winners)
    if any(won and content not in won for content, won in zip(read, winners, strict=True)):
        return "replaced a file, although it was to be made only if it is absent"
    return None


def _remove(store: StateStore, name: str) -> None:
    with suppress(StateError):  # what was found matters more than what is left of it
        store.delete(name)


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
