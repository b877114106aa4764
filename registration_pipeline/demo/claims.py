"""What the demo claims at its end, each claim checked against what was observed.

What does not belong here: observing (``observation``) and printing (``story``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registration_pipeline.demo.configuration import BUCKET_SOURCE, DIRECTORY_SOURCE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from registration_pipeline.demo.labels import Label
    from registration_pipeline.demo.layout import DemoLayout
    from registration_pipeline.demo.observation import ObjectName, Observation

_UPSERT = "-upsert-"
"""In the name of the manifest of an upsert."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of the report, and whether it is true."""

    text: str
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the sources hold, known from how they were generated.

    Args:
        good: objects that must be registered in the first sync.
        broken: objects that must be refused until they are repaired.
        rejected: objects that must never be submitted.
        added: objects that came after the first sync.
        labels: what client metadata must say of objects.
        corrected: objects whose labels were corrected after the first sync.
    """

    good: frozenset[ObjectName]
    broken: frozenset[ObjectName]
    rejected: frozenset[ObjectName]
    added: frozenset[ObjectName]
    labels: Mapping[ObjectName, Mapping[str, Any]]
    corrected: frozenset[ObjectName]


def expectation(
    bucket: DemoLayout,
    directory: DemoLayout,
    added: Sequence[Path],
    labels: Mapping[str, Label],
    corrected: Collection[str],
) -> Expectation:
    """Return what must become of the objects of two layouts.

    Args:
        bucket: the layout of the bucket.
        directory: the layout of the directory.
        added: files that were added to the bucket after the first sync.
        labels: what the table says of keys of the bucket.
        corrected: those of these keys whose label was another one in the first sync.
    """
    layouts = ((BUCKET_SOURCE, bucket), (DIRECTORY_SOURCE, directory))
    return Expectation(
        good=frozenset(
            (source, layout.key(layout.folder / name)) for source, layout in layouts for name in layout.media
        ),
        broken=frozenset((source, layout.key(path)) for source, layout in layouts for path in layout.broken_paths),
        rejected=frozenset((source, key) for source, layout in layouts for key in layout.rejected),
        added=frozenset((BUCKET_SOURCE, bucket.key(path)) for path in added),
        labels={(BUCKET_SOURCE, key): label.values for key, label in labels.items()},
        corrected=frozenset((BUCKET_SOURCE, key) for key in corrected),
    )


def check_claims(expected: Expectation, first: Observation, retried: Observation, last: Observation) -> list[Claim]:
    """Return the report's claims.

    Args:
        expected: what the sources hold.
        first: after the first sync.
        retried: after the repair and the retry.
        last: after the second sync.
    """
    everything = expected.good | expected.broken | expected.added
    retries = len(retried.jobs) - len(first.jobs)
    new_chunks, jobs = last.chunks - retried.chunks, last.jobs[len(retried.jobs) :]
    new_jobs = [job for job in jobs if _UPSERT not in (job.file_name or "")]
    sent = sum(job.units for job in new_jobs)
    return [
        Claim(
            f"The first sync registered {len(expected.good)} good objects; Encord refused exactly the "
            f"{len(expected.broken)} broken ones.",
            set(first.registered) == expected.good and first.failed == expected.broken,
        ),
        Claim(
            f"{len(expected.rejected)} objects that Encord can't take were never sent, and the failure log says why.",
            first.rejected == last.rejected == expected.rejected,
        ),
        Claim(
            f"The retry sent the {len(first.failed_chunks)} chunks with failures again and no other; "
            f"nothing is left that failed.",
            retries == len(first.failed_chunks)
            and not retried.failed
            and set(retried.registered) == expected.good | expected.broken,
        ),
        Claim(
            f"The second sync sent {len(new_chunks)} new chunks with the {len(expected.added)} new objects, "
            "and no other object.",
            len(new_jobs) == len(new_chunks) > 0 and sent == len(expected.added) and retried.chunks <= last.chunks,
        ),
        Claim(
            f"{len(everything)} of {len(everything)} objects are in Encord, each exactly once; {last.duplicates} duplicates.",
            set(last.registered) == everything and set(last.registered.values()) == {1} and last.duplicates == 0,
        ),
        Claim(
            f"Dagster shows {len(last.chunks)} chunks, all materialized; after the first sync it showed all but those "
            "with failures.",
            first.materialized == first.chunks - first.failed_chunks and last.materialized == last.chunks,
        ),
        Claim(
            "For every source: objects = excluded + rejected + registered + pending + failed.",
            all(status.adds_up for seen in (first, retried, last) for status in seen.statuses.values())
            and sum(status.registered for status in last.statuses.values()) == len(everything),
        ),
        *_claims_of_metadata(expected, retried, last),
    ]


def _claims_of_metadata(expected: Expectation, retried: Observation, last: Observation) -> Iterator[Claim]:
    upserts = [job for job in last.jobs[len(retried.jobs) :] if _UPSERT in (job.file_name or "")]
    in_bucket = {name for name in expected.good | expected.broken | expected.added if name[0] == BUCKET_SOURCE}
    yield from (
        Claim(
            f"{len(expected.labels)} camera frames carry the weather and speed that labels.csv says.",
            len(expected.labels) > 0
            and all(last.metadata.get(name, {}).items() >= values.items() for name, values in expected.labels.items()),
        ),
        Claim(
            f"{len(last.media)} images, videos, audio files and PDFs of the bucket arrived with their size, length or pages, "
            "read from parts of them.",
            last.media >= {name for name in expected.good | expected.added if _has_media(name)},
        ),
        Claim(
            f"The second sync sent the new metadata of the {len(expected.corrected)} corrected frames, and of nothing else.",
            sum(job.units for job in upserts) == len(expected.corrected) > 0,
        ),
        Claim(
            f"{last.linked.total()} items of the bucket are in {last.datasets} datasets, each once.",
            set(last.linked) == in_bucket and set(last.linked.values()) == {1},
        ),
    )


def _has_media(name: ObjectName) -> bool:
    """Return whether an object is in the source that is probed, and of a kind of whose media something is said."""
    source, key = name
    return source == BUCKET_SOURCE and not key.endswith((".nii", ".nii.gz", ".txt", ".json", ".html"))
