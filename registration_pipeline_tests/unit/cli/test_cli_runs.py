"""``runs --prune``: old runs leave Dagster's storage, and nothing else is changed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.cli import runs
from registration_pipeline.project.project import utc_now
from registration_pipeline_tests.unit.cli.conftest import SOURCE

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace


@pytest.fixture
def in_a_year(monkeypatch: pytest.MonkeyPatch) -> None:
    now = utc_now() + timedelta(days=365)
    monkeypatch.setattr(runs, "utc_now", lambda: now)


@pytest.mark.slow
@pytest.mark.usefixtures("in_a_year")
def test_old_runs_leave_dagster_but_for_those_that_anything_shown_is_from(workplace: Workplace) -> None:
    workplace.put("a.jpg")
    for _ in range(3):
        assert workplace.run("inventory", SOURCE).status == 0
    state = workplace.files()

    refused = workplace.run("runs", "--prune", "400", "--json")
    said = workplace.run("runs", SOURCE, "--prune", "300")
    again = workplace.run("runs", "--prune", "300", "--json")

    assert refused.document == {"removed": [], "needed": 0, "waiting": 0}
    assert said.status == 0
    assert "2 runs of Dagster's history removed; the state was not changed." in said.words
    assert "1 old run kept" in said.words
    assert again.document == {"removed": [], "needed": 1, "waiting": 0}
    assert workplace.files() == state


@pytest.mark.parametrize(
    ("arguments", "part"),
    [(("runs",), "--prune"), (("runs", "--prune", "0"), "--prune"), (("runs", "other", "--prune", "9"), "other")],
    ids=["no days", "no day at all", "an unknown source"],
)
def test_what_can_not_be_meant_is_refused(workplace: Workplace, arguments: tuple[str, ...], part: str) -> None:
    said = workplace.run(*arguments)

    assert said.status == 2
    assert part in said.err
