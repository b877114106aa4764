"""A gateway in between forwards the start of an upload job and answers for itself: nothing is registered twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault, Form, When

if TYPE_CHECKING:
    from registration_pipeline_tests.integration.conftest import MakeSandboxFleet

pytestmark = pytest.mark.slow

FORWARDED = [
    pytest.param(status, form, id=f"{status} {form}")
    for status, form in (
        (400, Form.HTML),
        (400, Form.OWN),
        (401, Form.EMPTY),
        (401, Form.LOOK_ALIKE),
        (403, Form.OWN),
        (404, Form.HTML),
        (405, Form.HTML),
        (409, Form.LOOK_ALIKE),
        (413, Form.HTML),
        (413, Form.OWN),
        (422, Form.OWN),
        (429, Form.EMPTY),
        (429, Form.OWN),
        (402, Form.LOOK_ALIKE),
        (451, Form.HTML),
        (302, Form.HTML),
        (303, Form.EMPTY),
        (307, Form.EMPTY),
        (308, Form.HTML),
    )
]


@pytest.mark.parametrize(("status", "form"), FORWARDED)
def test_a_start_that_a_gateway_forwards_and_answers_for_itself_makes_one_job(
    sandbox_fleet: MakeSandboxFleet, status: int, form: Form
):
    fleet = sandbox_fleet(objects=4, images=4, job_seconds=0.6)
    answer = Fault(effect=Effect.STATUS, status=status, form=form, when=When.AFTER, endpoint=Endpoint.START_JOB)
    fleet.sandbox.script(answer)

    list(fleet.register(settle_seconds=1.2))

    fleet.assert_exactly_once()
    assert len(fleet.sandbox.jobs()) == 1
