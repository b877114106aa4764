"""Whatever happens in whatever order: each change is sent once, ends in Encord, and nothing else is touched or made."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from registration_pipeline_tests.upsert_model.machine import UpsertMachine

PROFILE = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    stateful_step_count=10,
    report_multiple_bugs=False,
)


def test_upserts_over_any_sequence_of_events() -> None:
    run_state_machine_as_test(UpsertMachine, settings=settings(PROFILE, max_examples=15))
