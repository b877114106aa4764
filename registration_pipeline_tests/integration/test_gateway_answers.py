"""A gateway in between forwards the start of an upload job and answers for itself: nothing is registered twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault, Form, When
from registration_pipeline_tests.doses import IS_SOAK

if TYPE_CHECKING:
    from registration_pipeline_tests.integration.conftest import MakeSandboxFleet

pytestmark = pytest.mark.slow

FORWARDED = [
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
]
TOGETHER = [[answer] for answer in FORWARDED] if IS_SOAK else [FORWARDED[::2], FORWARDED[1::2]]
"""Each answer meets a start of its own; in soak it is the only one of a source, too."""


@pytest.mark.soak
@pytest.mark.parametrize("answers", TOGETHER, ids=lambda answers: ", ".join(f"{one[0]} {one[1]}" for one in answers))
def test_a_start_that_a_gateway_forwards_and_answers_for_itself_makes_one_job(
    sandbox_fleet: MakeSandboxFleet, answers: list[tuple[int, Form]]
):
    fleet = sandbox_fleet(objects=4 * len(answers), images=4, job_seconds=0.6)
    faults = [
        Fault(effect=Effect.STATUS, status=status, form=form, when=When.AFTER, endpoint=Endpoint.START_JOB)
        for status, form in answers
    ]
    fleet.sandbox.script(*faults)

    list(fleet.register(settle_seconds=1.2))

    fleet.assert_exactly_once()
    assert len(fleet.sandbox.jobs()) == len(answers)
    assert sum(fleet.sandbox.fault_counts().values()) == len(answers)


def test_a_live_job_that_is_unknown_for_a_while_is_not_sent_again(sandbox_fleet: MakeSandboxFleet):
    """Nothing of it shows in the folder for longer than the quiet lasts: only its id says that it lives."""
    fleet = sandbox_fleet(objects=4, images=4, job_seconds=8.0)
    fleet.sandbox.script(Fault(effect=Effect.STATUS, status=404, endpoint=Endpoint.POLL_JOB, times=4))

    list(fleet.register())

    fleet.assert_exactly_once()
    assert len(fleet.sandbox.jobs()) == 1


@pytest.mark.parametrize("form", Form)
def test_a_new_folder_that_a_gateway_answers_for_itself_is_found_and_not_made_twice(
    sandbox_fleet: MakeSandboxFleet, form: Form
):
    fleet = sandbox_fleet(objects=1, images=1)
    answer = Fault(effect=Effect.STATUS, status=403, form=form, when=When.AFTER, endpoint=Endpoint.CREATE_FOLDER)
    fleet.sandbox.script(answer)

    list(fleet.register())

    fleet.assert_exactly_once()
    list(fleet.register())  # two folders of one name would be refused now
