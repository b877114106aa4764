"""The commands that work on sources: run the jobs, then show the state. Options are in ``cli/declarations/``.

Each returns the exit status. Dagster is imported by those that run a job: what only shows the state answers a second sooner.
"""

import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from registration_pipeline.cli.failure_output import print_failures
from registration_pipeline.cli.output import (
    LONGEST_SHOWN,
    is_stdout_ascii,
    notice,
    print_json,
    print_plan,
    print_status,
    print_upserts,
    say,
    status_document,
    upserts_document,
    write_json,
)
from registration_pipeline.cli.session import (
    DONE,
    HALTED,
    JobRequest,
    exit_status,
    open_source,
    open_sources,
    refuse_in_state,
    report_disagreements,
    run_jobs,
)
from registration_pipeline.counted import counted
from registration_pipeline.errors import UsageError
from registration_pipeline.inventory.inventory import latest_inventory
from registration_pipeline.inventory.price_class import price_class
from registration_pipeline.planning.history import load_history
from registration_pipeline.project.project import Project
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.temporary import temporary_space
from registration_pipeline.tracking.due import has_failed, named_tasks
from registration_pipeline.tracking.failures.files import FailureRow, FailureTally, write_failures
from registration_pipeline.tracking.journal.states import ChunkState
from registration_pipeline.tracking.status import chunk_statuses

_OUT_SUFFIXES = (".csv", ".parquet", ".json")
_PIECE_CHARACTERS = 1 << 20


def sync_sources(config: Path | None, names: Sequence[str], *, as_json: bool, longest_wait: float | None = None) -> int:
    """Sync every selected source: inventory, plan, registration, failure log."""
    from registration_pipeline.orchestration.names import SourceNames

    project, sources = open_sources(config, names)
    jobs = [JobRequest(source.name, SourceNames(source.name).sync_job) for source in sources]
    errors, ended, _ = run_jobs(project, jobs, quiet=as_json, longest_wait=longest_wait)
    statuses = [ended.get(source.name) or project.status(source) for source in sources]
    halted = {name for name, _ in errors}
    shown = [status for status in statuses if status.inventory_id is not None or status.source not in halted]
    print_json(status_document(statuses, errors)) if as_json else print_status(shown)
    return exit_status(statuses, errors)


def inventory_source(config: Path | None, name: str, *, as_json: bool) -> int:
    """Take an inventory."""
    from registration_pipeline.orchestration.names import SourceNames

    project, source = open_source(config, name)
    errors, *_ = run_jobs(project, [JobRequest(source.name, SourceNames(source.name).inventory_job)], quiet=as_json)
    if errors:
        return exit_status([], errors)
    latest = latest_inventory(project.store, source.name)
    assert latest is not None
    document: dict[str, Any] = {
        "source": source.name,
        "inventory_id": latest.inventory_id,
        "objects": latest.objects,
        "bytes": latest.bytes,
        "requests": latest.requests,
        "requests_charged_as": price_class(
            source.location.scheme, is_report=source.storage.inventory_report is not None
        ),
        "seconds": round((latest.finished_at - latest.started_at).total_seconds(), 3),
        "path": project.store.location(f"{source.name}/inventory/{latest.inventory_id}"),
    }
    if as_json:
        print_json(document)
    else:
        say(
            f"{source.name}: {counted(latest.objects, 'object')}, {counted(latest.bytes, 'byte')} in "
            f"{document['seconds']} s, {counted(latest.requests, 'request')} (charged as {document['requests_charged_as']}): "
            f"{document['path']}"
        )
    return DONE


def plan_source(config: Path | None, name: str, *, dry_run: bool, as_json: bool) -> int:
    """Plan the latest inventory, or show what a plan would add."""
    project, source = open_source(config, name)
    before = load_history(project.store, source.name).wave_ids
    if not dry_run:
        from registration_pipeline.orchestration.names import SourceNames

        errors, *_ = run_jobs(project, [JobRequest(source.name, SourceNames(source.name).plan_job)], quiet=as_json)
        if errors:
            return exit_status([], errors)
    plan = project.plan(source, dry_run=dry_run)
    if plan.uri_notice:
        notice(plan.uri_notice)
    is_planned = plan.wave.wave_id in before
    upserts = project.upserts(source).preview() if dry_run and source.upsert_metadata else None
    if as_json:
        chunks = [{**asdict(chunk), "kind": chunk.kind.value} for chunk in plan.chunks]
        for chunk in chunks:
            del chunk["first_row"]  # of no use outside the state
        counts = asdict(plan.wave.counts)
        print_json(
            {
                "source": source.name,
                "dry_run": dry_run,
                "already_planned": is_planned,
                "wave_id": plan.wave.wave_id,
                "counts": counts,
                "warnings": plan.warnings.to_json(),
                "chunks": chunks,
                **({"upserts": upserts_document(upserts)} if upserts else {}),
            }
        )
    else:
        latest = latest_inventory(project.store, source.name)
        listed_at = latest.started_at if latest is not None and latest.inventory_id == plan.wave.inventory_id else None
        print_plan(source.name, plan, listed_at, dry_run=dry_run, is_planned=is_planned)
        if upserts is not None:
            print_upserts(upserts)
    return DONE


