"""What a state consists of, without its values: every kind of file with its columns or its members, as text to compare.

Also where every object of it is, in numbers.
"""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from registration_pipeline.manifest.files import ensure_manifest
from registration_pipeline.planning.wave import load_chunks
from registration_pipeline.tracking.due import due_tasks
from registration_pipeline.tracking.failures.log import source_failures
from registration_pipeline.tracking.status import chunk_statuses, source_status

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.state.store import StateStore

SOURCE = "fleet"
_NONCE = re.compile(r"-[0-9a-f]{8}-")
_DIGEST = re.compile(r"-[0-9a-f]{12}\.parquet$")


def description(root: Path) -> dict[str, list[str]]:
    """Return every kind of file below a source's folder, with what any file of that kind holds."""
    kinds: dict[str, set[str]] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            kinds.setdefault(kind_of(path.relative_to(root).as_posix()), set()).update(_content(path))
    return {kind: sorted(content) for kind, content in sorted(kinds.items())}


def names(root: Path) -> list[str]:
    """Return the names of all files, without what is drawn again for each writer."""
    found = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(_DIGEST.sub("-<digest>.parquet", _NONCE.sub("-<nonce>-", name)) for name in found)


def numbers(store: StateStore) -> dict[str, Any]:
    """Return what commands say of the state: counts, chunks, what is due, and every row of the failure log."""
    status = source_status(store, SOURCE)
    statuses = chunk_statuses(store, SOURCE)
    return {
        "status": {
            name: getattr(status, name)
            for name in ("objects", "excluded", "rejected", "registered", "pending", "failed", "changed", "deleted")
        },
        "chunks": {
            chunk_id: {
                "state": one.progress.state.value,
                "attempt": one.progress.attempt,
                "units": one.chunk.units,
                "objects": one.chunk.objects,
            }
            for chunk_id, one in statuses.items()
        },
        "chunk_count": len(statuses),
        "due": sorted(task.chunk.chunk_id for task in due_tasks(statuses, max_attempts=3)),
        "failures": sorted(
            [row.key, row.stage, row.reason, row.chunk_id or ""] for row in source_failures(store, SOURCE)
        ),
    }


def manifests(store: StateStore, root: Path) -> dict[str, bytes]:
    """Return the manifest of every chunk as the code makes it today, by the name of its file.

    ``ensure_manifest`` refuses a stored one with other bytes; where there is none it writes it.
    """
    chunks = load_chunks(store, SOURCE)
    made = (ensure_manifest(store, SOURCE, chunk) for chunk in chunks.values())
    return {manifest.name: (root.parent / manifest.name).read_bytes() for manifest in made}


def kind_of(name: str) -> str:
    """Return which kind of file a name is of."""
    folder, _, base = name.partition("/")
    suffix = base.rsplit(".", 1)[-1]
    stem = re.match(r"[a-z_A-Z]+", base.rsplit("/", 1)[-1])
    event = re.search(r"-([a-z_]+)\.json$", base)
    return f"{folder}/…/{event[1] if event else stem[0] if stem else '…'}.{suffix}" if base else folder


def _content(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return [f"{field.name}: {field.type}{'' if field.nullable else ' not null'}" for field in pq.read_schema(path)]
    if path.suffix == ".json":
        return _members(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".gz":
        lines = gzip.decompress(path.read_bytes()).splitlines()
        return sorted({member for line in lines for member in _members(json.loads(line))})
    heading = path.read_text(encoding="utf-8").splitlines()[:1]
    return [column for line in heading for column in line.split(",")]


def _members(value: Any, above: str = "") -> list[str]:
    """Return the path and type of every member; those of lists together."""
    if isinstance(value, dict):
        return [path for name, inner in value.items() for path in _members(inner, f"{above}.{name}")] or [
            f"{above}: object"
        ]
    if isinstance(value, list):
        return [path for inner in value for path in _members(inner, f"{above}[]")] or [f"{above}: list"]
    return [f"{above}: {type(value).__name__}"]
