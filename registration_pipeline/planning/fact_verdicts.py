"""What becomes of single objects because of their client metadata and media metadata: rejected, waiting, or sent with them.

What does not belong here: where facts come from (``object_facts.py``), and whole units (``grouping/judge.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from registration_pipeline.objects import KINDS, RejectionReason
from registration_pipeline.planning.media_blocks import media_block, media_remedy
from registration_pipeline.planning.object_facts import MEDIA_COLUMNS, METADATA_COLUMNS
from registration_pipeline.planning.rejection import Rejection
from registration_pipeline.settings.metadata import SubmitAs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from registration_pipeline.objects import MediaKind
    from registration_pipeline.settings import SourceSettings


class Sent(NamedTuple):
    """What is sent of objects besides their place, in their order.

    Args:
        client_metadata: canonical JSON; None: there is none.
        media_metadata: likewise.
        is_waiting: whether an object has to be read first.
    """

    client_metadata: list[str | None]
    media_metadata: list[str | None]
    is_waiting: list[bool]

    def take(self, places: Sequence[int]) -> Sent:
        """Return what is sent of the objects at these places."""
        return Sent(*([column[place] for place in places] for column in self))  # type: ignore[arg-type]


class FactVerdicts:
    """Says what facts make of objects, by the settings of a source.

    Args:
        source: its settings.
    """

    def __init__(self, source: SourceSettings) -> None:
        self._is_strict, self._submit_as = source.strict_client_only, source.submit_as

    def of(
        self, rows: pa.RecordBatch, kinds: Sequence[MediaKind | None], rejections: list[Rejection | None]
    ) -> Sent | None:
        """Return what is sent of objects, and add to ``rejections`` those that their facts reject; None: there are no facts.

        Args:
            rows: of the inventory, with ``METADATA_COLUMNS`` and ``MEDIA_COLUMNS`` where the source has a use for them.
            kinds: of the units that the objects are, or are in.
            rejections: what is known already: those objects neither wait nor are rejected again.
        """
        names = rows.schema.names
        has_metadata, has_media = METADATA_COLUMNS[0] in names, MEDIA_COLUMNS[0] in names
        if not has_metadata and not has_media:
            return None
        count = rows.num_rows
        sent = Sent([None] * count, [None] * count, [False] * count)
        keys: list[str] = rows.column("key").to_pylist()
        if has_metadata:
            self._add_client_metadata(rows, kinds, rejections, sent)
        if has_media:
            self._add_media_metadata(rows, keys, kinds, rejections, sent)
        for row, rejection in enumerate(rejections):
            if rejection is not None:
                sent.client_metadata[row] = sent.media_metadata[row] = None
                sent.is_waiting[row] = False
        return sent

    def has_client_metadata(self, kind: MediaKind) -> bool:
        """Return whether units of a kind carry client metadata in the form that is sent."""
        return self._submit_as is SubmitAs.DATA_ITEMS or KINDS[kind].has_client_metadata

    def _add_client_metadata(
        self,
        rows: pa.RecordBatch,
        kinds: Sequence[MediaKind | None],
        rejections: list[Rejection | None],
        sent: Sent,
    ) -> None:
        known, texts, problems, messages = (rows.column(name) for name in METADATA_COLUMNS)
        sent.client_metadata[:] = texts.to_pylist()
        for row, kind in enumerate(kinds):
            if kind is not None and not self.has_client_metadata(kind):
                sent.client_metadata[row] = None
        if known.null_count:
            sent.is_waiting[:] = [value is None for value in known.to_pylist()]
        if problems.null_count < len(problems):
            for row, (problem, message) in enumerate(zip(problems.to_pylist(), messages.to_pylist(), strict=True)):
                if problem is not None and rejections[row] is None:
                    rejections[row] = Rejection(RejectionReason(problem), message or "")

    def _add_media_metadata(
        self,
        rows: pa.RecordBatch,
        keys: Sequence[str],
        kinds: Sequence[MediaKind | None],
        rejections: list[Rejection | None],
        sent: Sent,
    ) -> None:
        columns = (rows.column(name).to_pylist() for name in MEDIA_COLUMNS)
        for row, (kind, known, text, problem, message) in enumerate(zip(kinds, *columns, strict=True)):
            if kind is None or rejections[row] is not None:
                continue
            if media_block(kind, self._submit_as) is None:
                if self._is_strict:
                    rejections[row] = _without_block(keys[row], kind, self._submit_as)
            elif known is None:
                sent.is_waiting[row] = True
            elif problem is None and text is not None:
                sent.media_metadata[row] = text
            elif self._is_strict:
                rejections[row] = _not_read(keys[row], message)


def _without_block(key: str, kind: MediaKind, submit_as: SubmitAs) -> Rejection:
    return Rejection(
        RejectionReason.NO_MEDIA_METADATA,
        f"{key!r} can't be sent with media metadata, which strict_client_only needs: {media_remedy(kind, submit_as)}",
    )


def _not_read(key: str, message: str | None) -> Rejection:
    why = message or f"{key!r} gave no media metadata"
    return Rejection(
        RejectionReason.NO_MEDIA_METADATA,
        f"{why.rstrip('.')}. strict_client_only sends nothing without its media metadata: correct the file, or exclude it",
    )
