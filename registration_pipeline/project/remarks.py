"""What a preflight remarks of a bucket: it keeps no sync from running, and may not be what was meant.

What does not belong here: what is wrong (``preflight.py``), and any request: only what was listed already is read.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.counted import counted
from registration_pipeline.globs import KeyRules, is_include_rule
from registration_pipeline.planning.nothing_included import nothing_included
from registration_pipeline.settings import SourceSettings

if TYPE_CHECKING:
    import pyarrow as pa


def bucket_remarks(source: SourceSettings, listed: "Sequence[pa.RecordBatch]") -> list[str]:
    """Return what to know of a source's address and of its globs, each as a sentence without its full stop.

    Args:
        source: which.
        listed: the first objects of its bucket, as far as they were listed.
    """
    keys = [key for batch in listed for key in batch.column("key").to_pylist()]
    return [said for said in (_neighbours(source, keys), _left_out(source, keys)) if said is not None]


def _neighbours(source: SourceSettings, keys: Sequence[str]) -> str | None:
    prefix = source.location.prefix
    if not prefix or prefix.endswith("/"):
        return None
    setting = f"sources.{source.name}.uri"
    beside = next((key for key in keys if not key.startswith(f"{prefix}/")), None)
    such_as = f"{prefix}-old/…" if beside is None else shortened(beside)
    return (
        f"{setting} does not end with a slash, so it takes all keys that begin with {prefix!r}, also such as {such_as!r}. "
        f"For the folder alone, write {source.uri}/ before the first sync"
    )


def _left_out(source: SourceSettings, keys: Sequence[str]) -> str | None:
    if not source.include or not keys:
        return None
    rules, found = KeyRules(source.include, source.exclude), None
    for key in keys:
        rule = rules.excluded_by(source.location.below_prefix(key))
        if rule is None:
            return None  # as a rule it is one of the first, so the others need not be asked
        if found is None and is_include_rule(rule):
            found = (key, rule)
    if found is None:
        return None
    objects = f"the first {counted(len(keys), 'object')}" if len(keys) > 1 else "the first object"
    return nothing_included(source, f"{objects} listed", *found)
