"""Says that no object of a listing matches ``include``, and how the first of them is seen by the globs.

What does not belong here: which rule leaves an object out (``exclusion.py``, ``globs.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.bounds.texts import shortened

if TYPE_CHECKING:
    from registration_pipeline.settings import SourceSettings


def nothing_included(source: SourceSettings, objects: str, first_key: str, rule: str) -> str:
    """Return what a person should know, in one sentence without its full stop.

    Args:
        source: which.
        objects: all that were seen, e.g. ``12 objects``.
        first_key: the first key that ``include`` leaves out.
        rule: why it is left out, as ``KeyRules`` says it.
    """
    location, setting = source.location, f"sources.{source.name}"
    said = (
        f"of {objects}, {setting}.include and exclude leave none: the globs see the first key as "
        f"{shortened(location.below_prefix(first_key))!r}, and it is left out because of: {rule}"
    )
    name = location.below_prefix(location.prefix)
    if not name:
        return f"{said}. Globs are matched against what follows the uri in the key: correct the globs"
    return (
        f"{said}. {setting}.uri does not end with a slash, so the globs see its last name, {name!r}, too: write "
        f"{source.uri}/ as the uri, or let the globs begin with {name}"
    )
