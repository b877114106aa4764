"""A ``uri`` that was changed since the inventory was taken: what uses that inventory refuses it, and the next one is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline_tests.dicom_files import image, written
from registration_pipeline_tests.unit.cli.conftest import SOURCE

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace

BY_HEADERS = [{"match": "**", "as": "dicom_series", "by": "headers"}]


def move(workplace: Workplace, name: str, **settings: object) -> None:
    """Change the source's directory to one with an object that the other one has not."""
    folder = workplace.root / name
    folder.mkdir()
    (folder / f"{name}.jpg").write_bytes(b"x")
    workplace.configure(uri=folder.as_uri(), **settings)


@pytest.mark.slow
def test_a_plan_of_an_inventory_of_another_place_is_refused_until_there_is_one_of_this_place(
    workplace: Workplace,
) -> None:
    workplace.put("a.jpg")
    assert workplace.run("inventory", SOURCE).status == 0
    move(workplace, "elsewhere")
    before = workplace.files()

    for arguments in (["plan", SOURCE, "--dry-run"], ["plan", SOURCE]):
        refused = workplace.run(*arguments)
        assert refused.status == 2
        assert f"sources.{SOURCE}.uri: the source was changed since inventory" in refused.words
        assert f"Listed: {(workplace.root / 'files').as_uri()}. Now: {(workplace.root / 'elsewhere').as_uri()}." in (
            refused.words
        )
        assert f"run `registration-pipeline inventory {SOURCE}` again" in refused.words
    assert workplace.files() == before

    assert workplace.run("inventory", SOURCE).status == 0
    planned = workplace.run("plan", SOURCE, "--json")
    assert (planned.status, planned.document["counts"]["new"]) == (0, 1)
    assert [chunk["first_key"] for chunk in planned.document["chunks"]] == ["elsewhere.jpg"]


@pytest.mark.slow
def test_what_was_planned_is_not_audited_against_an_inventory_of_another_place(workplace: Workplace) -> None:
    workplace.put("a.jpg")
    workplace.register()
    assert workplace.run("audit", SOURCE).status == 0
    move(workplace, "elsewhere")

    refused = workplace.run("audit", SOURCE)
    shown = workplace.run("status", SOURCE)

    assert refused.status == 2
    assert f"sources.{SOURCE}.uri: the source was changed since inventory" in refused.words
    assert shown.status == 0


@pytest.mark.slow
def test_headers_are_not_read_in_another_place_than_was_listed(workplace: Workplace) -> None:
    workplace.configure(groups=BY_HEADERS)
    workplace.put("scan", body=written(image(1, 1, 1)))
    assert workplace.run("inventory", SOURCE).status == 0
    move(workplace, "elsewhere", groups=BY_HEADERS)

    refused = workplace.run("probe", SOURCE)

    assert refused.status == 2
    assert f"sources.{SOURCE}.uri: the source was changed since inventory" in refused.words