def submit_source(
    config: Path | None,
    name: str,
    *,
    chunk_ids: Sequence[str],
    failed: bool,
    force: bool,
    as_json: bool,
    longest_wait: float | None = None,
) -> int:
    """Register the chunks that are due, that failed, or that were named."""
    from registration_pipeline.orchestration.names import REGISTER_OP, SourceNames

    project, source = open_source(config, name)
    own = SourceNames(source.name)
    if load_history(project.store, source.name).latest is None:
        raise UsageError(
            f"Source {source.name!r} has no plan to submit: run `registration-pipeline sync {source.name}`, or "
            f"`inventory` and `plan` first."
        )
    known = chunk_statuses(project.store, source.name, project.snapshot(source))
    named_tasks(source.name, known, chunk_ids)  # a mistyped id is an answer of the command line, not a failed run
    if failed and not any(map(has_failed, known.values())) and not _has_failed_upserts(project, source):
        notice(f"{source.name}: nothing to send: no chunk has failures.")
    for chunk_id in () if force else dict.fromkeys(chunk_ids):
        if known[chunk_id].progress.state is ChunkState.SUCCEEDED:
            notice(
                f"{source.name}: nothing to send of chunk {chunk_id}: all its objects are registered. Use --force to send it "
                "all the same, for items that were deleted in Encord."
            )
    selection = {"chunks": list(chunk_ids), "failed": failed, "due": not failed, "force": force}
    run_config = {"ops": {f"{own.ident}_{REGISTER_OP}": {"config": selection}}}
    jobs = [JobRequest(source.name, own.submit_job, run_config)]
    errors, ended, _ = run_jobs(project, jobs, quiet=as_json, longest_wait=longest_wait)
    statuses = [ended.get(source.name) or project.status(source)]
    print_json(status_document(statuses, errors)) if as_json else print_status(statuses)
    if statuses[0].quarantined and not force:
        notice(
            f"Failed objects in chunks that were tried {counted(source.max_attempts, 'time')} (max_attempts): "
            f"{statuses[0].quarantined:,}. They are not retried until one of them is written again; "
            f"`registration-pipeline submit {source.name} --failed --force` tries them now."
        )
    return exit_status(statuses, errors)


def _has_failed_upserts(project: Project, source: SourceSettings) -> bool:
    return source.upsert_metadata and bool(project.upserts(source).view().counts().failed)


def cancel_chunks(config: Path | None, name: str, chunk_ids: Sequence[str], *, as_json: bool) -> int:
    """Cancel the open upload jobs of chunks."""
    project, source = open_source(config, name)
    known = chunk_statuses(project.store, source.name, project.snapshot(source))
    named_tasks(source.name, known, chunk_ids)
    cancelled = [one for chunk_id in chunk_ids for one in project.cancel(source, chunk_id)]
    if as_json:
        print_json([asdict(one) for one in cancelled])
    for one in () if as_json else cancelled:
        verb = "was" if one.units == 1 else "were"
        left = f"was cancelled, {counted(one.units, 'unit')} {verb} not registered"
        did = left if one.units else "had nothing left to cancel"
        say(f"{one.chunk_id}: upload job {one.job_id} {did}")
    for chunk_id in dict.fromkeys(chunk_ids):
        if all(one.chunk_id != chunk_id for one in cancelled):
            state = known[chunk_id].progress.state.replace("_", " ")
            notice(f"{chunk_id}: nothing to cancel: the chunk is {state} and waits for no upload job.")
    return DONE


def show_status(config: Path | None, names: Sequence[str], *, as_json: bool) -> int:
    """Show how many objects are in each state."""
    project, sources = open_sources(config, names)
    statuses = [project.status(source) for source in sources]
    print_json(status_document(statuses)) if as_json else print_status(statuses)
    return HALTED if report_disagreements(statuses) else DONE


def show_failures(config: Path | None, names: Sequence[str], *, out: Path | None, as_json: bool) -> int:
    """Show or write what is not registered: a row per failed unit and per rejected object."""
    project, sources = open_sources(config, names)
    if out is not None:
        check_out(out)
        refuse_in_state(project, out)
    rows = (row for source in sources for row in project.failures(source))
    tally = report_failures(rows, out=out, as_json=as_json)
    if out is None and not as_json:
        print_failures(tally, (project.status(source) for source in sources))
    return DONE


def report_failures(rows: Iterable[FailureRow], *, out: Path | None, as_json: bool) -> FailureTally:
    """Write the rows to where they are wanted, a batch at a time, and return what a table shows of them.

    Standard output gets the document when it is whole, and ``out`` is replaced when it is.
    """
    tally = FailureTally(LONGEST_SHOWN)
    with tempfile.TemporaryDirectory(prefix="registration-failures-", ignore_cleanup_errors=True) as folder:
        printed = Path(folder) / "printed.json"
        with replaced(out) if out else temporary_space("The list", printed) as beside:
            paths = [*([beside] if beside else []), *([printed] if as_json else [])]
            write_failures(tally.watch(rows), paths, is_ascii=is_stdout_ascii())
        if out is not None:
            notice(f"{counted(tally.rows, 'row')} written to {out}")
        if as_json:
            with printed.open(encoding="utf-8", newline="") as file:
                while piece := file.read(_PIECE_CHARACTERS):
                    write_json(piece)
    return tally


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """Give a file to write beside ``out``, which takes its place when it is whole."""
    beside = out.with_name(f".{secrets.token_hex(8)}{out.suffix}")
    try:
        yield beside
        beside.replace(out)
    except OSError as error:
        raise UsageError(
            f"--out {out} can't be written: {error.strerror}. Name a file in a folder that exists."
        ) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def check_out(out: Path) -> None:
    """Refuse a name before the state is read, which may take a while."""
    if out.suffix not in _OUT_SUFFIXES:
        raise UsageError(f"--out {out}: the name must end in {', '.join(_OUT_SUFFIXES[:-1])} or {_OUT_SUFFIXES[-1]}.")
