"""Items that no listed folder shows are looked up: in batches, within a limit, and with care before one counts as missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.audit.audit import AuditLimits
from registration_pipeline_tests.unit.audit.encord_of_fleet import CountingEncord

if TYPE_CHECKING:
    from collections.abc import Callable


class TestLookups:
    """Many items that no listed folder shows."""

    @pytest.fixture
    def many(self, fleet_of: Callable[..., Any], auditor_of: Any) -> Any:
        fleet = fleet_of(*(f"{number:02d}.jpg" for number in range(40)), chunk_size={"images": 10})
        fleet.register()
        return auditor_of(fleet)

    def keys(self, *numbers: int) -> list[str]:
        return [f"raw/{number:02d}.jpg" for number in numbers]

    def test_batches_that_were_moved_together_cost_one_request_each(self, many: Any):
        for key in self.keys(*range(40)):
            many.move(key, "archive")
        encord = CountingEncord(many.fleet)

        report = many.audit(gateway=encord, limits=AuditLimits(lookup_batch=10))

        assert (report.findings["moved"], report.looked_up, encord.lookups) == (40, 40, 4)

    def test_refused_batches_are_halved_down_to_the_missing_ones(self, many: Any):
        for key in self.keys(*range(20)):
            many.move(key, "archive")
        for key in self.keys(3, 17):
            many.remove(key)

        found = many.found(limits=AuditLimits(lookup_batch=20))

        assert [key for finding, key in found if finding == "missing"] == self.keys(3, 17)
        assert len([key for finding, key in found if finding == "moved"]) == 18

    def test_what_the_limit_leaves_out_is_counted_and_said(self, many: Any):
        for key in self.keys(*range(40)):
            many.remove(key)
        encord = CountingEncord(many.fleet)

        report = many.audit(gateway=encord, limits=AuditLimits(lookup_requests=7, lookup_batch=10))

        assert (report.findings["missing"], encord.lookups) == (40, 7)
        assert report.looked_up + report.not_looked_up == 40
        assert report.not_looked_up > 0
        rows = many.rows(limits=AuditLimits(lookup_requests=0))
        assert {row.detail for row in rows} == {"not searched for in other folders: the limit of look-ups was reached"}

    def test_a_single_refusal_is_confirmed_before_an_item_counts_as_missing(self, many: Any):
        many.move(self.keys(5)[0], "archive")

        class Wavering(CountingEncord):
            def folders_of_items(self, uuids: Any) -> Any:
                found = super().folders_of_items(uuids)
                return None if self.lookups % 3 else found

        assert many.found(gateway=Wavering(many.fleet)) == [("moved", self.keys(5)[0])]
