"""Values of client metadata that are read object by object: what is kept of each, whatever they are read from.

What does not belong here: reading (``facts/sidecars``, ``facts/object_metadata``) and what no value may be (``values.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from registration_pipeline.facts.metadata.values import (
    canonical,
    prefixed,
    problem_message,
    value_problems,
    without_nulls,
)
from registration_pipeline.facts.reading.spec import WAITING
from registration_pipeline.objects import RejectionReason

if TYPE_CHECKING:
    from collections.abc import Mapping

INVALID: Final = RejectionReason.INVALID_METADATA.value
UNREADABLE: Final = RejectionReason.METADATA_UNREADABLE.value


class ReadValues(NamedTuple):
    """What was read for one object.

    Args:
        values: canonical JSON as in ``VALUES_SCHEMA``; None: nothing is known.
        problem: None, ``INVALID``, ``UNREADABLE`` or ``WAITING``.
        message: what is wrong and what to do; None without a problem.
        bytes_read: from the store.
    """

    values: str | None = None
    problem: str | None = None
    message: str | None = None
    bytes_read: int = 0


def unreadable(message: str) -> ReadValues:
    """Return what is kept of an object whose values can't be read; the message says why."""
    return ReadValues(problem=UNREADABLE, message=message)


def waiting(message: str) -> ReadValues:
    """Return what is kept of an object whose values can't be read now; the message says why."""
    return ReadValues(problem=WAITING, message=message)


def checked_values(values: Mapping[str, Any], prefix: str, *, key: str, place: str, bytes_read: int) -> ReadValues:
    """Return values with their prefix and without nulls, or what is wrong with them.

    Args:
        values: as they were read.
        prefix: of the entry.
        key: of the object that they belong to.
        place: where they are, for people, e.g. ``sidecar 'a.png.json'``.
        bytes_read: from the store.
    """
    kept = prefixed(without_nulls(values), prefix)
    if problems := value_problems(kept):
        return ReadValues(problem=INVALID, message=problem_message(key, place, problems), bytes_read=bytes_read)
    return ReadValues(values=canonical(kept), bytes_read=bytes_read)
