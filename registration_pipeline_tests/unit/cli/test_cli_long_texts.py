"""Error texts of megabytes: kept nearly whole once, in the outcomes, and short everywhere else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from registration_pipeline.bounds.texts import FULL_TEXT, SHORT_TEXT
from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault
from registration_pipeline.sandbox.jobs.unit_rules import UnitRule

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline_tests.unit.cli.conftest import Workplace

pytestmark = pytest.mark.slow  # it waits for real connections or processes

MB = 1 << 20


def size_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def varied(name: str) -> str:
    """Return megabytes that no compression makes small."""
    return name + "".join(f"{number * 2654435761 % 2**32:08x}" for number in range(3 * MB // 8))


def test_two_error_texts_of_megabytes_grow_neither_the_state_nor_dagster(workplace: Workplace) -> None:
    workplace.put("good.jpg", "bad_1.jpg", "bad_2.jpg")
    texts = {f"bad_{number}": varied(f"bad {number}: ") for number in (1, 2)}
    workplace.sandbox.plant(*(UnitRule(pattern, text) for pattern, text in texts.items()))
    said = workplace.run("sync")
    assert said.status == 3

    state, dagster = workplace.root / "state", workplace.root / ".dagster"
    assert size_below(state) < MB
    assert size_below(dagster) < 3 * MB
    kept = [row["message"] for path in state.rglob("outcomes/**/*.parquet") for row in pq.read_table(path).to_pylist()]
    assert [FULL_TEXT - 10 < len(text) <= FULL_TEXT for text in kept if text] == [True, True]
    assert all(text[:1000] in (texts["bad_1"][:1000], texts["bad_2"][:1000]) for text in kept if text)
    rows = json.loads(workplace.run("failures", "--json").out)
    assert all(SHORT_TEXT - 10 < len(row["message"]) <= SHORT_TEXT for row in rows)
    assert all("characters left out" in row["message"] for row in rows)


def test_a_page_of_megabytes_that_refuses_a_start_is_one_short_message(workplace: Workplace) -> None:
    workplace.put("a.jpg")
    fault = Fault(
        effect=Effect.STATUS, status=400, message=varied("refused: "), endpoint=Endpoint.START_JOB, times=None
    )
    workplace.sandbox.script(fault)
    said = workplace.run("sync")

    assert said.status in (3, 4)
    assert len(said.err) < 20_000
    assert size_below(workplace.root / "state") < MB
