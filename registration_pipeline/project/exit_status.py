"""Which exit status the numbers of a source come to: the same for the command line and for ``Pipeline``.

What does not belong here: what is said of it, and the status of an error, which the error knows itself.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from registration_pipeline.tracking.status import SourceStatus

DONE: Final = 0
"""Every eligible object is registered."""
DONE_WITH_FAILURES: Final = 3
"""Done, but some objects failed or were rejected for a reason that is not accepted; they are in the failure log."""
HALTED: Final = 4
"""Nothing more can be done now; nothing is lost, run again."""


def exit_status_of(status: "SourceStatus") -> int:
    """Return the status of a sync of one source that came to its end."""
    if status.disagreements:
        return HALTED
    unsent = status.upserts is not None and status.upserts.failed
    unlinked = status.dataset is not None and status.dataset.failed
    return DONE_WITH_FAILURES if status.failed or status.unaccepted_rejected or unsent or unlinked else DONE
