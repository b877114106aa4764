"""Whatever happens in whatever order: every object registered once, and each in exactly one place. Model-checked."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from registration_pipeline_tests.submission_model import variants
from registration_pipeline_tests.submission_model.machine import RegistrationMachine

if TYPE_CHECKING:
    from collections.abc import Callable

PROFILE = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), stateful_step_count=12)


def run(fleet_type: Any, variant: variants.Variant, *, number: int, profile: settings) -> Counter[str]:
    """Run the machine with this seed, and return in how many examples each thing happened."""
    reached = Counter[str]()
    members = {"fleet_type": fleet_type, "variant": variant, "reached": reached}
    machine = type("RegistrationMachine", (RegistrationMachine,), members)
    run_state_machine_as_test(seed(number)(machine), settings=profile)
    return reached


BROKEN = [
    pytest.param(variants.UNSETTLED, id="sent again without settling"),
    pytest.param(variants.LATE_INTENTS, id="the intent is written after the start"),
    pytest.param(variants.TRUSTING, id="a job that has ended is taken for success"),
    pytest.param(variants.DOUBLING, id="what is there is not skipped"),
]
SEEDS = range(1, 9)


def test_whatever_happens_every_object_is_registered_once(new_fleet: Any):
    run(new_fleet, variants.GOOD, number=1, profile=settings(PROFILE, max_examples=8))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whatever_happens_every_object_is_registered_once_at_length(new_fleet: Any, tell: Callable[[str], None]):
    reached = run(new_fleet, variants.GOOD, number=2, profile=settings(PROFILE, max_examples=150))

    tell(f"150 examples reached: {', '.join(f'{name} {count}' for name, count in sorted(reached.items()))}")
    assert len(reached) >= 20


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("variant", BROKEN)
def test_a_broken_variant_is_caught_by_the_same_machine(new_fleet: Any, variant: variants.Variant):
    profile = settings(PROFILE, max_examples=150, phases=[Phase.generate])

    def run_until_caught() -> None:
        for number in SEEDS:
            run(new_fleet, variant, number=number, profile=profile)

    with pytest.raises(AssertionError):
        run_until_caught()
