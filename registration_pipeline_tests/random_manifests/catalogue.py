"""The whole catalogue of mutations, and the random manifests that are made with it.

What does not belong here: single mutations (``catalogue_*.py``) and verdicts (``agreement.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from registration_pipeline_tests.random_manifests import catalogue_files, catalogue_items, catalogue_texts
from registration_pipeline_tests.random_manifests.draft import Draft
from registration_pipeline_tests.random_manifests.mutation import Expected, Mutation

if TYPE_CHECKING:
    from collections.abc import Sequence

CATALOGUE: Final = (*catalogue_items.MUTATIONS, *catalogue_texts.MUTATIONS, *catalogue_files.MUTATIONS)
CHEAP: Final = tuple(mutation for mutation in CATALOGUE if not mutation.is_costly)
ALONE: Final = 20
"""Manifests with nothing else than this mutation, of each."""

_HARMLESS: Final = tuple(mutation for mutation in CHEAP if mutation.expected is Expected.ACCEPTED)


@dataclass(frozen=True, slots=True)
class RandomManifest:
    """A manifest file and what was done to it."""

    number: int
    mutations: tuple[Mutation, ...]
    data: bytes


def mutations_of(number: int) -> tuple[Mutation, ...]:
    """Return what is done to the manifest of this number: first every mutation alone, then none to three cheap ones."""
    if number < ALONE * len(CATALOGUE):
        return (CATALOGUE[number % len(CATALOGUE)],)
    rng = Random(f"mutations {number}")
    count = rng.choice((0, 1, 1, 2, 2, 3))
    # Half of them are drawn from the harmless ones, else hardly any manifest with three would be taken.
    return tuple(rng.choice(_HARMLESS if rng.random() < 0.5 else CHEAP) for _ in range(count))


def random_manifest(number: int) -> RandomManifest:
    """Return the manifest of this number, always the same."""
    return mutated(Random(f"manifest {number}"), mutations_of(number), number)


def mutated(rng: Random, mutations: Sequence[Mutation], number: int = -1) -> RandomManifest:
    """Return a valid manifest after these mutations."""
    draft = Draft(rng)
    for mutation in mutations:
        mutation.apply(draft)
    return RandomManifest(number, tuple(mutations), draft.data())
