"""The verification of a source's whole state, kind by kind. How each kind is verified is in the modules beside this one."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.notify.records import AlertRecords
from registration_pipeline.planning.history import load_history
from registration_pipeline.state.damage import ADVICE_LEFT_OUT, LEFT_OUT, MISSING
from registration_pipeline.state.identity import identity_problem
from registration_pipeline.state.layout import (
    alerts_folder,
    audit_folder,
    inventory_writers_folder,
    lease_folder,
    lineage_name,
    links_folder,
    owner_of,
    reports_folder,
    state_version_name,
    upserts_source,
)
from registration_pipeline.state.owned import is_own
from registration_pipeline.state.parquet import read_parts
from registration_pipeline.state.sealed import open_sealed
from registration_pipeline.state.version import require_layout
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.links.ledger import LinkRecords
from registration_pipeline.tracking.snapshot import read_snapshot
from registration_pipeline.tracking.status import source_status
from registration_pipeline.tracking.upserts import upsert_view
from registration_pipeline.verification.chunks import ChunkVerifier, report_pairs
from registration_pipeline.verification.markers import verify_markers
from registration_pipeline.verification.reading import LARGE_FILES, check_each, read_each
from registration_pipeline.verification.report import Damage, StateReport
from registration_pipeline.verification.reports import pair_damage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from registration_pipeline.state.store import StateStore

_NAMED: Final = ("inventory", "plan", "census", "ledger", "facts", "outcomes", "prior_items")
"""Folders whose Parquet files count only where something names them."""


def verify_state(store: StateStore, source: str) -> StateReport:
    """Check every file of a source's state. Nothing is changed.

    Args:
        store: the state.
        source: its name.

    Raises:
        StateLayoutError: the state has another layout.
        StateError: the state can't be read.
    """
    report = StateReport(source)
    try:
        require_layout(store, source)
    except StateCorruptError as error:
        report.add(Damage(state_version_name(source), f"is damaged: {error}"))
    listed = list(store.names(f"{source}/"))
    names = list(filter(is_own, listed))
    report.foreign = tuple(name for name in listed if not is_own(name))
    for name in _left_out(store, source, listed):
        report.add(Damage(name, f"{LEFT_OUT}: the listing is broken", ADVICE_LEFT_OUT))
    upserts = upserts_source(source)
    _verify_lineage(store, [name for name in names if owner_of(name)[0] == source], report)
    below = StateReport(upserts)
    _verify_lineage(store, [name for name in names if owner_of(name)[0] == upserts], below)
    report.include(below)
    for name, damage in report.damaged.items():
        if damage.problem.startswith(MISSING) and store.exists(name):
            report.damaged[name] = Damage(name, LEFT_OUT, ADVICE_LEFT_OUT)
    if not report.damaged:
        _compare_numbers(store, report)
    return report


def _left_out(store: StateStore, source: str, listed: Sequence[str]) -> Iterator[str]:
    """Yield files that every state has, that can be read by their names, and that no listing shows.

    A store or proxy whose listing is empty makes a state look as if nothing had ever been stored.
    """
    unseen = [name for name in (state_version_name(source), lineage_name(source, 1)) if name not in listed]
    there = [name for name in unseen if store.exists(name)]
    if there:
        shown = {*store.names(f"{source}/")}  # again: a first run may have begun the state meanwhile
        yield from (name for name in there if name not in shown)


def _verify_lineage(store: StateStore, names: Sequence[str], report: StateReport) -> None:
    """Check every file of a source, or of what stands for one.

    Args:
        store: the state.
        names: its own files.
        report: about it.
    """
    report.files = len(names)
    markers = verify_markers(store, names, report)
    chunks = ChunkVerifier(store, names, report)
    chunks.verify()
    _verify_reports(store, names, report)
    _verify_figures(store, names, report)
    _verify_json(store, names, report)
    _verify_links(store, names, report)
    _verify_alerts(store, names, report)
    _count_leftovers(names, {*markers.parts, *chunks.outcomes}, report)


def _verify_reports(store: StateStore, names: Sequence[str], report: StateReport) -> None:
    for folder in (f"{report.source}/failure_log/", audit_folder(report.source)):
        sound = (pair for pair in report_pairs(names, folder) if pair[0] not in report.damaged)
        for _, damage in check_each(store, lambda pair: pair_damage(store, *pair), sound):
            if damage is not None:
                report.add(damage)


def _verify_figures(store: StateStore, names: Sequence[str], report: StateReport) -> None:
    """Read the figures of every report, which the next one begins with; its page has no digest, and nothing reads it."""
    folder = reports_folder(report.source)
    figures = (name for name in names if name.startswith(folder) and name.endswith(".json"))
    for name, data in read_each(store, figures):
        if data is None:
            continue  # the newest are kept
        report.bytes += len(data)
        try:
            open_sealed(data)
        except ValueError as error:
            report.add(Damage(name, f"is damaged: {error}"))


def _verify_json(store: StateStore, names: Sequence[str], report: StateReport) -> None:
    """See that claims can be understood; they have no digest, and one that can't be understood makes others wait longer."""
    folders = (lease_folder(report.source), inventory_writers_folder(report.source))
    for name, data in read_each(store, (name for name in names if name.startswith(folders))):
        try:
            json.loads(data or b"{}")
        except ValueError as error:
            report.add(Damage(name, f"is damaged: {error}"))


