"""Verifies what carries or has a digest: commit markers, the lineage, and the parts that they name.

What does not belong here: journals and what belongs to a chunk (``chunks.py``), and reports (``reports.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from xxhash import xxh3_128, xxh3_128_hexdigest

from registration_pipeline.errors import StateNotFoundError
from registration_pipeline.planning.wave import wave_order
from registration_pipeline.state.identity import identity_problem
from registration_pipeline.state.layout import (
    COMMIT_MARKER,
    inventory_folder,
    is_upserts,
    ledger_folder,
    lineage_folder,
    lineage_name,
    plan_folder,
)
from registration_pipeline.state.parquet import Part
from registration_pipeline.state.sealed import open_sealed
from registration_pipeline.verification.reading import SMALL_FILES, check_each, read_each
from registration_pipeline.verification.report import Damage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registration_pipeline.state.store import StateStore
    from registration_pipeline.verification.report import StateReport

_BLOCK_BYTES: Final = 1 << 20
_PART_MEMBERS: Final = {"name", "rows", "bytes", "xxh3"}


@dataclass(slots=True)
class Markers:
    """What the markers and the lineage of a source say.

    Args:
        parts: by name, with the file that names it.
        lineage: the digest of each entry of the lineage by the wave that it commits.
        waves: the digest of each wave's marker by its id.
        ledgers: the waves of each compacted ledger, by the name of its marker.
        planned: the inventory that the newest wave planned.
    """

    parts: dict[str, tuple[Part, str]] = field(default_factory=dict)
    lineage: dict[str, tuple[str, str]] = field(default_factory=dict)
    waves: dict[str, str] = field(default_factory=dict)
    ledgers: dict[str, list[str]] = field(default_factory=dict)
    planned: str | None = None


def verify_markers(store: StateStore, names: Sequence[str], report: StateReport) -> Markers:
    """Verify every commit marker, every entry of the lineage and every part that any of them names.

    Args:
        store: the state.
        names: of all files of the source.
        report: takes what is damaged.
    """
    found, folder = Markers(), lineage_folder(report.source)
    documents = (name for name in names if name.endswith(f"/{COMMIT_MARKER}") or name.startswith(folder))
    for name, data in read_each(store, documents):
        if data is not None:  # else it was replaced since it was listed
            _take_document(name, data, found, report)
    _compare_lineage(found, report)
    _compare_order(found, report)
    if not {*store.names(folder)}.difference(names):  # else a wave was committed while its marker was listed
        _compare_markers(found, report)
    _compare_ledgers(found, report)
    if not is_upserts(report.source):  # they are of no inventory
        _compare_inventory(found, names, report)
    present = {*names}

    def damage_of(one: tuple[Part, str]) -> Damage | None:
        part, named_by = one
        return _part_damage(store, *one) if part.name in present else _missing(store, part.name, named_by)

    parts = (found.parts[name] for name in sorted(found.parts))
    for (part, _), damage in check_each(store, damage_of, parts, ahead=SMALL_FILES):
        report.bytes += part.bytes
        if damage is not None:
            report.add(damage)
    return found


def _take_document(name: str, data: bytes, found: Markers, report: StateReport) -> None:
    try:
        document = open_sealed(data)
    except ValueError as error:
        report.add(Damage(name, f"is damaged: {error}"))
        return
    report.bytes += len(data)
    problem = identity_problem(name, document)
    if problem is not None:
        report.add(Damage(name, problem))
        return
    for value in _parts_in(document):
        part = Part.from_json(value)
        found.parts.setdefault(part.name, (part, name))
    wave_id, digest = str(document.get("wave_id", "")), xxh3_128_hexdigest(data)
    if name.startswith(lineage_folder(report.source)):
        _add_entry(found, name, wave_id, digest, report)
    elif name.startswith(plan_folder(report.source)):
        found.waves[wave_id] = digest
    else:
        if name.startswith(ledger_folder(report.source)):
            found.ledgers[name] = list(document["wave_ids"])
        return
    newest = max((*found.lineage, *found.waves), key=wave_order)
    found.planned = str(document["inventory_id"]) if newest == wave_id else found.planned


def _parts_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yield whatever has the form of a part in a document, wherever it is."""
    if isinstance(value, dict):
        if value.keys() >= _PART_MEMBERS:
            yield value
            return
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from _parts_in(inner)


