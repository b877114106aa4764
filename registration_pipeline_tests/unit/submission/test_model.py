"""Whatever happens in whatever order: every object registered once, and each in exactly one place. Model-checked."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from registration_pipeline_tests.submission_model import variants
from registration_pipeline_tests.submission_model.machine import RegistrationMachine

PROFILE = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), stateful_step_count=12)


def run(fleet_type: Any, variant: variants.Variant, *, number: int, profile: settings) -> Counter[str]:
    """Run the machine with this seed, and return in how many examples each thing happened."""
    reached = Counter[str]()
    members = {"fleet_type": fleet_type, "variant": variant, "reached": reached}
    machine = type("RegistrationMachine", (RegistrationMachine,), members)
    run_state_machine_as_test(seed(number)(machine), settings=profile)
    return reached


def test_whatever_happens_every_object_is_registered_once(new_fleet: Any):
    run(new_fleet, variants.GOOD, number=1, profile=settings(PROFILE, max_examples=15))


def test_sending_again_without_settling_is_caught(new_fleet: Any):
    profile = settings(PROFILE, max_examples=300, phases=[Phase.generate])

    with pytest.raises(AssertionError, match="registered twice"):
        run(new_fleet, variants.UNSETTLED, number=3, profile=profile)
