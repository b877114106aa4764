"""A channel that was down gets what is still true, in its order, and never the beginning after the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registration_pipeline.notify import IncidentKind
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.message_servers import Reply
from registration_pipeline_tests.unit.notify.conftest import Story, failed
from registration_pipeline_tests.unit.notify.test_delivery import again
from registration_pipeline_tests.unit.notify.test_when_it_rings import FAILURES, Model

if TYPE_CHECKING:
    from registration_pipeline_tests.message_servers import MessageServer


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_end_that_arrived_keeps_its_beginning_from_arriving(
    story: Story, webhook: MessageServer, status: int
) -> None:
    webhook.answer(Reply(status=status))
    story.night(failed("a.jpg"))
    webhook.forget()
    story.night(minutes=1)

    for _ in range(30):
        again(story, 60)

    assert webhook.kinds == ["recovered"]


def test_what_is_still_open_arrives_behind_what_is_newer(story: Story, webhook: MessageServer) -> None:
    webhook.answer(Reply(status=404))
    story.night(failed("a.jpg"))
    webhook.forget()
    story.happens(IncidentKind.HALTED, minutes=1, error="The network is down.")

    again(story, 60)

    assert webhook.kinds == ["halted", "failed"]


def test_that_all_is_well_does_not_arrive_after_a_new_failure(story: Story, webhook: MessageServer) -> None:
    story.night(failed("a.jpg"))
    webhook.answer(Reply(status=404))
    story.night()
    webhook.forget()
    story.night(failed("b.jpg"), minutes=1)

    again(story, 60)

    assert webhook.kinds == ["failed"]


def test_a_trouble_that_was_over_in_between_does_not_arrive_after_the_same_one(
    story: Story, webhook: MessageServer
) -> None:
    webhook.answer(Reply(status=404))
    story.happens(IncidentKind.HALTED, error="The network is down.")
    story.night(minutes=1)
    webhook.forget()
    story.happens(IncidentKind.HALTED, minutes=1, error="The network is down.")

    for _ in range(4):
        again(story, 60)

    assert [document["id"][-1] for document in webhook.documents] == ["3"]


@dataclass
class Channel:
    """A channel that is down at times, beside a model of what is open after each message."""

    story: Story
    webhook: MessageServer
    model: Model = field(default_factory=Model)
    is_up: bool = True
    kinds: list[tuple[str, str]] = field(default_factory=list)
    open_after: list[tuple[bool, frozenset[tuple[str, str]]]] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)

    def step(self, what: str, *rest: Any) -> None:
        self.webhook.received.clear()
        self.webhook.answer(Reply() if self.is_up else Reply(status=404))
        if what == "switch":
            self.is_up = not self.is_up
        elif what == "later":
            again(self.story, rest[0])
        elif what == "ended":
            kind = self.model.night(rest[0], has_listed=True)
            self._said(kind, "")
            self.story.night(*(failed(key, reason=reason) for key, reason in rest[0]), minutes=1)
        else:
            self._said(self.model.trouble(what, rest[0]), rest[0])
            self.story.happens(IncidentKind(what), error=rest[0], minutes=1)
        if self.is_up:
            self.arrived += [int(document["id"][-8:]) for document in self.webhook.documents]

    def _said(self, kind: str | None, error: str) -> None:
        if kind is not None:
            self.kinds.append((kind, error))
            self.open_after.append((self.model.has_known, frozenset(self.model.troubles)))

    def is_over(self, number: int, by: int) -> bool:
        """Return whether a message is over with one of those after it."""
        between, (kind, error) = self.open_after[number:by], self.kinds[number - 1]
        if kind == "recovered":
            return True
        if kind == "failed":
            return not all(has_known for has_known, _ in between)
        return not all((kind, error) in troubles for _, troubles in between)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("switch")),
        st.tuples(st.just("later"), st.sampled_from([1, 6, 60])),
        st.tuples(st.just("ended"), st.one_of(st.just(frozenset()), FAILURES)),
        st.tuples(st.sampled_from(["halted", "missed"]), st.just("one")),
    ),
    max_size=14,
)


@settings(
    max_examples=examples(15, thorough=400), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_whatever_happens_nothing_arrives_after_what_ended_it(webhook: MessageServer, steps: list[Any]) -> None:
    webhook.forget()
    channel = Channel(Story([{"webhook": webhook.url}]), webhook)

    for what, *rest in steps:
        channel.step(what, *rest)

    arrived = channel.arrived
    assert len(set(arrived)) == len(arrived)
    late = [(one, before) for place, one in enumerate(arrived) for before in arrived[:place] if before > one]
    assert not [(one, before) for one, before in late if channel.is_over(one, before)]


@settings(
    max_examples=examples(10, thorough=300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_what_is_open_in_the_end_arrives_once_the_channel_works(webhook: MessageServer, steps: list[Any]) -> None:
    webhook.forget()
    channel = Channel(Story([{"webhook": webhook.url}]), webhook)
    for what, *rest in steps[:5]:
        channel.step(what, *rest)
    channel.is_up = True

    for _ in range(8):
        channel.step("later", 60)

    last = len(channel.kinds)
    still_open = {one for one in range(1, last + 1) if one == last or not channel.is_over(one, last)}
    assert still_open <= set(channel.arrived)