def _verify_links(store: StateStore, names: Sequence[str], report: StateReport) -> None:
    """Read every record of links, and the summaries of them, which can be made again."""
    folder = links_folder(report.source)
    summaries = (name for name in names if name.startswith(folder) and name.endswith(".json.gz"))
    for name, data in read_each(store, summaries, ahead=LARGE_FILES):
        if data is None:
            continue  # replaced since it was listed
        report.bytes += len(data)
        try:
            open_sealed(gzip.decompress(data))
        except (ValueError, OSError, EOFError, zlib.error) as error:
            report.add(Damage(name, f"is damaged: {error}", "Delete it: the next sync makes it again from the records"))
    entries = [name for name in names if name.startswith(folder) and name.endswith(".json")]
    for name, data in read_each(store, entries):
        report.bytes += len(data or b"")
        try:
            open_sealed(data if data is not None else store.read(name))
        except ValueError as error:
            report.add(Damage(name, f"is damaged: {error}"))
    if entries and not report.damaged:
        try:
            LinkRecords(store, report.source).read(without_summary=True)
        except StateCorruptError as error:
            report.add(Damage(folder, f"can't be read: {error}"))


def _verify_alerts(store: StateStore, names: Sequence[str], report: StateReport) -> None:
    """Read every record of a message, and the failures that the newest one names."""
    folder = alerts_folder(report.source)
    entries = [name for name in names if name.startswith(folder) and name.endswith(".json")]
    for name, data in read_each(store, entries):
        report.bytes += len(data or b"")
        try:
            problem = identity_problem(name, open_sealed(data if data is not None else store.read(name)))
        except ValueError as error:
            problem = f"is damaged: {error}"
        if problem is not None:
            report.add(Damage(name, problem))
    if entries and not any(name.startswith(folder) for name in report.damaged):
        try:
            known = AlertRecords(store, report.source).memory().known
            for _ in read_parts(store, known.parts if known else ()):
                pass
        except StateCorruptError as error:
            report.add(Damage(folder, f"can't be read: {error}"))


def _count_leftovers(names: Iterable[str], named: set[str], report: StateReport) -> None:
    folders = tuple(f"{report.source}/{folder}/" for folder in _NAMED)
    report.leftovers = sum(
        name.startswith(folders) and name.endswith(".parquet") and name not in named for name in names
    )


def _compare_numbers(store: StateStore, report: StateReport) -> None:
    """Read the state as commands do, and count."""
    folder = f"{report.source}/"
    try:
        load_history(store, report.source, is_trusted=False)
        snapshot = read_snapshot(store, report.source)
        said = source_status(store, report.source, snapshot).disagreements
        for _ in source_failures(store, report.source, snapshot):
            pass
        view = upsert_view(store, upserts_source(report.source))
        for _ in view.failures(report.source):
            pass
    except StateCorruptError as error:
        report.add(Damage(folder, f"can't be read: {error}"))
    else:
        if said:
            report.add(Damage(folder, f"does not add up: {' '.join(said)}"))
