"""What a document of the state says it is, compared with its name: a copy under another name must not count as that file.

What does not belong here: the order of the lineage and of compacted ledgers, whose numbers are in their names alone
(``planning/``, ``verification/markers.py``), damage inside a document (``sealed.py``), and journal entries, whose kinds are
not known here (``tracking/journal/journal.py``).

Only members that are there are compared: documents of earlier versions lack some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from registration_pipeline.state.layout import COMMIT_MARKER, owner_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEMBERS: Final = {
    "inventory": ("inventory_id",),
    "plan": ("wave_id",),
    "facts": ("name", "facts_id"),
    "audit": ("audit_id",),
    "prior_items": ("folder_uuid",),
}
"""The members of a commit marker that its folders have to be named like, from the outermost to the innermost."""

_OWN_PARTS: Final = ("inventory", "facts", "prior_items")
"""Kinds whose parts are in the folder of their marker; a wave and a compacted ledger also name files elsewhere."""


def identity_problem(name: str, document: Mapping[str, Any]) -> str | None:
    """Return why a document can't be the file of this name, or None.

    Args:
        name: its whole name in the state, source included.
        document: without its digest.

    Returns:
        the end of a sentence that begins with the file.
    """
    source, below = owner_of(name)
    kind, *folders = below.split("/")
    expected = {"source": source}
    if kind in _MEMBERS and folders[-1] == COMMIT_MARKER:
        expected |= dict(zip(_MEMBERS[kind], folders, strict=False))
    for member, value in expected.items():
        if document.get(member, value) != value:
            return f"says that its {member} is {document[member]!r}, not {value!r} as its name: it is a copy of another file"
    if kind in _OWN_PARTS:
        folder = name.rpartition("/")[0] + "/"
        for part in document.get("parts", ()):
            if not str(part["name"]).startswith(folder):
                return f"names {part['name']}, a part of another folder: it is a copy of another file"
    return None
