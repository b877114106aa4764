"""Linking items with calls of at most 1,000, and finding out which of them could not be linked and why.

Every call asks Encord to skip what is linked already, so each may be repeated at any time. What does not belong here: which
items go where, and the records (``linking.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.counted import counted
from registration_pipeline.errors import NotFoundError, PermanentError, PermissionDeniedError
from registration_pipeline.objects import LinkReason
from registration_pipeline.tracking.links.records import LinkFailure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registration_pipeline.submission.datasets.context import LinkContext
    from registration_pipeline.submission.datasets.gateway import LinkReply
    from registration_pipeline.submission.datasets.target import Datasets


class LinkedUnit(NamedTuple):
    """A unit that is to be linked, and where it belongs."""

    chunk_id: str
    unit_id: str
    item_uuid: str


FailedLink = tuple[LinkedUnit, LinkFailure]


class LinkCalls:
    """Links units to datasets.

    Args:
        context: what linking needs.
        datasets: of the source.
        folders: the Encord folder of each chunk, where it is known.
    """

    def __init__(self, context: LinkContext, datasets: Datasets, folders: Mapping[str, str]) -> None:
        self._context, self._datasets, self._folders = context, datasets, folders

    def link(self, dataset_uuid: str, units: Sequence[LinkedUnit]) -> list[FailedLink]:
        """Link units to a dataset and return those that could not be linked.

        Args:
            dataset_uuid: where they go.
            units: at most ``ITEMS_PER_CALL``.

        Raises:
            HaltError: Encord can't be asked, or refuses everything.
        """
        self._context.may_send()
        items = list(dict.fromkeys(unit.item_uuid for unit in units))
        what = f"linking {counted(len(items), 'item')} to dataset {dataset_uuid}"
        try:
            reply = self._context.retry.call(what, lambda: self._context.gateway.link_items(dataset_uuid, items))
        except (PermanentError, PermissionDeniedError) as error:
            return self._refused(dataset_uuid, units, error)
        unlisted = set(_unlisted(items, reply))
        # Items that were linked before need not be listed, and what does not exist may have been left out without a word.
        absent = self._absent([unit for unit in units if unit.item_uuid in unlisted]) if unlisted else []
        return [(unit, _missing(unit)) for unit in absent]

    def _refused(self, dataset_uuid: str, units: Sequence[LinkedUnit], error: Exception) -> list[FailedLink]:
        """Find the units that a refusal is about, and link all others."""
        self._datasets.require(dataset_uuid, again=True)
        absent = set(self._absent(units))
        if absent:
            rest = [unit for unit in units if unit not in absent]
            failed: list[FailedLink] = [(unit, _missing(unit)) for unit in units if unit in absent]
            return [*failed, *(self.link(dataset_uuid, rest) if rest else [])]
        if isinstance(error, PermissionDeniedError):
            raise PermissionDeniedError(
                f"Encord does not allow linking items to dataset {dataset_uuid}, though the dataset and the items exist: "
                f"{error}. Give the key's user the Admin role on the dataset in Encord, then run again.",
                is_reply=True,
            )
        if len(units) == 1:
            text = shortened(f"Encord refused to link item {units[0].item_uuid}: {error}")
            return [(units[0], LinkFailure(units[0].unit_id, units[0].item_uuid, LinkReason.LINK_REFUSED, text))]
        middle = len(units) // 2
        return [*self.link(dataset_uuid, units[:middle]), *self.link(dataset_uuid, units[middle:])]

    def _absent(self, units: Sequence[LinkedUnit]) -> list[LinkedUnit]:
        """Return the units whose items do not exist or may not be seen, asking as seldom as possible."""
        if self._exist(units):
            return []
        hidden = {folder for folder in {self._folders.get(unit.chunk_id) for unit in units} if self._is_hidden(folder)}
        # A folder that is gone took its items with it: they need not be searched for one by one.
        lost = [unit for unit in units if self._folders.get(unit.chunk_id) in hidden] if hidden else []
        rest = [unit for unit in units if self._folders.get(unit.chunk_id) not in hidden] if hidden else units
        found = set(self._searched(rest, is_absent=not lost)) | set(lost)
        return [unit for unit in units if unit in found]

    def _searched(self, units: Sequence[LinkedUnit], *, is_absent: bool) -> list[LinkedUnit]:
        """Return the absent ones; ``is_absent``: at least one of them is known to be."""
        if not units or (not is_absent and self._exist(units)):
            return []
        if len(units) == 1:
            return list(units)
        middle = len(units) // 2
        first = self._searched(units[:middle], is_absent=False)
        return [*first, *self._searched(units[middle:], is_absent=not first)]

    def _exist(self, units: Sequence[LinkedUnit]) -> bool:
        items = list(dict.fromkeys(unit.item_uuid for unit in units))
        what = f"finding {counted(len(items), 'item')}"
        try:
            found = self._context.retry.call(what, lambda: self._context.gateway.folders_of_items(items))
        except PermanentError:
            return False
        return found is not None

    def _is_hidden(self, folder_uuid: str | None) -> bool:
        if folder_uuid is None:
            return False
        try:
            self._context.retry.read(
                f"finding folder {folder_uuid}", lambda: self._context.gateway.folder_name(folder_uuid)
            )
        except (NotFoundError, PermissionDeniedError):
            return True
        return False


def _unlisted(items: Sequence[str], reply: LinkReply) -> list[str]:
    """Return the items that a reply does not show to be linked."""
    if reply.items:
        return [item for item in items if item.lower() not in reply.items]
    return [] if reply.rows >= len(items) else list(items)


def _missing(unit: LinkedUnit) -> LinkFailure:
    text = (
        f"Item {unit.item_uuid} does not exist in Encord any more, or the key's user may not see it. Restore the access "
        f"and run `submit --failed`, or register it again: `submit --chunk {unit.chunk_id} --force`."
    )
    return LinkFailure(unit.unit_id, unit.item_uuid, LinkReason.ITEM_MISSING, text)
