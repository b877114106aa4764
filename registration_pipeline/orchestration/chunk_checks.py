"""The checks over the chunks of a source: whether all manifests are valid, and whether any chunk has failures.

Both are about the whole source, whatever a run worked on: a run of one chunk, an empty one or one that halted must not turn a
check green that another chunk has turned red (docs/decisions/051-truthful-checks.md). What does not belong here:
the checks of other stages, which are with the stages.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

import dagster as dg

from registration_pipeline.counted import counted
from registration_pipeline.objects import FailureReason
from registration_pipeline.orchestration import metadata, names
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.stages import CheckReport, ManifestTally
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from registration_pipeline.planning.wave import PlannedChunk
    from registration_pipeline.tracking.status import ChunkStatus

_MOST_VERIFIED = 100
"""Failed chunks of earlier runs whose manifests are made again for the check: a few milliseconds for each thousand objects."""


def chunk_checks(
    project: Project, source: SourceSettings, own: SourceNames, manifests: ManifestTally | None
) -> list[CheckReport]:
    """Return the checks after a run, also after one that halted.

    Args:
        project: the configuration.
        source: which.
        own: its names.
        manifests: those that the run made; None: it did not show manifests, and their check is left out.

    Raises:
        StateError: the state can't be read.
    """
    from registration_pipeline.tracking.status import chunk_statuses

    statuses = chunk_statuses(project.store, source.name, project.snapshot(source))
    registered = _no_failed_chunks(source, own, statuses)
    if manifests is None:
        return [registered]
    for chunk in _refused_before(statuses, manifests):
        _verify(project, source, chunk, manifests)
    return [_manifests_valid(own, manifests), registered]


def _refused_before(statuses: "Mapping[str, ChunkStatus]", manifests: ManifestTally) -> "Iterator[PlannedChunk]":
    """Return chunks that are failed because of their manifest, and that the run did not find invalid itself."""
    from registration_pipeline.tracking.due import failed_chunks

    refused = (
        chunk
        for chunk in failed_chunks(statuses)
        if chunk.chunk_id not in manifests.invalid and FailureReason.MANIFEST_REFUSED in _reasons(statuses, chunk)
    )
    return islice(refused, _MOST_VERIFIED)


def _reasons(statuses: "Mapping[str, ChunkStatus]", chunk: "PlannedChunk") -> Mapping[str, int]:
    verdict = statuses[chunk.chunk_id].progress.verdict
    return verdict.reasons if verdict is not None else {}


def _verify(project: Project, source: SourceSettings, chunk: "PlannedChunk", manifests: ManifestTally) -> None:
    from registration_pipeline.manifest.files import ensure_manifest

    made = ensure_manifest(project.store, source.name, chunk, limits=project.manifest_limits)
    if made.violations:
        manifests.add_invalid(chunk, made)


def _manifests_valid(own: SourceNames, manifests: ManifestTally) -> CheckReport:
    invalid = len(manifests.invalid)
    return CheckReport(
        names.MANIFESTS_VALID,
        own.manifest,
        passed=not invalid,
        description=f"{counted(invalid, 'manifest')} would be refused by Encord."
        if invalid
        else "No invalid manifests.",
        metadata={
            "manifests": manifests.made,
            "invalid_manifests": invalid,
            "violations": dg.MetadataValue.json(manifests.violations),
        },
    )


def _no_failed_chunks(source: SourceSettings, own: SourceNames, statuses: "Mapping[str, ChunkStatus]") -> CheckReport:
    from registration_pipeline.tracking.due import failed_chunks

    failed = failed_chunks(statuses)
    units: Counter[str] = Counter()
    for chunk in failed:
        units.update(_reasons(statuses, chunk))
    shown = [chunk.chunk_id for chunk in failed[: metadata.SAMPLE_ROWS]]
    said = f"{counted(len(failed), 'chunk')} with {counted(units.total(), 'unit')} that Encord refused."
    return CheckReport(
        names.NO_FAILED_CHUNKS,
        own.registration,
        passed=not failed,
        description=said if failed else "No failed chunks.",
        metadata={
            "failed_chunks": len(failed),
            "failed_units": units.total(),
            **({"reasons": metadata.reasons_table({"units": units})} if units else {}),
            **(_what_to_do(source, own, shown) if failed else {}),
        },
    )


def _what_to_do(source: SourceSettings, own: SourceNames, first: list[str]) -> dict[str, str]:
    """Return what only a check that found failed chunks shows: a green one asks for nothing."""
    return {
        "first_failed_chunks": ", ".join(first),
        "what to do": f"fix what the failure log names, then retry the failed partitions, run the job "
        f"{own.retry_job}, or `registration-pipeline submit {source.name} --failed`",
    }