def _compare_lineage(found: Markers, report: StateReport) -> None:
    for wave_id, (entry, digest) in found.lineage.items():
        marker = plan_folder(report.source, wave_id) + COMMIT_MARKER
        if wave_id not in found.waves:
            report.add(Damage(marker, f"is missing, though {entry} has its wave"))
        elif found.waves[wave_id] != digest:
            report.add(Damage(marker, f"is not what {entry} says of its wave"))


def _compare_order(found: Markers, report: StateReport) -> None:
    """See that the waves have their numbers in the order in which they were planned."""
    in_order = zip(found.lineage.items(), sorted(found.lineage, key=wave_order), strict=True)
    for (wave_id, (entry, _)), expected in in_order:
        if wave_id != expected:
            report.add(Damage(entry, f"is out of order: it has wave {wave_id}, and {expected} belongs there"))


def _compare_markers(found: Markers, report: StateReport) -> None:
    """See that every wave that has a marker has an entry, too."""
    numbers = {wave_id: int(PurePosixPath(entry).stem) for wave_id, (entry, _) in found.lineage.items()}
    previous = 0
    for wave_id in sorted({*found.waves, *numbers}, key=wave_order):
        if wave_id not in numbers:
            marker = plan_folder(report.source, wave_id) + COMMIT_MARKER
            if previous + 1 in numbers.values():
                report.add(Damage(marker, "has a wave that no entry of the lineage has"))
            else:
                report.add(
                    Damage(lineage_name(report.source, previous + 1), f"is missing, though {marker} has its wave")
                )
        previous = numbers.get(wave_id, previous + 1)


def _compare_ledgers(found: Markers, report: StateReport) -> None:
    """See that every compacted ledger has just the waves up to its number."""
    numbered = [(int(PurePosixPath(entry).stem), wave_id) for wave_id, (entry, _) in found.lineage.items()]
    if any(name.startswith(lineage_folder(report.source)) for name in report.damaged):
        return
    for marker, wave_ids in found.ledgers.items():
        number = int(PurePosixPath(marker).parent.name)
        if {*wave_ids} != {wave_id for one, wave_id in numbered if one <= number}:
            report.add(Damage(marker, "does not have the waves that the lineage has up to its number"))


def _add_entry(found: Markers, name: str, wave_id: str, digest: str, report: StateReport) -> None:
    other, _ = found.lineage.setdefault(wave_id, (name, digest))
    if other != name:
        for one, beside in ((name, other), (other, name)):
            report.add(Damage(one, f"has wave {wave_id}, as {beside} has: one of them is a copy"))


def _compare_inventory(found: Markers, names: Sequence[str], report: StateReport) -> None:
    """See that the inventory that was planned last is there: status and audits count over it."""
    marker = inventory_folder(report.source, found.planned) + COMMIT_MARKER
    if found.planned is not None and marker not in names:
        report.add(Damage(marker, "is missing, though its inventory is the one that was planned last"))


def _missing(store: StateStore, name: str, named_by: str) -> Damage | None:
    # A compacted ledger may have been replaced since its marker was read, with its files.
    is_named = store.exists(named_by) and not store.exists(name)
    return Damage(name, f"is missing, though {named_by} names it") if is_named else None


def _part_damage(store: StateStore, part: Part, named_by: str) -> Damage | None:
    digest, size = xxh3_128(), 0
    try:
        with store.open(part.name) as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    except StateNotFoundError:
        return _missing(store, part.name, named_by)
    if size != part.bytes:
        return Damage(part.name, f"is damaged: it has {size:,} bytes instead of {part.bytes:,}")
    return None if digest.hexdigest() == part.digest else Damage(part.name, "is damaged: it does not match its digest")
