"""The datasets of a source: found or made, one after the other, and known by their UUIDs from then on (decision 043)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registration_pipeline.counted import counted
from registration_pipeline.errors import (
    AmbiguousError,
    HaltError,
    NotFoundError,
    PermanentError,
    PermissionDeniedError,
    ServiceUnavailableError,
)
from registration_pipeline.tracking.links.records import DatasetRecord

if TYPE_CHECKING:
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.datasets.context import LinkContext
    from registration_pipeline.submission.datasets.gateway import DatasetGateway
    from registration_pipeline.tracking.links.ledger import LinkLedger, LinkRecords

_CREATE_TRIES = 5
_SECONDS_BEFORE_SEARCHING_AGAIN = 2.0


def title_of(base: str, part: int) -> str:
    """Return the title of the first, second… dataset of a source."""
    return base if part == 1 else f"{base} {part}"


def title_now(gateway: DatasetGateway, retry: RetryPolicy, dataset_uuid: str) -> str | None:
    """Return what a dataset is titled now; None: it does not exist, or may not be seen."""
    try:
        return retry.read(f"finding dataset {dataset_uuid}", lambda: gateway.dataset_title(dataset_uuid))
    except (NotFoundError, PermissionDeniedError):
        return None


def gone_error(source: str, dataset_uuid: str, ledger: LinkLedger) -> NotFoundError:
    """Return the error for a dataset that is gone though records name it."""
    record = ledger.known(dataset_uuid)
    title = f" {record.title!r}" if record is not None else ""
    items = counted(ledger.fill.get(dataset_uuid, 0), "item")
    return NotFoundError(
        f"Encord dataset{title} ({dataset_uuid}), to which source {source} links its items (so far {items}), does not "
        "exist any more, or this key may not see it. Nothing was linked and no dataset made. If the key's user lost "
        "access to it, give it back. A dataset that was deleted can't be restored: to link new items to another one, set "
        f"dataset.title of the source to another title; to link everything again, move the folder {source}/links/ out of "
        "the state."
    )


class Datasets:
    """The datasets that a source's items go to.

    Args:
        context: what linking needs.
        records: of the source's links.
        ledger: what they come to; kept up to date here.
    """

    def __init__(self, context: LinkContext, records: LinkRecords, ledger: LinkLedger) -> None:
        self._context, self._records, self._ledger = context, records, ledger
        self._seen = set[str]()

    def with_room(self, reserved: dict[str, int]) -> tuple[str, int]:
        """Return the dataset that the next items go to, and how many it takes.

        Args:
            reserved: items that are about to be linked, by dataset.

        Raises:
            HaltError: the dataset is gone, or none can be made; the message says what to do.
        """
        base, most = self._context.settings.title, self._context.settings.max_items
        while True:
            in_use = self._ledger.in_use(base, reserved)
            for record in in_use:
                uuid = record.dataset_uuid
                self.require(uuid)  # a full one too: that it is gone must be noticed before the next one gets anything
                room = most - self._ledger.fill.get(uuid, 0) - reserved.get(uuid, 0)
                if room > 0:
                    return uuid, room
            self._begin(in_use[-1].part + 1 if in_use else 1)

    def is_gone(self, dataset_uuid: str) -> bool:
        """Return whether a dataset does not exist any more, or may not be seen."""
        return title_now(self._context.gateway, self._context.retry, dataset_uuid) is None

    def require(self, dataset_uuid: str, *, again: bool = False) -> None:
        """Pass if a dataset is there; asked once, unless ``again``.

        Raises:
            NotFoundError: it is not.
        """
        if dataset_uuid in self._seen and not again:
            return
        title = title_now(self._context.gateway, self._context.retry, dataset_uuid)
        if title is None:
            raise gone_error(self._context.source, dataset_uuid, self._ledger)
        record = self._ledger.known(dataset_uuid)
        if record is not None and record.title != title and dataset_uuid not in self._seen:
            self._context.notify(
                f"The Encord dataset of source {self._context.source}, {dataset_uuid}, was titled {record.title!r} and "
                f"is titled {title!r} now. It is used as before."
            )
        self._seen.add(dataset_uuid)

    def _begin(self, part: int) -> None:
        """Find or make a dataset, and record it."""
        title = title_of(self._context.settings.title, part)
        uuid, is_new = self._find_or_create(title)
        held = 0
        if not is_new and self._ledger.known(uuid) is None:
            # Once for each dataset that was not made here: Encord says its size only by listing all of its rows.
            held = self._context.retry.read(
                f"counting the rows of dataset {title!r}", lambda: self._context.gateway.dataset_size(uuid)
            )
            self._context.notify(
                f"Items of source {self._context.source} go to Encord dataset {title!r} ({uuid}), which has "
                f"{counted(held, 'item')} already."
            )
        self._seen.add(uuid)
        self._context.may_send()
        record = DatasetRecord(
            number=self._ledger.last + 1,
            at=self._context.clock(),
            dataset_uuid=uuid,
            title=title,
            base=self._context.settings.title,
            part=part,
            held=held,
        )
        self._records.use(self._ledger, record)

    def _find_or_create(self, title: str) -> tuple[str, bool]:
        """Search before and after every creation: one that was not answered with the dataset has happened, or has not."""
        context = self._context
        found = self._find(title)
        problem: Exception = NotFoundError()
        for _ in range(_CREATE_TRIES):
            if found:
                return found, False
            try:
                return context.retry.call(
                    f"creating dataset {title!r}",
                    lambda: context.gateway.create_dataset(title, may_send=context.may_send),
                ), True
            except (AmbiguousError, PermanentError) as error:
                problem = error
                context.retry.pause(_SECONDS_BEFORE_SEARCHING_AGAIN)
                found = self._find(title)
        if found:
            return found, False
        if isinstance(problem, AmbiguousError) and isinstance(problem.refusal, HaltError):
            raise problem.refusal
        raise ServiceUnavailableError(
            f"The Encord dataset {title!r} could not be created ({problem}). Create it in Encord, or run again."
        )

    def _find(self, title: str) -> str | None:
        gateway = self._context.gateway
        return self._context.retry.read(f"finding dataset {title!r}", lambda: gateway.find_dataset(title))
