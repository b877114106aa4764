"""Single objects that are beyond a limit of Encord because of what is sent of them besides: found before they are placed.

What does not belong here: counting bytes (``unit_size.py``) and units of several objects (``grouping/judge.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.facts.metadata.values import merged
from registration_pipeline.ids import unit_id
from registration_pipeline.limits import MAX_CLIENT_METADATA_BYTES
from registration_pipeline.objects import RejectionReason
from registration_pipeline.planning.media_blocks import media_bytes
from registration_pipeline.planning.rejection import Rejection
from registration_pipeline.planning.titles import TitleWriter, kept_key
from registration_pipeline.planning.unit_size import exceeded_limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.limits import ManifestLimits
    from registration_pipeline.objects import MediaKind
    from registration_pipeline.planning.fact_verdicts import Sent
    from registration_pipeline.settings import SourceSettings

_FAR_BELOW: Final = 4
"""Canonical JSON becomes less than twice as long when it is sent, and the rest of a unit takes some 20 KB at the most."""


class SingleSizes:
    """Checks the few objects whose metadata is large.

    Args:
        source: its settings.
        limits: what Encord accepts in one manifest.
        wave_id: the wave that would plan them.
    """

    def __init__(self, source: SourceSettings, limits: ManifestLimits, wave_id: str) -> None:
        self._source, self._limits, self._wave_id = source, limits, wave_id
        self._titles = TitleWriter(source)
        self._large = min(limits.bytes, MAX_CLIENT_METADATA_BYTES) // _FAR_BELOW

    def reject(
        self,
        keys: Sequence[str],
        kinds: Sequence[MediaKind | None],
        urls: Sequence[str],
        sent: Sent,
        rejections: list[Rejection | None],
    ) -> None:
        """Add to ``rejections`` the objects that are too large.

        Args:
            keys: of the objects.
            kinds: likewise.
            urls: likewise.
            sent: what is sent of them besides.
            rejections: what is known already.
        """
        for row, text in enumerate(sent.client_metadata):
            kind = kinds[row]
            if text is None or len(text) <= self._large or rejections[row] is not None or kind is None:
                continue
            limit = self._exceeded(keys[row], kind, urls[row], text, sent.media_metadata[row])
            if limit is not None:
                rejections[row] = Rejection(
                    RejectionReason.UNIT_TOO_LARGE,
                    f"{keys[row]!r} can't be sent with its client metadata: {limit}. The next sync reads them again",
                )

    def _exceeded(self, key: str, kind: MediaKind, url: str, text: str, media: str | None) -> str | None:
        titles = self._titles.of_objects([key], [unit_id(self._source.name, kind, key)])
        return exceeded_limit(
            kind,
            self._limits,
            wave_id=self._wave_id,
            title=titles.texts[0],
            url_bytes=len(url),
            client_metadata=merged((text, kept_key(key))) if titles.shortened else text,
            metadata_bytes=media_bytes(kind, media, self._source.submit_as),
            submit_as=self._source.submit_as,
        )
