"""docs/rehearsal.md has a row for each question, and none that is not asked."""

from __future__ import annotations

import re
from pathlib import Path

from registration_pipeline.rehearsal.findings.rules import all_findings
from registration_pipeline.rehearsal.observations import Observations

PAGE = (Path(__file__).parents[3] / "docs" / "rehearsal.md").read_text(encoding="utf-8")


def test_every_question_has_a_row_in_the_order_in_which_it_is_shown() -> None:
    section = PAGE.partition("## What it asks")[2].partition("## Settings that follow")[0]

    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [one.name for one in all_findings(Observations())]
