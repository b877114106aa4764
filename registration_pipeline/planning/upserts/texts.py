"""What is compared of a unit's client metadata, and the text that an upsert sends.

What does not belong here: merging values of several entries or objects (``facts/metadata/values.py``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from registration_pipeline.facts.metadata.values import canonical, shown
from registration_pipeline.settings.metadata import OWN_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

CHUNK_KEY: Final = f"{OWN_PREFIX}chunk"
UNIT_KEY: Final = f"{OWN_PREFIX}unit"
OBJECTS_KEY: Final = f"{OWN_PREFIX}objects"
"""What the manifest of a registration writes of where a unit comes from; an upsert sends the same again."""


class FieldChange(NamedTuple):
    """A field that an upsert changes.

    Args:
        name: of the field.
        before: what was sent last; None: nothing.
        after: what is sent now.
    """

    name: str
    before: Any
    after: Any

    @property
    def shown_before(self) -> str:
        """What was sent last as short JSON; empty: nothing."""
        return _shown(self.before)

    @property
    def shown_after(self) -> str:
        """What is sent now as short JSON; empty: nothing."""
        return _shown(self.after)


def _shown(value: object) -> str:
    return "" if value is None else shown(value)


def read_values(text: str | None) -> dict[str, Any]:
    """Return the values of a text without the keys that the pipeline adds.

    Raises:
        ValueError: it is not JSON.
    """
    values: dict[str, Any] = json.loads(text) if text else {}
    return {name: value for name, value in values.items() if not name.startswith(OWN_PREFIX)}


def changed_fields(before: str | None, now: str | None) -> list[FieldChange]:
    """Return what is other or new; a field that is not there any more is no change, for an upsert can't take it away."""
    if before == now or now is None:
        return []
    old = read_values(before)
    return [
        FieldChange(name, old.get(name), value)
        for name, value in read_values(now).items()
        if name not in old or not is_same(old[name], value)
    ]


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values of JSON are the same; ``1`` and ``true`` are not, ``1`` and ``1.0`` are."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def has_removed(before: str | None, now: str | None) -> bool:
    """Return whether fields that were sent are not there any more."""
    return before != now and not read_values(before).keys() <= read_values(now).keys()


def sent_text(metadata: str, planned: str | None, provenance: Mapping[str, str]) -> str:
    """Return the client metadata that an upsert sends of a unit.

    Args:
        metadata: what is known of it now.
        planned: what its plan has, of which the keys that the pipeline adds stay.
        provenance: where it was registered; it wins.
    """
    own = {name: value for name, value in json.loads(planned or "{}").items() if name.startswith(OWN_PREFIX)}
    text = canonical(json.loads(metadata) | own | dict(provenance))
    assert text is not None
    return text
