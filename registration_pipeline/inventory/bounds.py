"""How much time and room one page of a store's listing may take, and the errors for what exceeds it.

What does not belong here: how that is enforced (``bounds/``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from registration_pipeline.bounds.reply import ReplyLimit
from registration_pipeline.errors import ListingError, ServiceUnavailableError

if TYPE_CHECKING:
    from types import TracebackType

PAGE_SECONDS: Final = 180.0
"""For one page, repetitions of its request included: 1,000 keys of the longest kind pass at 20 kB/s."""

PAGE_BYTES: Final = 128 << 20
"""Of one page, also after decompression: 5,000 blobs of Azure with all the metadata that it allows, twice."""


class PageLimit(ReplyLimit):
    """The limit of one page; on exit, whatever came of exceeding it becomes one error.

    Args:
        what: the listing, for people.
        source: the source's name, for the settings to change.
        seconds: for the page, repetitions included.
        most_bytes: of the page, also after decompression.
    """

    def __init__(self, what: str, source: str, *, seconds: float = PAGE_SECONDS, most_bytes: int = PAGE_BYTES) -> None:
        super().__init__(seconds, most_bytes)
        self._what, self._source = what, source

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Put it out of force.

        Raises:
            ServiceUnavailableError: an error came up inside, and the limit was exceeded.
        """
        super().__exit__(kind, error, trace)
        if isinstance(error, Exception) and self.is_broken:
            raise ServiceUnavailableError(
                f"{self._what}: {self.problem()}. Nothing was recorded. Check the network and "
                f"`sources.{self._source}.storage.endpoint_url`, then run again."
            ) from None


def endless_listing(what: str, problem: str, source: str) -> ListingError:
    """Return the error for a listing that does not get on.

    Args:
        what: the listing, for people.
        problem: of ``PageProgress``.
        source: the source's name, for the settings to change.
    """
    return ListingError(
        f"{what} does not end: {problem}. Nothing was recorded. Run again; if it happens again, what answers at "
        f"`sources.{source}.storage.endpoint_url` is broken."
    )
