"""docs/sandbox.md names every fault, endpoint and admin path that there is, and its examples are valid."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.sandbox.admin.api import PATHS
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.config import ErrorFrames, GroupMatching, MediaNames, SandboxConfig
from registration_pipeline.sandbox.faults.plan import UNIT_FAILURES, load_fault, load_profile
from registration_pipeline.sandbox.faults.random_profile import RandomFaults
from registration_pipeline.sandbox.faults.values import Effect, Fate, Fault, Form, Kind, When

if TYPE_CHECKING:
    from enum import StrEnum

PAGE = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text(encoding="utf-8")
WORDS = set(re.findall(r"`([^`\n]+)`", PAGE))
KEYS = [field.name for form in (Fault, RandomFaults) for field in dataclasses.fields(form)]


@pytest.mark.parametrize("word", [*Effect, *When, *Form, *Fate, *Kind, *Endpoint, *KEYS, UNIT_FAILURES])
def test_every_word_of_a_fault_is_documented(word: str) -> None:
    assert word in WORDS


@pytest.mark.parametrize(
    ("switch", "of"),
    [("error_frames", ErrorFrames), ("group_matching", GroupMatching), ("media_names", MediaNames)],
)
def test_a_switch_with_several_readings_is_documented_with_each(switch: str, of: type[StrEnum]) -> None:
    usual = next(field.default for field in dataclasses.fields(SandboxConfig) if field.name == switch)
    row = re.search(rf"^\| `{switch}` \| `(\w+)` \| (.+)$", PAGE, re.MULTILINE)

    assert row is not None
    assert row[1] == usual.name
    assert {one.name for one in of if one is not usual} <= set(re.findall(r"`(\w+)`", row[2]))


@pytest.mark.parametrize("path", PATHS)
def test_every_admin_path_is_documented(path: str) -> None:
    assert any(word.partition("?")[0] == path for word in WORDS)


def test_the_faults_in_the_examples_are_valid() -> None:
    bodies = [json.loads(body) for body in re.findall(r"/faults --json '(.+)'", PAGE)]

    assert len(bodies) == 2
    assert load_fault(json.dumps(bodies[0])).way == "cut_after"
    assert load_profile(json.dumps(bodies[1]["random"])).probability == 0.3
