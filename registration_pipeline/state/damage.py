"""What is said of a file of the state that is not what was written, and what to do about it, by the kind of file.

What does not belong here: finding the damage (``sealed.py``, ``regions.py``, ``parquet.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import StateCorruptError
from registration_pipeline.state.layout import COMMIT_MARKER, is_upserts, owner_of

if TYPE_CHECKING:
    from registration_pipeline.state.store import StateStore

_BACKUP: Final = "Restore it from a backup"
_VERIFY: Final = "`registration-pipeline state {source} --verify` lists every damaged file"
_WITHOUT_BACKUP: Final = (
    f"{_BACKUP}; without one, move the folder of the source away and run `registration-pipeline inventory {{source}}`, "
    "`plan {source}` and `audit {source} --adopt`, which make a new state from the bucket and from Encord without sending "
    "anything"
)
_ADVICE: Final = {
    "inventory": f"{_BACKUP}, or delete its folder and run `registration-pipeline inventory {{source}}`",
    "plan": _WITHOUT_BACKUP,
    "census": _WITHOUT_BACKUP,
    "journal": _WITHOUT_BACKUP,
    "lineage": f"{_BACKUP}, or copy the `_SUCCESS.json` of its wave in plan/ over it: both hold the same",
    "ledger": "Delete its folder: the next plan makes it again",
    "journal_summary": "Delete it: the next run makes it again",
    "links": f"{_BACKUP}. Without one, move links/ of the source out of the state: everything is linked again, which "
    "Encord skips in the same dataset",
    "alerts": f"{_BACKUP}, or move alerts/ of the source out of the state: the next message then reports all failures as new",
    "facts": f"{_BACKUP}, or delete its folder to have the facts read again",
    "outcomes": f"{_BACKUP}, or delete it: it is made again from plan and journal, but for the UUIDs of Encord's items",
    "manifests": f"{_BACKUP}, or delete it: the next submission makes it again with the same bytes",
    "audit": "Delete its folder: it is a report, and `registration-pipeline audit {source}` makes a new one",
    "failures": "Delete it: it is a report, and `registration-pipeline failures {source} --out FILE` writes it again",
    "reports": "Delete it: the next sync, or `registration-pipeline report {source} --out FILE.html`, makes a new one",
    "prior_items": f"{_BACKUP}, or delete its folder: what a job calls skipped is then searched for in Encord",
    "lease": "Delete it when no run of the source is at work: the next run makes a new one",
    "inventory_writers": "Delete it when no listing of the source is at work",
    "failure_log": "Delete it: it is a report, and `registration-pipeline failures {source} --out FILE` writes it again",
}
_UPSERTS: Final = (
    f"{_BACKUP}; without one, move the whole folder upserts/ of the source out of the state when no upload job of it runs: "
    "then metadata that differs from what was registered is sent once more"
)
_LOST_TOGETHER: Final = frozenset({"plan", "census", "journal", "lineage"})
_WAVE_MARKER: Final = f"{_BACKUP}, or delete it: the next plan writes it again from the lineage"


def advice_for(name: str) -> str:
    """Return what to do when a file of the state is damaged or missing, as a sentence without its full stop.

    Args:
        name: its whole name in the state, source included; or a folder's.
    """
    owner, rest = owner_of(name)
    kind = rest.partition("/")[0]
    if kind == "plan" and name.endswith(COMMIT_MARKER):
        advice = _WAVE_MARKER
    elif is_upserts(owner) and (kind in _LOST_TOGETHER or not kind):
        advice = _UPSERTS
    else:
        advice = _ADVICE.get(kind, _BACKUP)
    return advice.format(source=owner.partition("/")[0])


MISSING: Final = "is missing"
"""How the problem begins of a file that a listing does not have; see ``damaged``."""
LEFT_OUT: Final = "is there, but a listing of its folder left it out"
ADVICE_LEFT_OUT: Final = (
    "Nothing has to be restored: run again. If that lasts, find out what answers instead of the store, e.g. a proxy"
)


def damaged(store: StateStore, name: str, problem: str) -> StateCorruptError:
    """Return the error for a file that is not what was written.

    A file that is missing is asked for once more by its name, before a person is sent to a backup: to a listing, whatever XML
    answers with status 200 is an empty folder, e.g. the page of a proxy.

    Args:
        store: the state.
        name: of the file.
        problem: what is wrong, as the end of a sentence that begins with the file: ``is damaged: …``, ``is missing``.
    """
    if problem.startswith(MISSING) and store.exists(name):
        return StateCorruptError(f"{store.location(name)} {LEFT_OUT}. {ADVICE_LEFT_OUT}.")
    listed = _VERIFY.format(source=name.partition("/")[0])
    return StateCorruptError(f"{store.location(name)} {problem}. {advice_for(name)}. {listed}.")
