"""How much of each campaign is run: a small dose with every change, a long one in ``make soak``.

A campaign is a test that finds more the longer it runs: kills, random faults, random manifests, broken variants. It is the
same test at both lengths and carries the marker ``soak``, so that what soak finds can be repeated with the small dose.
What does not belong here: numbers that a test's meaning depends on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

VARIABLE: Final = "TEST_DOSES"
"""``soak`` in the environment: the long doses. Anything else, or nothing: the small ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doses:
    """One length of all campaigns.

    A small dose goes through the whole of its campaign once: what it says here is what it shows.

    Args:
        kills: kills of the whole process group of a sync; the eight stages to kill in take turns, so 12 hit each of them.
        kill_moments: kills of one registering process.
        pauses: of the whole process group of a sync, each until another one has taken over and finished.
        host_events: kills, pauses and jumps of the clock of one of two hosts that sync all the time.
        fault_objects: objects registered while Encord fails, in 50 chunks at any length: requests fail, not objects, and
            1,000 met 80 failures in 60 jobs and two syncs, 2,000 met 92 and 5,000 met 121. A sequence has 20 objects, so
            1,000 are the fewest.
        fault_seeds: random seeds of those failures, a whole registration each.
        http_manifests: random manifests sent to the sandbox over HTTP.
        one_in_manifests: every how-many-th of the other random manifests is judged without HTTP.
        one_in: of the broken validators and sandboxes, every how-many-th is tried.
        model_examples: examples of the submission's state machine, of each seed.
        model_seeds: at least this many seeds of it; seeds go on until enough events of its list were seen.
        alone_examples: examples of the same machine with one process at a time, which needs no lease.
        upsert_examples: examples of the state machine of upserts; the fast tier runs 2 others.
        audit_worlds: folders in Encord and states beside them that are audited, each beside a model; all six findings come
            at least twice in 40.
        adopted_worlds: of these, adopted and synced.
        lease_plays: interleavings of processes that want one lease; the fast tier plays 5 others.
        link_stories: stories of nights of linking items to datasets, with kills and lost replies.
        plan_stories: stories of nights of a bucket with groups, each beside a model of the plan.
        metadata_examples: sources with any entries of metadata, each beside a model of what they come to.
        flipped_bits: bits that are flipped in each kind of file of a state, one at a time; with 1 each kind of file has one.
        one_in_syncs: every how-many-th of these states is also synced.
        chunks: upload jobs of one run whose partitions are counted.
        hostile_files: media files made from good ones, that are probed.
        bucket_thousands: thousands of objects of one bucket that is synced whole, again, and with a few more; two fill
            a chunk of images and one of videos and begin another of each.
    """

    kills: int
    kill_moments: int
    pauses: int
    host_events: int
    fault_objects: int
    fault_seeds: int
    http_manifests: int
    one_in_manifests: int
    one_in: int
    model_examples: int
    model_seeds: int
    alone_examples: int
    upsert_examples: int
    plan_stories: int
    metadata_examples: int
    audit_worlds: int
    adopted_worlds: int
    lease_plays: int
    link_stories: int
    flipped_bits: int
    one_in_syncs: int
    chunks: int
    hostile_files: int
    bucket_thousands: int


PUSH: Final = Doses(
    kills=12,
    kill_moments=8,
    pauses=2,
    host_events=2,
    fault_objects=1_000,
    fault_seeds=1,
    http_manifests=350,
    one_in_manifests=4,
    one_in=8,
    model_examples=50,
    model_seeds=1,
    alone_examples=15,
    upsert_examples=15,
    plan_stories=12,
    metadata_examples=60,
    audit_worlds=40,
    adopted_worlds=16,
    lease_plays=150,
    link_stories=10,
    flipped_bits=1,
    one_in_syncs=4,
    chunks=12,
    hostile_files=500,
    bucket_thousands=2,
)
SOAK: Final = Doses(
    kills=100,
    kill_moments=15,
    pauses=12,
    host_events=50,
    fault_objects=50_000,
    fault_seeds=3,
    http_manifests=10_000,
    one_in_manifests=1,
    one_in=1,
    model_examples=100,
    model_seeds=7,
    alone_examples=100,
    upsert_examples=100,
    plan_stories=600,
    metadata_examples=2_000,
    audit_worlds=1_000,
    adopted_worlds=400,
    lease_plays=4_000,
    link_stories=1_000,
    flipped_bits=30,
    one_in_syncs=1,
    chunks=50,
    hostile_files=100_000,
    bucket_thousands=25,
)
IS_SOAK: Final = os.environ.get(VARIABLE) == "soak"
DOSES: Final = SOAK if IS_SOAK else PUSH
PLACES_VARIABLE: Final = "TEST_STATE_PLACES"
"""Names of ``state_places.py`` with commas between them, to run a campaign with its state there, at either length."""
_ALL_PLACES: Final = "path,moto,seaweedfs,gcs,azurite"
STATE_PLACES: Final = os.environ.get(PLACES_VARIABLE, _ALL_PLACES if IS_SOAK else "path").split(",")
"""Where the state of a campaign is, one after the other."""

IS_THOROUGH: Final = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
"""The profile that ``make soak`` uses; it raises the examples of every property test."""


def examples(with_every_change: int, *, thorough: int) -> int:
    """Return how many examples a property test tries that has numbers of its own.

    A number in its ``settings`` would hold for every profile of hypothesis, and soak would find no more than a change does.

    Args:
        with_every_change: for tests whose examples cost more, or less, than those of others.
        thorough: in the profile ``thorough``.
    """
    return thorough if IS_THOROUGH else with_every_change


def sample(cases: Sequence[T]) -> list[T]:
    """Return the cases of a campaign that are tried: evenly spread, the first among them."""
    return list(cases[:: DOSES.one_in])
