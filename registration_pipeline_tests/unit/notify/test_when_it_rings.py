"""Which nights lead to a message, beside a model of them; each message arrives at a real webhook."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registration_pipeline.notify import IncidentKind
from registration_pipeline_tests.doses import examples
from registration_pipeline_tests.unit.notify.conftest import SOURCE, Story, failed, rejected

if TYPE_CHECKING:
    from random import Random

    from registration_pipeline.tracking.failures.files import FailureRow
    from registration_pipeline_tests.message_servers import MessageServer


def test_a_quiet_night_sends_nothing(story: Story, webhook: MessageServer) -> None:
    assert not story.night()
    assert not story.night()
    assert webhook.received == []
    assert list(story.store.names(f"{SOURCE}/")) == [f"{SOURCE}/state.json"]


def test_a_thousand_unchanged_rejects_ring_once_and_only_what_is_new_rings_again(
    story: Story, webhook: MessageServer
) -> None:
    known = [rejected(f"raw/{number:04d}.dat", reason="unsupported_type") for number in range(1_000)]

    assert story.night(*known)
    assert not story.night(*known)
    assert not story.night(*reversed(known))
    assert story.night(*known, failed("raw/new.jpg"))

    first, second = webhook.documents
    assert (first["new_objects"], second["new_objects"]) == (1_000, 1)
    assert [one["key"] for one in first["first_objects"]] == ["raw/0000.dat", "raw/0001.dat", "raw/0002.dat"]
    assert [one["key"] for one in second["first_objects"]] == ["raw/new.jpg"]
    assert [one["reason"] for one in second["reasons"]] == ["unreadable"]


def test_another_message_or_attempt_of_the_same_failure_is_not_new_but_another_reason_is(
    story: Story, webhook: MessageServer
) -> None:
    assert story.night(failed("a.jpg", message="403 at 02:14, request 1"))
    assert not story.night(failed("a.jpg", message="403 at 02:15, request 2"))
    assert story.night(failed("a.jpg", reason="invalid_file", message="can't decode"))

    assert [document["reasons"][0]["reason"] for document in webhook.documents] == ["unreadable", "invalid_file"]


def test_failures_that_are_over_lead_to_one_message_that_all_is_well(story: Story, webhook: MessageServer) -> None:
    story.night(failed("a.jpg"))
    story.night()
    story.night()

    assert webhook.kinds == ["failed", "recovered"]


def test_fewer_failures_are_neither_news_nor_well_again(story: Story, webhook: MessageServer) -> None:
    story.night(failed("a.jpg"), failed("b.jpg"))

    assert not story.night(failed("b.jpg"))
    assert webhook.kinds == ["failed"]


@pytest.mark.parametrize("kind", [IncidentKind.HALTED, IncidentKind.KILLED, IncidentKind.MISSED, IncidentKind.STALE])
def test_the_same_trouble_rings_once_until_a_run_comes_to_its_end(
    story: Story, webhook: MessageServer, kind: IncidentKind
) -> None:
    assert story.happens(kind, error="Encord refused the key (request 8f1d2c3e-0000-4000-8000-000000000001, try 3)")
    assert not story.happens(kind, error="Encord refused the key (request 11111111-0000-4000-8000-000000000001, try 6)")
    assert story.night()
    assert story.happens(kind, error="Encord refused the key (request 8f1d2c3e-0000-4000-8000-000000000001, try 3)")

    assert webhook.kinds == [kind.value, "recovered", kind.value]


def test_another_error_rings_although_the_first_is_open(story: Story, webhook: MessageServer) -> None:
    story.happens(IncidentKind.HALTED, error="Encord refused the key.")
    story.happens(IncidentKind.HALTED, error="The bucket does not exist.")
    story.night()

    assert webhook.kinds == ["halted", "halted", "recovered"]


def test_a_run_that_ends_a_trouble_with_new_failures_says_both_in_one_message(
    story: Story, webhook: MessageServer
) -> None:
    story.happens(IncidentKind.HALTED, error="The network is down.")
    story.night(failed("a.jpg"))
    story.night(failed("a.jpg"))

    assert webhook.kinds == ["halted", "failed"]
    assert webhook.documents[1]["ended"] == ["halted"]


def test_a_halt_between_known_failures_is_over_without_repeating_them(story: Story, webhook: MessageServer) -> None:
    story.night(failed("a.jpg"))
    story.happens(IncidentKind.HALTED, error="The network is down.")
    story.night(failed("a.jpg"))
    story.night(failed("a.jpg"))
    story.night()

    assert webhook.kinds == ["failed", "halted", "recovered", "recovered"]
    assert webhook.documents[2]["summary"].endswith("no new failures")


@pytest.mark.parametrize("kind", [IncidentKind.MISSED, IncidentKind.STALE])
def test_a_run_that_only_submits_does_not_end_what_is_about_the_listing(
    story: Story, webhook: MessageServer, kind: IncidentKind
) -> None:
    story.happens(kind, run_id=None)

    assert not story.night(has_listed=False)
    assert story.night(has_listed=True)
    assert webhook.kinds == [kind.value, "recovered"]


def test_a_run_is_reported_once_whoever_sees_it(story: Story, webhook: MessageServer) -> None:
    assert story.night(failed("a.jpg"), run_id="r")
    assert not story.happens(IncidentKind.HALTED, run_id="r", error="the step failed")
    assert story.happens(IncidentKind.KILLED, run_id="k", error="its process 7 is gone")
    assert not story.happens(IncidentKind.KILLED, run_id="k", error="its process 7 is gone")

    assert webhook.kinds == ["failed", "killed"]


def test_what_happened_before_the_last_run_ended_is_not_news(story: Story, webhook: MessageServer) -> None:
    story.happens(IncidentKind.HALTED, error="The network is down.")
    story.night()

    assert not story.happens(IncidentKind.KILLED, at=story.now - timedelta(minutes=1), error="its process 7 is gone")
    assert webhook.kinds == ["halted", "recovered"]


def test_accepted_reasons_of_rejection_do_not_ring_and_failures_of_encord_always_do(webhook: MessageServer) -> None:
    story = Story([{"webhook": webhook.url}], accepted=["empty"])

    assert not story.night(rejected("a.jpg", reason="empty"))
    assert story.night(rejected("a.jpg", reason="empty"), rejected("b.xyz", reason="unsupported_type"))
    assert story.night(rejected("a.jpg", reason="empty"))

    assert webhook.kinds == ["failed", "recovered"]
    assert webhook.documents[0]["new_objects"] == 1


def test_without_targets_nothing_is_recorded_so_the_first_night_with_one_says_all(webhook: MessageServer) -> None:
    story = Story([])
    assert not story.night(failed("a.jpg"))

    story.targets = [{"webhook": webhook.url}]

    assert story.night(failed("a.jpg"))


@dataclass
class Model:
    """What one would say by hand: the failures of the last message about them, the open troubles."""

    known: frozenset[tuple[str, str]] = frozenset()
    has_known: bool = False
    troubles: set[tuple[str, str]] = field(default_factory=set)

    def night(self, failures: frozenset[tuple[str, str]], *, has_listed: bool) -> str | None:
        ended = {one for one in self.troubles if has_listed or one[0] not in {"missed", "stale"}}
        self.troubles -= ended
        if failures - self.known:
            self.known, self.has_known = failures, True
            return "failed"
        if self.has_known and not failures:
            self.known, self.has_known = frozenset(), False
            return "recovered"
        return "recovered" if ended else None

    def trouble(self, kind: str, error: str) -> str | None:
        if (kind, error) in self.troubles:
            return None
        self.troubles.add((kind, error))
        return kind


FAILURES = st.frozensets(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["unreadable", "invalid_file"])), max_size=5
)
NIGHTS = st.lists(
    st.one_of(
        st.tuples(st.just("ended"), FAILURES, st.booleans()),
        st.tuples(st.sampled_from(["halted", "killed", "missed", "stale"]), st.sampled_from(["one", "two"])),
    ),
    max_size=12,
)


@settings(
    max_examples=examples(12, thorough=400), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(nights=NIGHTS, order=st.randoms(use_true_random=False))
def test_any_nights_lead_to_the_messages_of_the_model(webhook: MessageServer, nights: list[Any], order: Random) -> None:
    webhook.forget()
    story, model, expected = Story([{"webhook": webhook.url}]), Model(), list[str | None]()

    for what, *rest in nights:
        if what == "ended":
            failures, has_listed = rest
            rows: list[FailureRow] = [failed(key, reason=reason) for key, reason in failures]
            order.shuffle(rows)
            expected.append(model.night(failures, has_listed=has_listed))
            story.night(*rows, has_listed=has_listed)
        else:
            expected.append(model.trouble(what, rest[0]))
            story.happens(IncidentKind(what), error=rest[0])

    assert webhook.kinds == [kind for kind in expected if kind is not None]
    assert story.warnings == []
