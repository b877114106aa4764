"""When a source's headers are read, and when it is certain without looking that all are known."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.errors import ConfigurationError, ObjectReadError, UsageError
from registration_pipeline.facts.headers.schema import latest_headers
from registration_pipeline.planning.plan import plan_source
from registration_pipeline.project.facts.headers import SourceHeaders
from registration_pipeline.settings import SourceSettings
from registration_pipeline.state.local import LocalStateStore
from registration_pipeline_tests.unit.facts.conftest import Clinic, WatchedReader

if TYPE_CHECKING:
    from pathlib import Path

BY_HEADERS = {"groups": [{"match": "**", "as": "dicom_series", "by": "headers"}]}


class Night:
    """A source on the clinic's bucket, listed, read and planned step by step."""

    def __init__(self, clinic: Clinic, **rules: Any) -> None:
        self.clinic = clinic
        uri = f"file://{clinic.bucket}"
        self.source = SourceSettings.model_validate({"name": "clinic", "uri": uri, **rules})
        self.keys: list[str] = []
        self.trouble: dict[str, ObjectReadError] = {}

    def read(self, *, again: bool = False) -> int | None:
        """Return how many headers were read; None: nothing was looked for."""
        reader = WatchedReader(self.clinic.bucket, self.trouble)
        headers = SourceHeaders(self.clinic.store, self.source, lambda: reader, self.clinic.clock)
        reading = headers.read(again=again)
        self.keys = sorted(reader.keys)
        return None if reading is None else reading.progress.read

    def plan(self) -> Any:
        return plan_source(store=self.clinic.store, source=self.source, clock=self.clinic.clock).wave.counts


def test_the_headers_of_an_inventory_are_read_once(clinic: Clinic) -> None:
    night = Night(clinic)
    clinic.put("a.dcm")
    clinic.listed()

    assert [night.read(), night.read(), night.read(again=True)] == [1, None, 0]


def test_a_night_without_changes_looks_for_nothing(clinic: Clinic) -> None:
    night = Night(clinic)
    clinic.put("a.dcm")
    clinic.put("b.dcm", b"no")
    clinic.listed()
    night.read()
    counts = night.plan()
    clinic.listed()

    assert (counts.new, counts.rejected_by_reason) == (1, {"invalid_header": 1})
    assert night.read() is None
    assert night.plan().known == 1


def test_what_is_planned_drops_out_and_only_what_is_new_is_read(clinic: Clinic) -> None:
    night = Night(clinic)
    clinic.put("a.dcm")
    clinic.listed()
    night.read()
    night.plan()
    clinic.put("b.dcm", series=2)
    clinic.listed()

    assert night.read() == 1
    assert night.keys == ["b.dcm"]
    assert latest_headers(clinic.store, "clinic").rows == 1  # type: ignore[union-attr]
    assert night.plan().new == 1


def test_what_could_not_be_read_is_tried_again_on_a_night_without_changes(clinic: Clinic, tmp_path: Path) -> None:
    night = Night(clinic)
    clinic.put("a.dcm")
    clinic.put("b.dcm", series=2)
    clinic.listed()
    shutil.copy2(clinic.bucket / "a.dcm", tmp_path / "kept")
    (clinic.bucket / "a.dcm").unlink()
    night.read()
    assert night.plan().rejected_by_reason == {"header_unreadable": 1}
    shutil.copy2(tmp_path / "kept", clinic.bucket / "a.dcm")
    clinic.listed()

    assert night.read() == 1
    assert night.keys == ["a.dcm"]
    assert night.plan().new == 1


def test_a_file_that_lacks_something_keeps_its_series_from_being_registered_without_it(clinic: Clinic) -> None:
    night = Night(clinic)
    clinic.put("a.dcm", number=1)
    clinic.put("b.dcm", number=2, Rows=None)
    clinic.put("c.dcm", series=2)
    clinic.listed()
    night.read()
    counts = night.plan()

    assert (counts.new, counts.rejected_by_reason) == (1, {"invalid_header": 1, "unit_incomplete": 1})


def test_a_header_that_can_not_be_read_now_holds_the_series_it_may_be_in(clinic: Clinic) -> None:
    night = Night(clinic)
    clinic.put("a.dcm", number=1)
    clinic.put("b.dcm", number=2)
    clinic.listed()
    night.trouble = {"b.dcm": ObjectReadError("no reply", is_silent=True)}
    assert night.read() == 1
    counts = night.plan()
    assert (counts.new, counts.held, counts.rejected) == (0, 2, 0)

    night.trouble = {}
    clinic.listed()
    assert night.read() == 1
    assert night.keys == ["b.dcm"]
    assert night.plan().new == 2


def test_another_rule_looks_again(clinic: Clinic) -> None:
    clinic.put("a.dcm")
    clinic.put("b")
    clinic.listed()
    assert Night(clinic).read() == 1

    night = Night(clinic, **BY_HEADERS)
    assert night.read() == 1
    assert night.keys == ["b"]


def test_a_plan_that_lost_its_waves_has_the_headers_read_again(clinic: Clinic, tmp_path: Path) -> None:
    night = Night(clinic)
    clinic.put("a.dcm")
    clinic.listed()
    night.read()
    night.plan()
    clinic.put("b.dcm", series=2)
    clinic.listed()
    night.read()  # "a.dcm" is planned: its header drops out
    night.plan()
    for folder in ("plan", "census", "lineage", "ledger"):
        shutil.rmtree(tmp_path / "state" / "clinic" / folder)
    night.clinic = Clinic(clinic.bucket, LocalStateStore(tmp_path / "state"), clinic.moment)

    assert night.read() == 1
    assert night.keys == ["a.dcm"]
    assert night.plan().new == 2


def test_a_bucket_without_dicom_objects_is_read_through_once_and_nothing_is_written(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = Night(clinic)
    clinic.put("a.jpg", b"x")
    clinic.listed()
    assert night.read() is None
    night.plan()
    clinic.listed()

    def never(*_: object) -> bool:
        raise AssertionError("the keys were read again")

    monkeypatch.setattr("registration_pipeline.project.facts.headers.holds_dicom", never)
    assert night.read() is None
    assert latest_headers(clinic.store, "clinic") is None


def test_a_rule_of_headers_commits_a_set_even_if_nothing_needs_one(clinic: Clinic) -> None:
    clinic.put("a.jpg", b"x")
    clinic.listed()

    assert Night(clinic, **BY_HEADERS).read() == 0
    assert latest_headers(clinic.store, "clinic") is not None


def test_there_has_to_be_an_inventory(clinic: Clinic) -> None:
    with pytest.raises(UsageError, match="inventory clinic"):
        Night(clinic).read()


def test_a_missing_library_is_named_only_where_headers_are_needed(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registration_pipeline.facts.headers.dicom.find_spec", lambda _: None)
    clinic.put("a.jpg", b"x")
    clinic.listed()
    assert Night(clinic).read() is None

    clinic.put("a.dcm")
    clinic.listed()
    assert Night(clinic, exclude=["*.dcm"]).read() == 0
    with pytest.raises(ConfigurationError, match=r"pip install 'registration-pipeline\[media\]'"):
        Night(clinic).read()
