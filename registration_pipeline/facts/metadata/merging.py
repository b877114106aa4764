"""Merges what all entries say of a batch of objects, and checks it: rows of the set ``metadata``.

What does not belong here: reading sets of facts (``entry_values.py``) and writing the result (``making.py``).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.facts.metadata.metadata_set import METADATA_SCHEMA
from registration_pipeline.facts.metadata.values import (
    canonical,
    merged_values,
    problem_message,
    sent_bytes,
    value_problems,
)
from registration_pipeline.limits import MAX_CLIENT_METADATA_BYTES
from registration_pipeline.objects import RejectionReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.facts.metadata.entry_values import EntryValues, Said
    from registration_pipeline.facts.metadata.schema_check import SchemaCheck

_ZERO = "\\u0000"
"""As canonical JSON writes the character that no value may hold; keys, and so what patterns find in them, may."""


class _Row(NamedTuple):
    text: str | None
    problem: str | None = None
    message: str | None = None


class Merger:
    """Merges the entries of a source, object by object; the objects come in the order of their keys.

    Args:
        entries: in the order of precedence: later ones win.
        schema: the types of fields.

    Attributes:
        objects: how many objects it has rows for.
        with_values: of these, that have values.
        waiting: objects that it has no row for, because something has to be read first.
        problems: reason -> objects.
    """

    def __init__(self, entries: Sequence[EntryValues], schema: SchemaCheck) -> None:
        self._entries, self._schema = entries, schema
        self.objects = self.with_values = self.waiting = 0
        self.problems: Counter[str] = Counter()

    def rows(self, objects: pa.RecordBatch) -> pa.RecordBatch:
        """Return rows of ``METADATA_SCHEMA`` of those objects whose entries are known.

        Args:
            objects: rows of ``INVENTORY_SCHEMA``, at least one.
        """
        said = [entry.of(objects) for entry in self._entries]
        merged = self._merged(objects, said)
        for one in said:
            if one.is_waiting is not None:
                known = pc.invert(_any_waiting(said))
                self.waiting += len(known) - pc.sum(known, min_count=0).as_py()
                merged = merged.filter(known)
                break
        self.objects += merged.num_rows
        self.with_values += merged.num_rows - merged.column("client_metadata").null_count
        for entry in pc.value_counts(merged.column("problem")).to_pylist():
            if entry["values"] is not None:
                self.problems[entry["values"]] += entry["counts"]
        return merged

    def _merged(self, objects: pa.RecordBatch, said: Sequence[Said]) -> pa.RecordBatch:
        listed = [objects.column(name) for name in ("key", "e_tag", "size", "last_modified")]
        rows = None if self._is_plain(said) else self._row_by_row(objects, said)
        if rows is None:
            nothing = pa.nulls(objects.num_rows, pa.string())
            texts = said[0].texts if said else nothing
            return pa.RecordBatch.from_arrays([*listed, texts, nothing, nothing], schema=METADATA_SCHEMA)
        columns = zip(*rows, strict=True)
        return pa.RecordBatch.from_arrays(
            [*listed, *(pa.array(column, pa.string()) for column in columns)], schema=METADATA_SCHEMA
        )

    def _is_plain(self, said: Sequence[Said]) -> bool:
        """Return whether the texts of a batch are used as they are: that is far faster than to handle each."""
        if len(said) > 1 or not self._schema.is_empty:
            return False
        return all(
            one.problems is None
            and not pc.any(pc.greater(pc.binary_length(one.texts), MAX_CLIENT_METADATA_BYTES // 2)).as_py()
            and not pc.any(pc.match_substring(one.texts, _ZERO)).as_py()
            for one in said
        )

    def _row_by_row(self, objects: pa.RecordBatch, said: Sequence[Said]) -> list[_Row]:
        keys: list[str] = objects.column("key").to_pylist()
        texts = zip(*(one.texts.to_pylist() for one in said), strict=True)
        broken = [
            (one.problems.to_pylist(), one.messages.to_pylist())
            for one in said
            if one.problems is not None and one.messages is not None
        ]
        rows = [
            self._row(key, [text for text in given if text is not None]) for key, given in zip(keys, texts, strict=True)
        ]
        for problems, messages in reversed(broken):
            for row, problem in enumerate(problems):
                if problem is not None:
                    later = rows[row].message
                    rows[row] = _Row(None, problem, f"{messages[row]} {later}" if later else messages[row])
        return rows

    def _row(self, key: str, given: Sequence[str]) -> _Row:
        if not given:
            return _Row(None)
        if len(given) == 1 and self._schema.is_empty and _ZERO not in given[0]:
            text: str | None = given[0]
        else:
            values = merged_values(given)
            problems = self._schema.problems(values)
            if any(_ZERO in text for text in given):
                problems += value_problems(values)
            if problems:
                message = problem_message(key, "all entries merged", problems)
                return _Row(None, RejectionReason.INVALID_METADATA.value, message)
            text = given[0] if len(given) == 1 else canonical(values)
        if text is not None and len(text) > MAX_CLIENT_METADATA_BYTES // 2:
            return _of_size(key, text)
        return _Row(text)


def _of_size(key: str, text: str) -> _Row:
    size = sent_bytes(text)
    if size <= MAX_CLIENT_METADATA_BYTES:
        return _Row(text)
    return _Row(
        None,
        RejectionReason.UNIT_TOO_LARGE.value,
        f"{key!r} has client metadata of {size:,} bytes as it is sent: Encord accepts {MAX_CLIENT_METADATA_BYTES:,} for an "
        "item. Leave columns or frames out; the next sync reads the metadata again",
    )


def _any_waiting(said: Sequence[Said]) -> pa.BooleanArray:
    masks = [one.is_waiting for one in said if one.is_waiting is not None]
    found = masks[0]
    for mask in masks[1:]:
        found = pc.or_(found, mask)
    return found
