"""The validator agrees with the SDK and the sandbox, without HTTP; 10,000 manifests over HTTP are in the contract tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline_tests.random_manifests.agreement import judge
from registration_pipeline_tests.random_manifests.catalogue import CHEAP, mutated

if TYPE_CHECKING:
    from random import Random

    from registration_pipeline_tests.random_manifests.mutation import Mutation


@given(st.randoms(use_true_random=False), st.lists(st.sampled_from(CHEAP), max_size=3))
def test_the_validator_accepts_what_the_sandbox_accepts_but_for_rules_of_our_own(
    rng: Random, mutations: list[Mutation]
) -> None:
    assert judge(mutated(rng, mutations)).complaint is None
