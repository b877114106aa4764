"""Pages of folders and items by keyset: a page costs the same wherever it is in the listing.

The token holds the last row's place, so rows added meanwhile neither repeat nor hide others.

What does not belong here: the form of a row on the wire.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from registration_pipeline.sandbox.api.wire import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    decode_token,
    encode_token,
    flag,
    unprocessable,
    whole_number,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from starlette.requests import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """One page that was asked for: by name or by creation (row id), up or down, after a place."""

    by_name: bool
    descending: bool
    size: int
    after: tuple[Any, ...] | None


def read_page_request(request: Request, *, by_creation: bool = True) -> PageRequest:
    """Order, direction, size and token from the query, or 422; without ``by_creation`` the order is always by name."""
    order = request.query_params.get("order", "name")
    if order not in ("name", "createdAt"):
        unprocessable(("query", "order"), "Input should be 'name' or 'createdAt'", "enum")
    order = order if by_creation else "name"
    descending = bool(flag(request, "desc", default=False))
    size = whole_number(request, "pageSize", default=DEFAULT_PAGE_SIZE, low=1, high=MAX_PAGE_SIZE)
    token, after = request.query_params.get("pageToken"), None
    if token is not None:
        parts = decode_token(token)
        if parts[:2] != [order, descending] or len(parts) != (4 if order == "name" else 3):
            unprocessable(("query", "pageToken"), "the token belongs to another listing", "value_error")
        after = tuple(parts[2:])
    return PageRequest(by_name=order == "name", descending=descending, size=size, after=after)


@dataclass(slots=True)
class Selection:
    """Conditions on one table, joined by AND."""

    table: str
    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def where(self, condition: str, *values: Any) -> None:
        """Add a condition."""
        self.conditions.append(condition)
        self.values.extend(values)

    def where_in(self, column: str, values: Sequence[Any]) -> None:
        """Add a condition on a set of values."""
        self.where(f"{column} IN ({', '.join('?' * len(values))})", *values)

    def where_name_contains(self, text: str) -> None:
        """Add a case-insensitive (ASCII) condition on a substring of the name."""
        escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        self.where("name LIKE ? ESCAPE '\\'", f"%{escaped}%")

    def copy(self) -> Selection:
        """An independent copy."""
        return Selection(self.table, [*self.conditions], [*self.values])


def fetch_page(connection: sqlite3.Connection, selection: Selection, page: PageRequest) -> list[sqlite3.Row]:
    """The page's rows, and one more if there is a next page."""
    columns = "name, id" if page.by_name else "id"
    direction = "DESC" if page.descending else "ASC"
    bounded = selection.copy()
    if page.after is not None:
        comparison = "<" if page.descending else ">"
        bounded.where(f"({columns}) {comparison} ({', '.join('?' * len(page.after))})", *page.after)
    order = ", ".join(f"{column} {direction}" for column in columns.split(", "))
    # The statement is made of fixed column names and placeholders only.
    statement = (
        f"SELECT * FROM {bounded.table} WHERE {' AND '.join(bounded.conditions) or '1'} ORDER BY {order} LIMIT ?"  # noqa: S608
    )
    return connection.execute(statement, (*bounded.values, page.size + 1)).fetchall()


def fetch_merged_page(
    connection: sqlite3.Connection, selections: Sequence[Selection], page: PageRequest
) -> list[sqlite3.Row]:
    """The same over several selections without common rows, each of them paged by its own index."""
    pages = [fetch_page(connection, selection, page) for selection in selections]
    if len(pages) == 1:
        return pages[0]
    merged = heapq.merge(*pages, key=lambda row: _place(row, page), reverse=page.descending)
    return [row for row, _ in zip(merged, range(page.size + 1), strict=False)]


def _place(row: sqlite3.Row, page: PageRequest) -> tuple[Any, ...]:
    return (row["name"].encode(), row["id"]) if page.by_name else (row["id"],)


def page_body(rows: list[sqlite3.Row], results: list[dict[str, Any]], page: PageRequest) -> dict[str, Any]:
    """The answer: ``results`` are the first ``size`` rows in wire form."""
    token = None
    if len(rows) > page.size:
        last = rows[page.size - 1]
        place = (last["name"], last["id"]) if page.by_name else (last["id"],)
        token = encode_token("name" if page.by_name else "createdAt", page.descending, *place)
    return {"results": results, "nextPageToken": token}
