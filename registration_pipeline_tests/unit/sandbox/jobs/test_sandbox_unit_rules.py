"""Planted failures as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import UsageError
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule, read_rules, write_rules

if TYPE_CHECKING:
    from pathlib import Path


def test_rules_come_back_as_they_were_written(tmp_path: Path) -> None:
    rules = (UnitRule(r"\.tiff?$", "é", times=3), UnitRule("x", "always"))

    write_rules(tmp_path / "rules.json", rules)

    assert read_rules(tmp_path / "rules.json") == rules
    assert [path.name for path in tmp_path.iterdir()] == ["rules.json"]


def test_no_file_means_no_rules(tmp_path: Path) -> None:
    assert read_rules(tmp_path / "rules.json") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("{}", "must be a list"),
        ("[1]", r"rules.json\[0\] must be an object"),
        ('[{"pattern": "a", "error": "b"}, {"pattern": "a"}]', r"rules.json\[1\] must be an object"),
        ('[{"pattern": "a", "error": 1}]', "must be strings"),
        ('[{"pattern": "a", "error": "b", "times": "2"}]', "whole number"),
        ('[{"pattern": "a", "error": "b", "times": true}]', "whole number"),
        ('[{"pattern": "a", "error": "b", "times": 0}]', "from 1 up"),
        ('[{"pattern": "(", "error": "b"}]', "not a regular expression"),
    ],
)
def test_a_file_that_is_no_list_of_rules_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "rules.json").write_text(text)

    with pytest.raises(UsageError, match=message):
        read_rules(tmp_path / "rules.json")
