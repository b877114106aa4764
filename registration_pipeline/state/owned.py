"""Which names below a source are files of the pipeline. All others were put there by something else, and no reader takes them.

Mounted shares, file managers and backup tools leave such files: ``.DS_Store``, ``._x``, ``.nfs0001``, ``x (copy).json``,
``x.bak``, ``lost+found``. What does not belong here: making names (``layout.py``), and what the files hold.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from registration_pipeline.state.layout import owner_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.state.store import StateStore

_ID: Final = "[A-Za-z0-9_-]+"
_NUMBER: Final = "[0-9]{8,}"
_ATTEMPT: Final = "[0-9]{4,}"
_INVENTORY: Final = "[0-9]{8}T[0-9]{6}Z"
_TIME: Final = "[0-9]{8}T[0-9]{6,12}Z"
_WAVE: Final = f"{_INVENTORY}(?:-[1-9][0-9]*)?(?:-upsert)?"
_PART: Final = "[a-z][a-z_-]*-[0-9a-f]{8}-[0-9]{5,}[.]parquet"
_MARKER: Final = "_SUCCESS[.]json"
_PROGRESS: Final = "progress-[0-9a-f]{8}-[0-9]{5,}[.]json"
_RANGES: Final = "ranges[.]json|range-[0-9]{5}[.]json"
_REPORT: Final = "[.](?:parquet|csv)"
_FORMS: Final = {
    kind: re.compile(form)
    for kind, form in {
        "inventory": f"{_INVENTORY}/(?:{_PART}|{_MARKER}|{_RANGES})",
        "inventory_writers": f"{_INVENTORY}[.]json",
        "plan": f"{_WAVE}/(?:{_PART}|{_MARKER})",
        "census": f"{_WAVE}/{_PART}",
        "lineage": f"{_NUMBER}[.]json",
        "ledger": f"{_NUMBER}/(?:{_PART}|{_MARKER})",
        "manifests": f"{_ID}[.]json",
        "journal": f"{_ID}/{_ATTEMPT}-(?:intent|job|split|closed)[.]json",
        "journal_summary": f"{_NUMBER}[.]jsonl[.]gz",
        "outcomes": f"{_ID}/{_ATTEMPT}-[0-9a-f]+[.]parquet",
        "failures": f"{_ID}/{_ATTEMPT}{_REPORT}",
        "failure_log": f"{_TIME}{_REPORT}",
        "alerts": f"(?:{_NUMBER}(?:-{_ATTEMPT}(?:-sent|-failed)?)?[.]json|{_PART})",
        "reports": f"{_TIME}[.](?:html|json)",
        "audit": f"{_TIME}/(?:findings{_REPORT}|{_MARKER})",
        "lease": f"{_NUMBER}-(?:{_NUMBER}|released)[.]json",
        "prior_items": f"{_ID}/(?:{_PART}|{_MARKER})",
        "facts": f"{_ID}/{_ID}/(?:{_PART}|{_MARKER}|{_PROGRESS}|writer[.]json)",
        "links": f"(?:{_NUMBER}(?:-done)?[.]json|summary-{_NUMBER}[.]json[.]gz)",
    }.items()
}
"""What a name has behind the source and the kind, by kind."""

KINDS: Final = frozenset({*_FORMS, "upserts"})
"""The folders that a source's state can have."""


def is_own(name: str) -> bool:
    """Return whether a whole name in the state, source included, is one that the pipeline gives to its files."""
    _, below = owner_of(name)
    kind, _, rest = below.partition("/")
    form = _FORMS.get(kind)
    return below == "state.json" if form is None else form.fullmatch(rest) is not None


def own_names(store: StateStore, prefix: str) -> Iterator[str]:
    """Yield the pipeline's own names below a folder of a source, sorted, and no others.

    Raises:
        StateError: the state can't be listed.
    """
    return filter(is_own, store.names(prefix))
