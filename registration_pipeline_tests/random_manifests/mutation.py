"""What a mutation is: a change to a draft, and what both sides must say to a manifest that has no other.

What does not belong here: the mutations themselves (``catalogue_*.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.random_manifests.draft import Draft


class Expected(StrEnum):
    """The verdict on a valid manifest with one mutation, as Encord's pages and the SDK have it."""

    ACCEPTED = "both accept it"
    REFUSED = "both refuse it"
    OURS = "the validator refuses it by a rule of our own, Encord's pages don't"


@dataclass(frozen=True, slots=True)
class Mutation:
    """One entry of the catalogue.

    Args:
        name: what it does.
        expected: see ``Expected``.
        apply: does it, on items of its own wherever it can, so that mutations don't undo each other.
        is_costly: makes megabytes, so it is not drawn at random.
    """

    name: str
    expected: Expected
    apply: Callable[[Draft], object]
    is_costly: bool = False
