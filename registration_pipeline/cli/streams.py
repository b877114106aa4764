"""Standard streams that are closed or can't be written. What is said on them does not belong here."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO, cast


def replace_closed_streams() -> None:
    """Give the process the three standard streams that it was started without, to nowhere; call it first of all.

    Else the next file that is opened gets the number of one of them, and what a library prints would go into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = sys.stdout or _nowhere("w")
    sys.stderr = sys.stderr or _nowhere("w")


class _WatchedStream(io.TextIOWrapper):
    """Remembers what a write failed with: an error that reaches the end of a command does not say what it came of."""

    trouble: OSError | None = None

    def write(self, text: str, /) -> int:
        """See ``TextIOBase``."""
        with self._watched():
            return super().write(text)

    def flush(self) -> None:
        """See ``TextIOBase``."""
        with self._watched():
            super().flush()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.trouble = error
            raise


def watch_stdout() -> None:
    """Let ``stdout_trouble`` know what happens to standard output; once, before anything is written."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        settings = stream.encoding, stream.errors, stream.line_buffering, stream.write_through
        encoding, errors, line_buffering, write_through = settings
        sys.stdout = sys.__stdout__ = _WatchedStream(  # type: ignore[misc]
            stream.detach(),
            encoding=encoding,
            errors=errors,
            line_buffering=line_buffering,
            write_through=write_through,
        )


def stdout_trouble() -> str | None:
    """Return why standard output could not take what was written to it, or None."""
    error = getattr(sys.stdout, "trouble", None)
    return (error.strerror or str(error)) if isinstance(error, OSError) else None


def discard_stdout() -> None:
    """Let standard output go nowhere, so that the interpreter does not fail when it writes what is left of it."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _nowhere(mode: str) -> TextIO:
    return cast("TextIO", Path(os.devnull).open(mode, encoding="utf-8"))  # as long as the process
