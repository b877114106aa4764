"""Which objects the settings of a source leave out: by ``include`` and ``exclude``, and because they describe other objects.

What does not belong here: the globs themselves (``globs.py``), and what Encord would not take (``rejection.py``).

Sidecars are known by their suffix alone, and tables by their address: whether the object that a sidecar belongs to exists
makes no difference. So the rule says the same of a key whatever else the bucket holds, and a plan needs no look at other keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.facts.tables.address import own_tables
from registration_pipeline.globs import KeyRules

if TYPE_CHECKING:
    from registration_pipeline.settings import SourceSettings


class Exclusion:
    """The rules of one source.

    Args:
        source: its settings.
    """

    def __init__(self, source: SourceSettings) -> None:
        self._below_prefix = source.location.below_prefix
        self._globs = KeyRules(source.include, source.exclude) if source.include or source.exclude else None
        self._sidecars = {
            entry.sidecar: f'metadata[{index}].sidecar "{entry.sidecar}"'
            for index, entry in reversed([*enumerate(source.metadata)])
            if entry.sidecar is not None
        }
        self._suffixes = tuple(self._sidecars)
        self._tables = [*own_tables(source)]

    @property
    def is_empty(self) -> bool:
        """Whether no object is left out."""
        return self._globs is None and not self._sidecars and not self._tables

    def rule_of(self, key: str) -> str | None:
        """Return the rule that leaves an object out, e.g. ``metadata[2].sidecar ".metadata.json"``; None: none does."""
        if self._globs is not None and (rule := self._globs.excluded_by(self._below_prefix(key))) is not None:
            return rule
        if self._suffixes and key.endswith(self._suffixes):
            return next(rule for suffix, rule in self._sidecars.items() if key.endswith(suffix))
        return next((rule for rule, matches in self._tables if matches(key)), None)

    def digest_parts(self) -> list[str]:
        """Return what tells these rules from others, but for ``include`` and ``exclude``."""
        return [*sorted(self._sidecars.values()), *(rule for rule, _ in self._tables)]
