"""Bucket, ledger and Encord compared: each finding alone, together, and what is none."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.audit.audit import AuditLimits
from registration_pipeline.audit.report import audit_findings
from registration_pipeline.audit.rows import AuditFinding
from registration_pipeline.errors import PermissionDeniedError, TransientError, UsageError
from registration_pipeline.state.layout import audit_folder
from registration_pipeline.submission.testing import StartScript
from registration_pipeline_tests.unit.audit.encord_of_fleet import EncordOfFleet

if TYPE_CHECKING:
    from collections.abc import Callable


A, B, C = "raw/a.jpg", "raw/b.jpg", "raw/c.jpg"


def test_a_source_where_all_three_agree_has_no_findings(registered: Any):
    report = registered.audit()

    assert report.is_clean
    assert report.findings == {finding.value: 0 for finding in AuditFinding}
    assert (report.objects, report.registered_objects, report.items, report.looked_up) == (3, 3, 3, 0)
    assert report.folders == (registered.folder_uuid(),)


def test_a_registered_object_whose_item_was_deleted_is_missing(registered: Any):
    removed = registered.remove(B)

    (row,) = registered.rows()

    assert (row.finding, row.key, row.item_uuid) == ("missing", B, removed.item_uuid)
    assert (row.folder_uuid, row.detail) == (registered.folder_uuid(), None)


def test_two_audits_at_the_same_moment_have_a_report_each(registered: Any):
    now = registered.fleet.time.clock()

    reports = [registered.audit(clock=lambda: now) for _ in range(2)]

    ids = [report.audit_id for report in reports]
    assert ids == [f"{now:%Y%m%dT%H%M%S}000000Z", f"{now:%Y%m%dT%H%M%S}000001Z"]
    assert registered.fleet.store.folders(audit_folder(registered.fleet.source.name)) == ids


def test_an_audit_is_later_than_all_others_though_the_clock_was_put_back(registered: Any):
    first = registered.audit()
    past = first.started_at - timedelta(days=1)

    assert registered.audit(clock=lambda: past).audit_id > first.audit_id


def test_an_item_that_no_one_planned_is_unknown(registered: Any):
    item = registered.add("https://elsewhere.example/cat.jpg", name="cat")

    (row,) = registered.rows()

    assert row[:2] == ("unknown", None)
    assert (row.object_url, row.item_uuid) == ("https://elsewhere.example/cat.jpg", item.item_uuid)
    assert row.detail == "titled 'cat'; no planned object has this URL"


def test_the_signature_of_a_url_that_others_registered_is_masked(registered: Any):
    registered.add("https://account.blob.core.windows.net/c/cat.jpg?sv=1&sig=4711", name="cat?sig=4711")

    (row,) = registered.rows()

    assert row.object_url == "https://account.blob.core.windows.net/c/cat.jpg?sv=1&sig=***"
    assert row.detail == "titled 'cat?sig=***'; no planned object has this URL"


def test_an_item_with_the_provenance_key_of_another_source_says_so(registered: Any):
    registered.add("s3://other/x.jpg", unit_id="0123456789abcdef")

    (row,) = registered.rows()

    assert (row.finding, row.unit_id) == ("unknown", "0123456789abcdef")
    assert "'0123456789abcdef', which it names as registration.unit" in row.detail


def test_an_item_with_the_id_of_a_unit_and_another_url_is_unknown_and_not_a_duplicate(registered: Any):
    other = registered.copy(A, url="s3://other/a.jpg")

    (row,) = registered.rows()

    assert (row.finding, row.key, row.unit_id, row.item_uuid) == ("unknown", None, other.unit_id, other.item_uuid)
    assert "with other objects, and is never adopted" in row.detail


def test_an_item_too_many_is_a_duplicate_and_the_recorded_one_stays(registered: Any):
    kept, copied = registered.item(A), registered.copy(A)

    (row,) = registered.rows()

    assert (row.finding, row.key, row.item_uuid) == ("duplicate", A, copied.item_uuid)
    assert row.detail == f"one too many beside {kept.item_uuid}"


def test_two_items_too_many_are_two_rows(registered: Any):
    registered.copy(A)
    registered.copy(A, unit_id=None)

    assert registered.found() == [("duplicate", A)] * 2


def test_an_item_in_another_folder_is_moved(registered: Any):
    registered.move(C, "archive")

    (row,) = registered.rows()

    assert (row.finding, row.key) == ("moved", C)
    assert row.folder_uuid == registered.folder_uuid("archive")
    assert row.detail == f"registered in folder {registered.folder_uuid()}"


def test_an_object_that_was_written_again_is_changed(registered: Any):
    registered.fleet.put(A, e_tag="another").take_inventory()

    assert registered.found() == [("changed", A)]


def test_an_object_that_was_deleted_is_gone(registered: Any):
    del registered.fleet.objects[A]
    registered.fleet.take_inventory()

    assert registered.found() == [("gone", A)]


def test_a_bucket_that_was_emptied_leaves_everything_gone(registered: Any):
    registered.fleet.objects.clear()
    registered.fleet.take_inventory()

    assert registered.found() == [("gone", A), ("gone", B), ("gone", C)]


@pytest.mark.parametrize("partition", [1, 3, 1000], ids=lambda rows: f"{rows} rows a partition")
def test_all_findings_in_one_report_are_sorted_by_kind_and_key(
    fleet_of: Callable[..., Any], auditor_of: Any, partition: int
):
    fleet = fleet_of(*(f"{name}.jpg" for name in "abcdefghi"))
    fleet.register()
    audit = auditor_of(fleet)
    audit.remove("raw/g.jpg")
    audit.remove("raw/h.jpg")
    audit.move("raw/b.jpg", "archive")
    audit.copy("raw/c.jpg")
    audit.add("s3://other/z.jpg")
    fleet.put("raw/d.jpg", e_tag="another")
    del fleet.objects["raw/e.jpg"]
    fleet.objects["raw/i.jpg"]["storage_class"] = "DEEP_ARCHIVE"
    fleet.take_inventory()

    report = audit.audit(limits=AuditLimits(rows_per_partition=partition))

    assert [(row.finding, row.key) for row in audit_findings(fleet.store, report)] == [
        ("missing", "raw/g.jpg"),
        ("missing", "raw/h.jpg"),
        ("moved", "raw/b.jpg"),
        ("duplicate", "raw/c.jpg"),
        ("unknown", None),
        ("changed", "raw/d.jpg"),
        ("archived", "raw/i.jpg"),
        ("gone", "raw/e.jpg"),
    ]
    assert dict(report.findings) == {
        "missing": 2,
        "moved": 1,
        "duplicate": 1,
        "unknown": 1,
        "changed": 1,
        "archived": 1,
        "gone": 1,
    }


def test_an_object_can_be_gone_and_missing_at_once(registered: Any):
    registered.remove(A)
    del registered.fleet.objects[A]
    registered.fleet.take_inventory()

    assert registered.found() == [("missing", A), ("gone", A)]


def test_what_is_not_registered_is_neither_changed_nor_gone(fleet_of: Callable[..., Any], auditor_of: Any):
    fleet = fleet_of(encord={"fails": lambda url: "403 Forbidden" if url.endswith("a.jpg") else None})
    fleet.register()
    del fleet.objects[A]
    fleet.put("raw/d.jpg").sync()
    fleet.put("raw/d.jpg", e_tag="another").take_inventory()

    assert auditor_of(fleet).found() == []


HOSTILE = "raw/é +%2F&'(a)~;=@\U0001f600\r\n.jpg"


@pytest.mark.parametrize(
    "encode",
    [
        pytest.param(lambda url: url.replace("%20", " ").replace("%2B", "+"), id="less"),
        pytest.param(lambda url: url.replace("%C3%A9", "%c3%a9").replace("raw", "%72aw"), id="more"),
    ],
)
def test_urls_in_another_percent_encoding_are_the_same(new_fleet: Any, auditor_of: Any, encode: Any):
    fleet = new_fleet().put(HOSTILE).sync()
    fleet.register()
    audit = auditor_of(fleet)
    before = audit.item(HOSTILE)
    audit.alter(HOSTILE, url=encode(before.url), unit_id=None, item_uuid="00000000-0000-4000-8000-000000000001")

    assert audit.item(HOSTILE).url != before.url
    assert audit.found() == []


def test_an_item_without_a_url_is_recognised_by_its_uuid(registered: Any):
    registered.alter(A, url=None, unit_id=None)

    assert registered.found() == []


def test_an_item_that_shows_no_url_is_recognised_by_the_provenance_key(registered: Any):
    registered.alter(A, url=None, item_uuid="00000000-0000-4000-8000-000000000001")

    assert registered.found() == []


def test_kinds_without_metadata_are_recognised_by_their_url(new_fleet: Any, auditor_of: Any):
    fleet = new_fleet().put("raw/scan.nii", "raw/scan.nii.gz").sync()
    fleet.register()
    audit = auditor_of(fleet)
    audit.remove("raw/scan.nii")

    assert audit.item("raw/scan.nii.gz").unit_id is None
    assert audit.found() == [("missing", "raw/scan.nii")]


def test_an_item_that_was_deleted_and_registered_again_by_hand_is_no_finding(registered: Any):
    registered.copy(A)
    registered.remove(A)

    report = registered.audit()

    assert report.is_clean
    assert report.looked_up == 1


def test_a_moved_item_that_was_registered_again_is_a_duplicate(registered: Any):
    copied = registered.copy(A)
    recorded = registered.item(A)
    registered.move(A, "archive")

    (row,) = registered.rows()

    assert (row.finding, row.item_uuid) == ("duplicate", recorded.item_uuid)
    assert (row.folder_uuid, row.detail) == (
        registered.folder_uuid("archive"),
        f"also in the folder of its chunk, as {copied.item_uuid}",
    )


def test_a_source_that_changed_its_folder_has_two_and_each_chunk_stays_in_its_own(registered: Any):
    fleet = registered.fleet
    fleet.configure(encord={"integration": "sandbox", "folder": "second"})
    fleet.put("raw/d.jpg").sync()
    fleet.register()
    assert registered.found() == []

    registered.move("raw/d.jpg", "fleet")
    report = registered.audit()

    assert report.findings["moved"] == 1
    assert report.looked_up == 0  # seen in the other folder of the source
    assert set(report.folders) == {registered.folder_uuid(), registered.folder_uuid("second")}


def test_a_copy_in_the_wrong_folder_is_the_one_too_many(registered: Any):
    registered.fleet.configure(encord={"integration": "sandbox", "folder": "second"})
    registered.move(A, "second")
    copied = registered.copy(A, to="fleet")

    (row,) = registered.rows()

    assert (row.finding, row.folder_uuid) == ("duplicate", registered.folder_uuid("second"))
    assert row.detail == f"one too many beside {copied.item_uuid} in folder {registered.folder_uuid()}"


def test_items_of_a_chunk_that_is_being_submitted_are_no_findings(new_fleet: Any, auditor_of: Any):
    fleet = new_fleet(encord={"starts": [StartScript.LOSE_REPLY]}).put(A).sync()
    fleet.submission().advance()

    report = auditor_of(fleet).audit(adopt=True)

    assert fleet.journal.progress(fleet.chunks[0].chunk_id).is_attempt_open
    assert (report.is_clean, report.items, report.under_way, report.adopted_units) == (True, 1, 1, 0)


def test_a_submission_that_begins_while_the_folder_is_listed_makes_no_findings(
    fleet_of: Callable[..., Any], auditor_of: Any
):
    fleet = fleet_of()
    encord = fleet.encord

    class Submitting(EncordOfFleet):
        def items_page(self, folder: str, token: str | None) -> Any:
            if token is None:
                fleet.register()
            return encord.items_page(folder, token)

    report = auditor_of(fleet).audit(gateway=Submitting(fleet), target_folder=encord.create_folder("fleet"), adopt=True)

    assert (report.findings["unknown"], report.under_way, report.adopted_units) == (0, 3, 0)


def test_a_page_that_fails_is_asked_for_again_and_not_the_whole_listing(registered: Any):
    encord, asked = registered.fleet.encord, []
    encord.page_size = 1

    class Failing(EncordOfFleet):
        def items_page(self, folder: str, token: str | None) -> Any:
            asked.append(token)
            if asked.count("1") == 1 and token == "1":
                raise TransientError("503")
            return encord.items_page(folder, token)

    report = registered.audit(gateway=Failing(registered.fleet))

    assert (report.items, report.is_clean) == (3, True)
    assert asked == [None, "1", "1", "2"]


def test_an_item_that_two_pages_show_counts_once(registered: Any):
    registered.folder().append(registered.item(A))

    assert registered.found() == []


def test_a_folder_that_may_not_be_seen_halts_and_leaves_no_report(registered: Any):
    class Refusing(EncordOfFleet):
        def count_items(self, folder: str) -> int:
            raise PermissionDeniedError(f"folder {folder}")

    with pytest.raises(PermissionDeniedError):
        registered.audit(gateway=Refusing(registered.fleet))

    assert list(registered.fleet.store.names("fleet/audit/")) == []


def test_text_of_others_that_is_no_unicode_is_reported_all_the_same(registered: Any):
    registered.add("s3://other/\ud83d.jpg", unit_id="\udead", name="\ud800")

    (row,) = registered.rows()

    assert (row.finding, row.object_url, row.unit_id) == ("unknown", "s3://other/\\ud83d.jpg", "\\udead")


@pytest.mark.parametrize(("inventories", "lacks"), [(0, "inventory"), (1, "plan")])
def test_a_source_without_a_plan_can_not_be_audited(new_fleet: Any, auditor_of: Any, inventories: int, lacks: str):
    fleet = new_fleet().put(A)
    for _ in range(inventories):
        fleet.take_inventory()

    with pytest.raises(UsageError, match=f"has no {lacks} to compare with"):
        auditor_of(fleet).audit()


def test_a_folder_that_was_never_made_is_nothing_to_list(fleet_of: Callable[..., Any], auditor_of: Any):
    report = auditor_of(fleet_of()).audit()

    assert (report.is_clean, report.folders, report.items, report.objects) == (True, (), 0, 3)
