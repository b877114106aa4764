"""Values from keys: the entries of ``metadata`` that are patterns.

What does not belong here: entries that something has to be read for (sets of facts, ``value_sets.py``).
"""

from __future__ import annotations

import re
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registration_pipeline.facts.metadata.schema_check import SchemaCheck
    from registration_pipeline.settings.metadata import MetadataEntry

_MOST_REMEMBERED: Final = 4_096


class PatternValues:
    """One pattern, searched in every key below the prefix of the source.

    A named group that took part in the match is a value, also an empty one; one that did not is none. Values are texts, but
    where ``metadata_schema`` says that the field is a number or a boolean: then they are converted.

    Args:
        entry: with a pattern.
        schema: the types of fields.
        below_prefix: gives what the pattern is searched in.
    """

    def __init__(self, entry: MetadataEntry, schema: SchemaCheck, below_prefix: Callable[[str], str]) -> None:
        assert entry.pattern is not None
        self._pattern = re.compile(entry.pattern)
        self._names = sorted((entry.prefix + group, group) for group in self._pattern.groupindex)
        self._schema, self._below_prefix = schema, below_prefix
        self._texts: dict[tuple[str | None, ...], str | None] = {}

    def texts(self, keys: Sequence[str]) -> list[str | None]:
        """Return the values of each object as canonical JSON; None: there are none.

        Args:
            keys: whole keys.
        """
        search, below, groups = self._pattern.search, self._below_prefix, [group for _, group in self._names]
        return [
            None if (match := search(below(key))) is None else self._text(tuple(match[group] for group in groups))
            for key in keys
        ]

    def _text(self, found: tuple[str | None, ...]) -> str | None:
        # Most objects have the values of their neighbours.
        if found not in self._texts:
            if len(self._texts) >= _MOST_REMEMBERED:
                self._texts.clear()
            self._texts[found] = self._written(found)
        return self._texts[found]

    def _written(self, found: tuple[str | None, ...]) -> str | None:
        pairs = [
            f"{encode_basestring_ascii(name)}:{self._value(name, text)}"
            for (name, _), text in zip(self._names, found, strict=True)
            if text is not None
        ]
        return f"{{{','.join(pairs)}}}" if pairs else None

    def _value(self, name: str, text: str) -> str:
        value = self._schema.converted(name, text)
        if isinstance(value, str):
            return encode_basestring_ascii(value)
        return repr(value).lower() if isinstance(value, bool) else repr(value)
