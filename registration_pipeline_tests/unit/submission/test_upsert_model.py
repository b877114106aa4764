"""Whatever happens in whatever order: each change is sent once, ends in Encord, and nothing else is touched or made."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from registration_pipeline_tests.doses import DOSES
from registration_pipeline_tests.upsert_model.machine import UpsertMachine

PROFILE = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],  # shrinking takes minutes: add Phase.shrink to look at a failure
    suppress_health_check=list(HealthCheck),
    stateful_step_count=4,
    report_multiple_bugs=False,
)


def test_upserts_over_any_sequence_of_events() -> None:
    run_state_machine_as_test(UpsertMachine, settings=settings(PROFILE, max_examples=2))


@pytest.mark.slow
@pytest.mark.soak
def test_upserts_over_many_sequences_of_events() -> None:
    run_state_machine_as_test(UpsertMachine, settings=settings(PROFILE, max_examples=DOSES.upsert_examples))
