"""The stage that links registered units to a dataset, as the shell runs it: an asset of sources that have one.

What does not belong here: which units are linked where (``submission/datasets``).
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import dagster as dg

from registration_pipeline.errors import RegistrationPipelineError
from registration_pipeline.orchestration import metadata, names
from registration_pipeline.orchestration.asset_specs import declared
from registration_pipeline.orchestration.hosted import hosted
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.listener import errors_as_failures
from registration_pipeline.orchestration.stages import CheckReport, StageReport
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.stages.submission import DatasetLinked, link_dataset

if TYPE_CHECKING:
    from registration_pipeline.submission.datasets.linking import LinkTotals
    from registration_pipeline.tracking.links.counts import DatasetCounts


def has_dataset(source: SourceSettings) -> bool:
    """Return whether registered units are linked to a dataset."""
    return source.dataset is not None


def dataset_report(project: Project, source: SourceSettings, own: SourceNames, linked: DatasetLinked) -> StageReport:
    """Return what to show of a dataset after linking."""
    return StageReport(
        _metadata(project, source, linked.counts, linked.totals), (_complete(source, own, linked.counts),)
    )


def check_after_halt(project: Project, source: SourceSettings, own: SourceNames) -> list[CheckReport]:
    """Return the check of what is linked after linking has halted; none if the state can't be read."""
    from registration_pipeline.tracking.links.counts import dataset_counts

    with suppress(RegistrationPipelineError):  # the halt is what must be said
        return [_complete(source, own, dataset_counts(project.store, project.snapshot(source)))]
    return []


def _complete(source: SourceSettings, own: SourceNames, counts: "DatasetCounts") -> CheckReport:
    return CheckReport(
        names.DATASET_COMPLETE,
        own.dataset,
        passed=not counts.pending and not counts.failed,
        metadata={
            **counts.as_json(),
            "what to do": f"`registration-pipeline failures {source.name}` says which units could not be linked and why; "
            f"`registration-pipeline submit {source.name} --failed` tries them again",
        },
    )


def _metadata(
    project: Project, source: SourceSettings, counts: "DatasetCounts", totals: "LinkTotals | None"
) -> dict[str, Any]:
    from registration_pipeline.state.layout import links_folder
    from registration_pipeline.tracking.links.ledger import LinkRecords

    ledger = LinkRecords(project.store, source.name).read()
    datasets = [
        {"dataset": one.title, "items": ledger.fill.get(one.dataset_uuid, 0), "uuid": one.dataset_uuid}
        for one in ledger.datasets
    ]
    shown: dict[str, Any] = {
        "dagster/row_count": counts.linked,
        **{f"{name}_units": count for name, count in counts.as_json().items()},
        "datasets": metadata.table(datasets, ("dataset", "items", "uuid")),
        "records": metadata.link(project.store, links_folder(source.name)),
    }
    if totals is not None:
        shown["linked_now_units"] = totals.linked
        if totals.reasons:
            shown["reasons"] = metadata.reasons_table({"units": totals.reasons})
    return shown


def build_dataset_asset(own: SourceNames) -> dg.AssetsDefinition:
    """Return the asset of a source that has a dataset."""
    check = dg.AssetCheckSpec(
        names.DATASET_COMPLETE, asset=own.dataset, description="Every registered unit is linked to the dataset."
    )

    @dg.asset(**declared(own, "dataset"), check_specs=[check], pool=own.pool)
    @hosted(own, "dataset")
    def dataset(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        with errors_as_failures():
            project, source = load_source(context, own)
        try:
            with errors_as_failures():
                report = dataset_report(project, source, own, link_dataset(project, source, context.log.info))
        except dg.Failure:
            yield from (check.as_result() for check in check_after_halt(project, source, own))
            raise
        yield dg.MaterializeResult(
            metadata=report.metadata, check_results=[check.as_result() for check in report.checks]
        )

    return dataset
