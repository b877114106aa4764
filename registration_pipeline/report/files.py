"""Where reports are kept: page and figures of each source beside its failure log in the state, the newest of them only.

They can always be made again from the state, so old ones are removed. What does not belong here: what a page says.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from registration_pipeline.errors import StateConflictError
from registration_pipeline.report.page import render
from registration_pipeline.state.ahead import each
from registration_pipeline.state.layout import report_name, reports_folder
from registration_pipeline.state.owned import own_names
from registration_pipeline.state.sealed import sealed_json

if TYPE_CHECKING:
    from registration_pipeline.report.data import Report
    from registration_pipeline.state.store import StateStore

KEPT: Final = 30
"""Reports of a source that stay in the state: the links of a month of nights lead somewhere."""


def page_bytes(report: Report) -> bytes:
    """Return the page as it is written to a file."""
    return render(report).encode()


def keep_report(store: StateStore, source: str, log_id: str, report: Report) -> str:
    """Write the page of a source and its figures beside the failure log of that id, remove old ones, and return its name.

    Args:
        store: the state.
        source: its name.
        log_id: of the failure log.
        report: of this source only.

    Raises:
        StateError: the state can't be written.
    """
    (figures,) = report.sources
    page = report_name(source, log_id, "html")

    def write(file: tuple[str, bytes]) -> None:
        with suppress(StateConflictError):  # two runs at the same microsecond: either's report is right
            store.create(*file)

    files = [(report_name(source, log_id, "json"), sealed_json(figures.as_json())), (page, page_bytes(report))]
    each(store, write, files)  # neither says anything of the other
    each(store, store.delete, sorted(own_names(store, reports_folder(source)))[: -2 * KEPT])
    return page


def latest_report_name(store: StateStore, source: str) -> str | None:
    """Return the name of a source's newest page in the state; None: there is none. ``store.location`` makes a link of it.

    Raises:
        StateError: the state can't be read.
    """
    pages = (name for name in own_names(store, reports_folder(source)) if name.endswith(".html"))
    return max(pages, default=None)
