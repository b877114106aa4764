"""Lists one range of keys: page after page at first, then in many places at once.

What does not belong here: how that is done (``lister.py``) and where pages come from (the provider's folder).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.inventory.ranges.lister import RangeLister

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from registration_pipeline.inventory.ranges.key_space import KeySpace
    from registration_pipeline.inventory.ranges.lister import KeyRange, PageSource

CONCURRENCY = 16
"""Requests at once where the settings say nothing: S3 serves 5,500 a second for each prefix (user guide, "Optimizing Amazon S3
performance"). The same for the other stores."""

FAN_OUT_PAGES = 2
"""Full pages that are listed one after the other before there is more than one request at once."""


def one_page_after_the_other(
    source: PageSource, space: KeySpace, of: KeyRange, *, objects: int | None
) -> Iterator[pa.RecordBatch]:
    """Yield the pages of a range until so many objects were found, or to its end.

    Args:
        source: where pages come from.
        space: gets to know the keys.
        of: the range; it is moved on to what is left.
        objects: how many are enough; None for all.
    """
    found = 0
    while not of.is_done and (objects is None or found < objects):
        page = source.page(after=of.position, token=of.token)
        batch, of.token, of.is_done = page.batch, page.token, page.token is None
        if page.first is None or page.last is None:
            continue
        if of.end is not None and page.last >= of.end:
            batch, of.is_done = page.up_to(of.end), True
        of.position = page.last
        space.learn((page.first, page.last))
        found += batch.num_rows
        if batch.num_rows:
            yield batch


def in_many_places(
    source: PageSource, space: KeySpace, of: KeyRange, *, concurrency: int, fan_out_after: int
) -> Iterator[pa.RecordBatch]:
    """Yield all rows of a range in the order of the store's listing.

    Args:
        source: where pages come from.
        space: what is known of the keys.
        of: the range.
        concurrency: the most requests at once; 1 lists page after page.
        fan_out_after: objects that must have been listed before there is more than one request at once.

    Raises:
        HaltError: any of the requests failed.
    """
    yield from one_page_after_the_other(source, space, of, objects=None if concurrency == 1 else fan_out_after)
    if not of.is_done:
        with RangeLister(source, space, of, concurrency=concurrency) as ranges:
            yield from ranges.batches()
