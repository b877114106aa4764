"""What a person reads: what is over, an example of each reason, how many are not shown, and whole words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.notify import IncidentKind
from registration_pipeline.notify.message import message_of
from registration_pipeline.project.alerts import no_link_to_runs
from registration_pipeline_tests.unit.notify.conftest import Story, failed, rejected

if TYPE_CHECKING:
    from registration_pipeline_tests.message_servers import MessageServer


def lines_of(document: dict[str, Any], title: str) -> tuple[str, ...]:
    """Return the lines under a heading."""
    return next(section.lines for section in message_of(document).sections if section.title == title)


def test_a_recovery_says_what_is_over(story: Story, webhook: MessageServer) -> None:
    story.night(failed("a.jpg"), rejected("b.jpg"), rejected("c.jpg"))
    story.night(rejected("b.jpg"))
    story.night()

    recovered = webhook.documents[-1]
    assert recovered["summary"] == "fleet-cameras: all that should be registered is registered"
    assert recovered["over_objects"] == 3
    assert lines_of(recovered, "What happened")[1:] == (
        "The 3 objects reported before are registered, or gone from the bucket, excluded or accepted.",
        "1,000 objects in all: 1,000 registered, 0 failed.",
    )


def test_a_recovery_with_pending_objects_does_not_say_that_all_is_registered(
    story: Story, webhook: MessageServer
) -> None:
    story.night(failed("a.jpg"))
    story.night(counts=lambda: {"objects": 1_000, "registered": 993, "failed": 0, "pending": 7})

    assert webhook.documents[-1]["summary"] == "fleet-cameras: no failures are left, 7 objects pending"


def test_a_trouble_that_is_over_without_failures_says_nothing_of_objects(story: Story, webhook: MessageServer) -> None:
    story.happens(IncidentKind.HALTED, error="The network is down.")
    story.night()

    recovered = webhook.documents[-1]
    assert (recovered["summary"], recovered["over_objects"]) == ("fleet-cameras: well again", 0)


def test_each_reason_has_an_example_and_what_encord_refused_comes_first(story: Story, webhook: MessageServer) -> None:
    early = [rejected(f"a/{number}.dat", reason="unsupported_type") for number in range(3)]
    story.night(*early, failed("z.jpg"))

    (document,) = webhook.documents
    assert [one["key"] for one in document["first_objects"]] == ["z.jpg", "a/0.dat", "a/1.dat"]
    assert lines_of(document, "Some of the new objects")[-1] == "and 1 more"


def test_more_reasons_than_rows_have_an_example_each_up_to_six(story: Story, webhook: MessageServer) -> None:
    story.night(*(rejected(f"{number}.dat", reason=f"reason_{number}") for number in range(8)), failed("z.jpg"))

    keys = [one["key"] for one in webhook.documents[0]["first_objects"]]
    assert keys == ["z.jpg", "0.dat", "1.dat", "2.dat", "3.dat", "4.dat"]


def test_all_new_objects_are_shown_without_more(story: Story, webhook: MessageServer) -> None:
    story.night(failed("a.jpg"))

    assert lines_of(webhook.documents[0], "The new objects") == ("a.jpg (unreadable): 403 access denied",)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        pytest.param("word " * 40, "word " * 17 + "word…", id="at the end of a word"),
        pytest.param("x" * 200, "x" * 89 + "…", id="one long word"),
        pytest.param("The bucket is gone. Do this.", "The bucket is gone", id="a short sentence"),
    ],
)
def test_the_subject_of_a_halt_is_not_cut_within_a_word(
    story: Story, webhook: MessageServer, error: str, said: str
) -> None:
    story.happens(IncidentKind.HALTED, error=error)

    assert webhook.documents[0]["summary"] == f"fleet-cameras: the run halted: {said}"


@pytest.mark.parametrize(
    ("environ", "has_link"),
    [
        pytest.param({}, False, id="not set"),
        pytest.param({"DAGSTER_UI_URL": "dagster.example.org"}, False, id="not a URL"),
        pytest.param({"DAGSTER_UI_URL": "https://dagster.example.org/"}, True, id="set"),
    ],
)
def test_it_is_known_beforehand_whether_messages_link_to_their_run(environ: dict[str, str], *, has_link: bool) -> None:
    said = no_link_to_runs(environ)

    assert (said is None) == has_link
    assert has_link or "DAGSTER_UI_URL" in str(said)
