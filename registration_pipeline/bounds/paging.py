"""Whether a listing that comes page by page gets on, or goes round for ever.

What does not belong here: asking for pages, and what is in them.
"""

from __future__ import annotations

from typing import Final

MOST_EMPTY_PAGES: Final = 1_000
"""Pages in a row with nothing in them: stores give some where much was deleted, and none gives so many."""


class PageProgress:
    """Follows one listing."""

    def __init__(self) -> None:
        # Eight bytes of each token: a listing of a hundred million objects has a hundred thousand of them.
        self._tokens: set[int] = set()
        self._empty = 0

    def problem_with(self, token: str, *, is_empty: bool, first: str | None = None) -> str | None:
        """Return why the listing does not get on, after a page that has a next one; None: it does.

        Args:
            token: of the next page.
            is_empty: nothing was in this page.
            first: what this page begins with, where that tells pages apart.
        """
        if not self._is_new(token):
            return "it names a next page that was read before"
        if first is not None and not self._is_new(f"first: {first}"):
            return f"it gives the page that begins with {first} again"
        return self.problem_with_page(is_empty=is_empty)

    def _is_new(self, token: str) -> bool:
        known = len(self._tokens)
        self._tokens.add(hash(token))
        return len(self._tokens) > known

    def problem_with_page(self, *, is_empty: bool) -> str | None:
        """The same, where the order of what is listed shows that no page comes twice, so that tokens need not be kept."""
        self._empty = self._empty + 1 if is_empty else 0
        if self._empty >= MOST_EMPTY_PAGES:
            return f"{self._empty:,} pages in a row have nothing in them, and it says that there is more"
        return None
