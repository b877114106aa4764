"""The example of units in the configuration page, loaded and applied to the objects of its table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from registration_pipeline.ids import unit_id
from registration_pipeline.planning.grouping.rules import GroupRules, Member
from registration_pipeline.planning.kinds import KindFinder
from registration_pipeline.planning.titles import TitleWriter
from registration_pipeline.settings import load_settings
from registration_pipeline.settings.units import GroupRule, KindRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registration_pipeline.settings import SourceSettings

ROOT = Path(__file__).parents[3]
SECTION = (
    (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8").partition("\n## Units\n")[2].partition("\n## ")[0]
)
YAML = SECTION.partition("```yaml\n")[2].partition("```")[0]


class Row(NamedTuple):
    """A row of the table: an object and what becomes of it."""

    key: str
    kind: str
    named_by: str
    position: int
    title: str


def rows() -> list[Row]:
    pattern = r"^\| `(raw/[^|]+)` \| `(\w+)` \| (`[^|]+`|its key) \| (\d+) \| `([^|]+)` \|$"
    return [
        Row(key, kind, named_by.strip("`"), int(position), title)
        for key, kind, named_by, position, title in re.findall(pattern, SECTION, re.MULTILINE)
    ]


@pytest.fixture
def source(tmp_path: Path) -> SourceSettings:
    file = tmp_path / "registration.yaml"
    file.write_text(YAML, encoding="utf-8")
    return load_settings(file, {}).sources["fleet"]


def test_the_example_has_every_key_of_an_entry() -> None:
    entries = yaml.safe_load(YAML)["sources"]["fleet"]

    assert {key for entry in entries["kinds"] for key in entry} == set(KindRule.model_fields)
    assert {key for entry in entries["groups"] for key in entry} == {
        field.alias or key for key, field in GroupRule.model_fields.items()
    }


def test_the_example_is_all_of_the_table() -> None:
    assert len(rows()) == SECTION.count("| `raw/") > 10


def named_by(row: Row, member: Member | None) -> str:
    """Return what names the unit; the header of a DICOM object is what the table says."""
    if member is None:
        return "its key"
    return member.group_key or row.named_by


def position_of(row: Row, members: Sequence[Member | None]) -> int:
    """Return the place of an object among those of the table that are in its unit."""
    unit = [
        (member.order, other.key)
        for other, member in zip(rows(), members, strict=True)
        if member is not None and other.named_by == row.named_by
    ]
    return [key for _, key in sorted(unit)].index(row.key) if unit else 0


def test_every_object_of_the_table_becomes_what_the_table_says(source: SourceSettings) -> None:
    keys = [row.key for row in rows()]
    kinds = KindFinder(source.kinds, source.location.below_prefix).kinds(keys)
    rules, titles = GroupRules(source), TitleWriter(source)
    members = rules.members(keys, kinds)
    found = []
    for row, kind, member in zip(rows(), kinds, members, strict=True):
        unit_kind = kind if member is None else rules.rules[member.rule].kind.media_kind
        assert unit_kind is not None
        name = named_by(row, member)
        unit = unit_id("fleet", unit_kind, row.key if member is None else name)
        title = (
            titles.of_objects([row.key], [unit]).texts[0]
            if member is None
            else titles.of_group(member.rule, name, row.key, unit, {"study": "1.2", "modality": "CT"}).text
        )
        found.append(Row(row.key, unit_kind.value, name, position_of(row, members), title))

    assert found == rows()


@pytest.mark.parametrize("commented", [False, True], ids=["as it is", "with every comment that is a key"])
def test_the_example_file_is_right(tmp_path: Path, *, commented: bool) -> None:
    text = (ROOT / "examples" / "registration.yaml").read_text(encoding="utf-8")
    if commented:
        before, units, after = text.partition("    # What objects are")
        units, end, rest = (units + after).partition("    # Units per chunk")
        lines = [line.replace("    # ", "    ", 1) for line in units.splitlines() if re.match(r"    # +(?:\w+:|-|  )", line)]
        text = before + "\n".join(lines) + "\n" + end + rest
    file = tmp_path / "registration.yaml"
    file.write_text(text, encoding="utf-8")
    source = load_settings(file, {}).sources["fleet-cameras"]

    assert [rule.kind.value for rule in source.groups] == (
        ["image_group", "image_sequence", "dicom_series"] if commented else []
    )
    assert len(source.kinds) == int(commented)
    assert len(source.metadata) == (4 if commented else 0)
    assert (source.dataset is not None) is commented
    assert source.title == ("{path}" if commented else "{key}")
