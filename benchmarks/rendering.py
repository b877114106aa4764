"""Manifests of units with client metadata and media metadata: rendered, and checked, beside ``json.dumps`` of dictionaries."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from benchmarks.measure import run_stage
from benchmarks.table import Table, megabytes, rate, ratio, seconds_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.measure import Measured, Stopwatch
    from registration_pipeline.planning.units import ChunkUnits


def run(objects: int, folder: Path) -> Table:
    """Measure as many units; nothing is written."""
    del folder
    table = Table(
        f"rendering: {objects:,} units with metadata in chunks of 1,000, one process",
        ("", "units/s", "time", "CPU", "units/s of CPU", "peak memory", "against baseline"),
    )
    for name, few in (("mixed", objects), ("images with an embedding of 512 numbers", max(1_000, objects // 20))):
        is_mixed = name == "mixed"
        options: dict[str, Any] = {"units": few, "embeddings_only": not is_mixed}
        baseline = run_stage(dump_dictionaries, **options)
        made, again = (run_stage(render, **options) for _ in range(2))
        assert made.facts["sha256"] == again.facts["sha256"] == baseline.facts["sha256"], "other bytes"
        table.add(f"{name}, baseline: json.dumps of dictionaries, unchecked", *_figures(few, baseline, baseline))
        table.add(f"{name}: rendered", *_figures(few, baseline, made))
        table.add(f"{name}: rendered again", *_figures(few, baseline, again))
        table.add(f"{name}: rendered and checked", *_figures(few, baseline, run_stage(render_and_check, **options)))
        table.add(f"{name}: checked alone", *_figures(few, baseline, run_stage(check, **options)))
    table.notes.append(
        "Mixed: of 20 chunks 9 of images, 3 of videos, 2 each of audio, PDF and text, one of groups of 5 images, one of "
        "images with an embedding of 512 numbers; 8 values of client metadata a unit, a block of media metadata an object. "
        "Baseline, rendering and rendering again give the same bytes (SHA-256 over all manifests)."
    )
    return table


def _figures(units: int, baseline: Measured, measured: Measured) -> tuple[str, ...]:
    return (
        rate(units, measured.seconds),
        seconds_text(measured.seconds),
        seconds_text(measured.cpu_seconds),
        rate(units, measured.cpu_seconds),
        megabytes(measured.peak_bytes),
        ratio(baseline.cpu_seconds, measured.cpu_seconds),
    )


def _measure(watch: Stopwatch, make: Callable[[str, ChunkUnits], bytes], units: int, *, embeddings_only: bool) -> None:
    from benchmarks.described_units import chunks

    digest = hashlib.sha256()
    for chunk_id, members in chunks(units, embeddings_only=embeddings_only):
        with watch:
            data = make(chunk_id, members)
        digest.update(data)
    watch.facts["sha256"] = digest.hexdigest()


def dump_dictionaries(watch: Stopwatch, *, units: int, embeddings_only: bool) -> None:
    """Stage: the baseline, which is what is written without a renderer: dictionaries, and ``json.dumps`` at the end."""
    from registration_pipeline.ids import objects_digest
    from registration_pipeline.objects import KINDS, MediaKind
    from registration_pipeline.planning.media_blocks import media_block
    from registration_pipeline.settings import SubmitAs

    def item_of(chunk_id: str, kind: MediaKind, rows: list[dict[str, Any]]) -> dict[str, Any]:
        first = rows[0]
        metadata = json.loads(first["client_metadata"])
        metadata |= {"registration.chunk": chunk_id, "registration.unit": first["unit_id"]}
        block = media_block(kind)
        if KINDS[kind].is_group:
            metadata["registration.objects"] = objects_digest(row["object_url"] for row in rows)
            item = {"clientMetadata": dict(sorted(metadata.items())), "createVideo": KINDS[kind].create_video}
            item |= {f"objectUrl_{position}": row["object_url"] for position, row in enumerate(rows)}
            return item | {"title": first["title"]}
        assert block is not None
        names = block.names(SubmitAs.JSON)
        facts = {names[key]: value for key, value in json.loads(first["media_metadata"]).items()}
        item = {"clientMetadata": dict(sorted(metadata.items())), "objectUrl": first["object_url"], block.key: facts}
        return dict(sorted((item | {"title": first["title"]}).items()))

    def dump(chunk_id: str, members: ChunkUnits) -> bytes:
        kind = MediaKind(members.first_values("kind")[0])
        names = ("unit_id", "title", "object_url", "client_metadata", "media_metadata")
        columns = dict(zip(names, map(members.values, names), strict=True))
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        items = [item_of(chunk_id, kind, rows[first:end]) for first, end in members.spans()]
        document = dict(sorted({KINDS[kind].list_key: items, "skip_duplicate_urls": True}.items()))
        return json.dumps(document, separators=(",", ":")).encode() + b"\n"

    _measure(watch, dump, units, embeddings_only=embeddings_only)


def render(watch: Stopwatch, *, units: int, embeddings_only: bool) -> None:
    """Stage: rendered."""
    from registration_pipeline.manifest.render import render_manifest

    _measure(watch, render_manifest, units, embeddings_only=embeddings_only)


def render_and_check(watch: Stopwatch, *, units: int, embeddings_only: bool) -> None:
    """Stage: rendered and checked."""
    from registration_pipeline.manifest.render import render_manifest
    from registration_pipeline.manifest.validate import validate_manifest

    def make(chunk_id: str, members: ChunkUnits) -> bytes:
        data = render_manifest(chunk_id, members)
        assert not validate_manifest(data)
        return data

    _measure(watch, make, units, embeddings_only=embeddings_only)


def check(watch: Stopwatch, *, units: int, embeddings_only: bool) -> None:
    """Stage: checked, what was rendered before and is not counted."""
    from benchmarks.described_units import chunks
    from registration_pipeline.manifest.canonical import is_canonical_and_valid
    from registration_pipeline.manifest.render import render_manifest

    for chunk_id, members in chunks(units, embeddings_only=embeddings_only):
        data = render_manifest(chunk_id, members)
        with watch:
            assert is_canonical_and_valid(data), "the long check is needed"
