"""The list of all questions, in the order in which they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.rehearsal.findings import (
    duplicates,
    failures,
    folder,
    groups,
    metadata,
    registration,
    service,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.rehearsal.findings.finding import Finding
    from registration_pipeline.rehearsal.observations import Observations

RULES: Final[tuple[Callable[[Observations], Finding], ...]] = (
    folder.found_by_name,
    registration.registered,
    registration.titles_in_job,
    registration.items_in_folder,
    registration.titles_in_folder,
    registration.metadata_in_folder,
    registration.urls_in_folder,
    registration.counts,
    folder.visibility,
    folder.count,
    folder.item_times,
    folder.paging,
    folder.title_search,
    duplicates.skipped,
    duplicates.skipped_are_listed,
    duplicates.skipped_are_counted,
    duplicates.overlap,
    duplicates.respelled,
    duplicates.side_by_side,
    folder.deletion,
    duplicates.deleted_come_back,
    failures.unreadable,
    failures.error_urls,
    failures.error_texts,
    failures.job_with_error,
    failures.unknown_key,
    failures.kinds,
    folder.patched,
    metadata.media_in_json,
    metadata.media_in_typed_form,
    metadata.upserted,
    groups.skipped,
    groups.held_in_part,
    groups.errors,
    service.unknown_job,
    service.job_kept,
    service.polls,
    service.upload_jobs,
    service.rate_limit,
    service.clock,
)


def all_findings(seen: Observations) -> tuple[Finding, ...]:
    """Return the answer to every question; what was not come to is open."""
    return tuple(rule(seen) for rule in RULES)
