"""Lists a container of Azure Blob Storage, keys byte for byte, in many places at once.

What does not belong here: building the client (``project/clients/``), single pages (``requests.py``, ``page.py``), who lists
which names (``ranges/``), the order of names (``places.py``, ``order.py``), the way through folders (``folders.py``,
``walk.py``) and what errors mean (``errors.py``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from registration_pipeline.errors import ListingError
from registration_pipeline.inventory.azure.folders import dividing_folders, walked
from registration_pipeline.inventory.azure.order import RowOrder
from registration_pipeline.inventory.azure.places import BEYOND, UnitKeySpace, same_in_both
from registration_pipeline.inventory.azure.requests import AzureRequests, OtherOrderError
from registration_pipeline.inventory.bounds import PAGE_SECONDS
from registration_pipeline.inventory.ranges.boundaries import find_boundaries
from registration_pipeline.inventory.ranges.bucket import BucketLister
from registration_pipeline.inventory.ranges.fan_out import (
    CONCURRENCY,
    FAN_OUT_PAGES,
    in_many_places,
    one_page_after_the_other,
)
from registration_pipeline.inventory.ranges.lister import KeyRange
from registration_pipeline.tables.columns import texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from azure.storage.blob import ContainerClient

MOST_HELD = 1_000_000
"""Rows that may wait for their turn, about 1 GB; see ``KeyOrder``."""


class AzureLister(BucketLister[AzureRequests]):
    """``DivisibleLister`` of the blobs of a container below a prefix.

    A container whose store can start a listing at a name (``startFrom``, from version 2026-02-06 of the service on) is listed
    in many ranges at once. Any other is listed page after page: a request of Azure's older versions shows what is below a
    prefix from its beginning, so that no request could find what lies between two names.

    Directories of accounts with a hierarchical namespace are listed as blobs without content whose metadata say
    ``hdi_isfolder=true``. They are left out, and at the first of them the lister turns to walking folder by folder, many
    folders at once, because such accounts list in another order.

    Args:
        client: of the container; it owns credentials, endpoint, retries and timeouts.
        account: the storage account, which the client knows only from Azure's own host names.
        prefix: keys start with it; not necessarily a folder.
        source: the source's name, for error texts.
        page_size: blobs per request; 5,000 is the most that Azure gives (REST reference, "List Blobs").
        concurrency: the most requests at once; 1 lists page after page.
        fan_out_after: blobs that must have been listed before there is more than one request at once; None: two full pages.
        page_seconds: the whole time that one page may take, repetitions included.
    """

    def __init__(
        self,
        client: ContainerClient,
        account: str,
        prefix: str = "",
        *,
        source: str = "<name>",
        page_size: int = 5000,
        concurrency: int = CONCURRENCY,
        fan_out_after: int | None = None,
        page_seconds: float = PAGE_SECONDS,
    ) -> None:
        self._prefix, self._source = prefix, source
        new_requests = partial(
            AzureRequests, client, account, prefix, source=source, page_size=page_size, page_seconds=page_seconds
        )
        first = FAN_OUT_PAGES * page_size if fan_out_after is None else fan_out_after
        super().__init__(new_requests, concurrency=concurrency, fan_out_after=first)

    def boundaries(self, ranges: int) -> Sequence[str]:
        """See ``DivisibleLister.boundaries``; they are at the same place in both orders, Azure's and that of keys."""
        with self._requests as requests:
            try:
                first = requests.page()
                if first.last is None or first.token is None or not requests.can_start_at(first.last):
                    return []
                if requests.is_hierarchical:
                    return dividing_folders(requests, self._prefix, ranges)
                found = find_boundaries(requests, ranges)
            except OtherOrderError:
                return dividing_folders(requests, self._prefix, ranges)
        return sorted({same_in_both(place) for place in found} - {""})

    def list_objects(self) -> Iterator[pa.RecordBatch]:
        """See ``ObjectLister.list_objects``; a batch is a page, or what of it belongs to the range that it was asked for.

        Raises:
            NotFoundError: no such container.
            PermissionDeniedError: the principal may not list it.
            CredentialsError: there are no usable credentials.
            ServiceUnavailableError: the endpoint does not answer, after the client's retries.
            ListingError: the answer can't be recorded exactly.
        """
        last = self._after
        order = RowOrder()
        with self._requests as requests:
            try:
                if self._after is not None:
                    requests.notice_hierarchy()
                    if requests.is_hierarchical:  # what is between two names there begins before the first of them
                        raise OtherOrderError  # noqa: TRY301 - the same is found on the way
                for batch in self._in_azures_order(self._range()):
                    for ready in order.push(self._of_range(batch)):
                        last = ready.column("key")[-1].as_py()
                        yield ready
                    self._check_held(order.held)
            except OtherOrderError:
                # Before the first folder both orders are the same. What is held back is listed again.
                yield from walked(
                    requests,
                    self._prefix,
                    source=self._source,
                    concurrency=self._concurrency,
                    after=last,
                    until=self._until,
                )
                return
            yield from order.finish()

    def _range(self) -> KeyRange:
        """Return a range of places that holds all keys of this lister's range, and perhaps others."""
        if self._until is None:
            end = None
        else:
            end = same_in_both(self._until)
            end += BEYOND if end != self._until else ""
        return KeyRange(same_in_both(self._after or ""), end)

    def _of_range(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        keys, after, until = batch.column("key"), self._after, self._until
        # Arrow compares the UTF-8 bytes.
        if after is not None and after != same_in_both(after):
            batch = batch.filter(pc.greater(keys, texts([after])[0]))
            keys = batch.column("key")
        if until is not None and until != same_in_both(until):
            batch = batch.filter(pc.less_equal(keys, texts([until])[0]))
        return batch

    def _in_azures_order(self, of: KeyRange) -> Iterator[pa.RecordBatch]:
        requests, space = self._requests, UnitKeySpace(self._requests.prefix)
        enough = None if self._concurrency == 1 else self._fan_out_after
        yield from one_page_after_the_other(requests, space, of, objects=enough)
        if of.is_done:
            return
        if requests.is_hierarchical and requests.folders(requests.prefix):
            raise OtherOrderError
        if requests.can_start_at(of.position):
            yield from in_many_places(requests, space, of, concurrency=self._concurrency, fan_out_after=0)
        else:
            yield from one_page_after_the_other(requests, space, of, objects=None)

    def _check_held(self, held: int) -> None:
        if held > MOST_HELD:
            raise ListingError(
                f"{self.description}: more than {MOST_HELD:,} names have emoji or rare ideographs at the same place, and "
                "Azure's order of them can't be turned into that of an inventory. Make several sources, each of "
                f"a longer prefix than `sources.{self._source}.uri` has."
            )
