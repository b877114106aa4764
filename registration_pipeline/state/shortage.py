"""Whether an error says that this machine ran short of memory, threads or open files, which is no fault of what is read.

What does not belong here: full disks, which the stores report where they write.
"""

from __future__ import annotations

import errno
from typing import Final

_NUMBERS: Final = {errno.ENOMEM, errno.EMFILE, errno.ENFILE}
# What Arrow puts into errors without a number: of malloc, of mmap and of threads that can't be started.
_WORDS: Final = (
    "Cannot allocate memory",
    "malloc of size",
    "realloc of size",
    "out of memory",
    "launch worker thread",
    "can't start new thread",
    "Too many open files",
)


def shortage(error: BaseException) -> str | None:
    """Return what the machine ran short of, in the words of the error, or None if the error is about something else."""
    text = str(error).strip()
    if isinstance(error, MemoryError):
        return text or "out of memory"
    if (isinstance(error, OSError) and error.errno in _NUMBERS) or any(words in text for words in _WORDS):
        return text
    return None


def shortage_text(what: str, short_of: str) -> str:
    """Return the message for something that could not be done because of a shortage.

    Args:
        what: that could not be done, as a clause.
        short_of: as ``shortage`` returned it.
    """
    return (
        f"{what}, because this machine ran short of memory, threads or open files ({short_of}). Nothing is lost or damaged: "
        "give the process more (ulimit -a shows its limits, a container has its own) and run again."
    )
