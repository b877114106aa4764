"""A planned fleet whose Encord folder someone filled by hand before the first upload. Tests say what becomes of it."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from registration_pipeline.submission.calls.retry import RetryPolicy
from registration_pipeline.submission.gateway import RemoteItem
from registration_pipeline.submission.prior_items import PriorItems, PriorItemsFinder, was_sent_to
from registration_pipeline.submission.target import resolve_target

PREFIX = "https://bucket.s3.eu-west-2.amazonaws.com/raw/"


class HandFilled:
    """A planned fleet whose folder holds items that the pipeline did not make; every ``register`` is a new process."""

    def __init__(self, fleet: Any) -> None:
        self.fleet = fleet
        self.notices: list[str] = []
        self.folder = fleet.encord.create_folder("fleet")

    def put(self, *urls: str | None) -> list[str]:
        """Register URLs by hand, under titles of one's own, and return their items."""
        held = self.fleet.encord.items.setdefault(self.folder, [])
        for url in urls:
            item_uuid = str(uuid5(NAMESPACE_URL, f"{url}{len(held)}"))
            name, at = f"by hand {len(held)}", self.fleet.time.clock()
            held.append(RemoteItem(item_uuid=item_uuid, name=name, url=url, unit_id=None, created_at=at))
        self.fleet.time.sleep(86_400)
        return [item.item_uuid for item in held[-len(urls) :]]

    def find(self, **changes: Any) -> PriorItems | None:
        retry = RetryPolicy(sleep=self.fleet.time.sleep)
        values: dict[str, Any] = {
            "store": self.fleet.store,
            "source": "fleet",
            "target": resolve_target(self.fleet.encord, retry, self.fleet.source),
            "url_prefix": PREFIX,
            "gateway": self.fleet.encord,
            "retry": retry,
            "has_sent": lambda: was_sent_to(self.folder, self.fleet.journal.fold_all()),
            "notify": self.notices.append,
        }
        return PriorItemsFinder(**values | changes).find()

    def register(self, **options: Any) -> list[Any]:
        return list(self.fleet.register(prior=self.find(), **options))
