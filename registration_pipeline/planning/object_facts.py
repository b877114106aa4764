"""The sets of facts that a plan reads beside an inventory, and what ``metadata`` and ``media`` say of a batch of it.

What does not belong here: headers (``grouping/headers.py``), making these sets (``facts``), and what becomes of an object
because of them (``fact_verdicts.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.facts.metadata.metadata_set import METADATA, is_of, table_counts
from registration_pipeline.facts.sets import FACTS_KEYS, latest_facts
from registration_pipeline.ids import rules_digest
from registration_pipeline.planning.exclusion import Exclusion
from registration_pipeline.planning.grouping.headers import HEADERS
from registration_pipeline.planning.ledger import differs
from registration_pipeline.planning.schema import PLAN_SCHEMA
from registration_pipeline.planning.wave import FactsUsed
from registration_pipeline.settings.metadata import MediaMetadata
from registration_pipeline.state.parquet import read_parts
from registration_pipeline.tables.sorted_lookup import SortedLookup
from registration_pipeline.tables.sorted_merge import SortedMerge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from registration_pipeline.facts.sets import FactSet
    from registration_pipeline.settings import SourceSettings
    from registration_pipeline.state.store import StateStore

MEDIA: Final = "media"
"""The name of the set of facts with media metadata."""

METADATA_COLUMNS: Final = ("metadata_is_known", "client_metadata", "metadata_problem", "metadata_message")
MEDIA_COLUMNS: Final = ("media_is_known", "media_metadata", "media_problem", "media_message")
"""What ``ObjectFacts.beside`` adds. The first one is null unless the set has a row of this very version of the object."""

_PIECE_BYTES: Final = 4 << 20
"""Compressed bytes of facts beside the rows that are planned at once."""
_PIECE_ROWS: Final = range(16, 65_536 + 1)


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """The sets that a plan is made with; None: there is none, or the source has no use for it.

    Args:
        headers: series of DICOM objects.
        metadata: client metadata.
        media: media metadata.
    """

    headers: FactSet | None = None
    metadata: FactSet | None = None
    media: FactSet | None = None

    @classmethod
    def of(
        cls,
        store: StateStore,
        source: SourceSettings,
        *,
        headers: FactSet | None = None,
        metadata: FactSet | None = None,
        media: FactSet | None = None,
        has_headers: bool = True,
    ) -> PlanFacts:
        """Return the sets that are given, and the latest ones of the others that the source has a use for.

        With ``has_headers`` False it is known that there is no set of headers.

        Client metadata that were merged under other settings are not used: their objects wait for those of today.
        """
        name = source.name
        return cls(
            headers or (latest_facts(store, name, HEADERS) if has_headers else None),
            (metadata or _latest_metadata(store, source)) if source.metadata else None,
            (media or latest_facts(store, name, MEDIA)) if source.media_metadata is MediaMetadata.PROBE else None,
        )

    def used(self) -> tuple[FactsUsed, ...]:
        """Return what a wave says of them."""
        given = (facts for facts in (self.headers, self.metadata, self.media) if facts is not None)
        return tuple(FactsUsed(facts.name, facts.facts_id, facts.digest) for facts in given)

    def digest(self, source: SourceSettings) -> str | None:
        """Return the digest of what they decide, headers apart, and of the settings that do so; None: nothing does."""
        described = Exclusion(source).digest_parts()
        probes = source.media_metadata is MediaMetadata.PROBE
        if not source.metadata and not probes:
            return None
        return rules_digest(
            {
                "descriptions": described,
                "metadata": None if self.metadata is None else self.metadata.digest,
                "has_metadata": bool(source.metadata),
                "media": None if self.media is None else self.media.digest,
                "has_media": probes,
                "strict_client_only": source.strict_client_only,
                "submit_as": source.submit_as.value,
            }
        )

    def warnings(self) -> Iterator[str]:
        """Yield how tables and objects do not fit."""
        for counts in table_counts(self.metadata) if self.metadata is not None else ():
            if counts.line is not None:
                yield counts.line


def _latest_metadata(store: StateStore, source: SourceSettings) -> FactSet | None:
    facts = latest_facts(store, source.name, METADATA)
    return facts if facts is not None and is_of(facts, source) else None


class ObjectFacts:
    """``metadata`` and ``media`` of a source's objects, read once from the first key to the last.

    Args:
        store: the state.
        source: its settings.
        facts: the sets.
    """

    def __init__(self, store: StateStore, source: SourceSettings, facts: PlanFacts) -> None:
        sets = [facts.metadata, facts.media]
        self.piece_rows = _piece_rows(sets)
        self._sets: list[_Set] = []
        if source.metadata:
            self._sets.append(_Set(store, facts.metadata, METADATA_COLUMNS, self.piece_rows))
        if source.media_metadata is MediaMetadata.PROBE:
            self._sets.append(_Set(store, facts.media, MEDIA_COLUMNS, self.piece_rows))

    @property
    def is_empty(self) -> bool:
        """Whether the source has a use for neither."""
        return not self._sets

    def pieces(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Yield a batch of an inventory in pieces that are small enough with their facts beside them."""
        if self.is_empty:
            yield rows
            return
        for offset in range(0, rows.num_rows, self.piece_rows):
            yield rows.slice(offset, self.piece_rows)

    def beside(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return inventory rows with ``METADATA_COLUMNS`` and ``MEDIA_COLUMNS``, each where the source has a use for them.

        Args:
            rows: not empty; batches come in the order of their keys.
        """
        for one in self._sets:
            for name, column in one.columns(rows).items():
                rows = rows.append_column(name, column)
        return rows


class _Set:
    def __init__(self, store: StateStore, facts: FactSet | None, names: tuple[str, ...], batch_rows: int) -> None:
        self._names = names
        known, values, problem, message = names
        # Columns of the set are called as those beside the rows, but for the last two.
        self._of_set = {values: values, problem: "problem", message: "message"}
        schema = pa.schema(
            [
                *FACTS_KEYS,
                *(PLAN_SCHEMA.field(name) for name in ("size", "last_modified")),
                *(pa.field(name, pa.string()) for name in self._of_set.values()),
            ]
        )
        batches = () if facts is None else read_parts(store, facts.parts, None, batch_rows)
        # A set that has not all of these columns was written by another version: it has to be made again.
        rows = (batch.select(schema.names) for batch in batches if {*schema.names} <= {*batch.schema.names})
        self._rows = SortedLookup(SortedMerge([rows], schema))
        self._known = known

    def columns(self, rows: pa.RecordBatch) -> Mapping[str, Any]:
        keys = rows.column("key")
        found = self._rows.rows_of(keys)
        where = pc.index_in(keys, value_set=found.column("key"))
        known = found.take(where)
        is_same = pc.fill_null(pc.and_(pc.is_valid(where), pc.invert(differs(known, rows))), fill_value=False)
        nothing = pa.scalar(None, pa.string())
        everything = pc.all(is_same, min_count=0).as_py()
        return {
            self._known: pc.if_else(is_same, pa.scalar(True), pa.scalar(None, pa.bool_())),
            **{
                name: known.column(column) if everything else pc.if_else(is_same, known.column(column), nothing)
                for name, column in self._of_set.items()
            },
        }


def _piece_rows(sets: list[FactSet | None]) -> int:
    sizes = (sum(part.bytes for part in facts.parts) // max(facts.rows, 1) + 1 for facts in sets if facts is not None)
    return min(max(_PIECE_BYTES // max(sum(sizes), 1), _PIECE_ROWS[0]), _PIECE_ROWS[-1])
