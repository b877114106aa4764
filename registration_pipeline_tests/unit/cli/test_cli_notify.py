"""``notify``: who gets messages, and a test message to each channel at real servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from registration_pipeline_tests.message_servers import Reply, mail_server, message_server

if TYPE_CHECKING:
    import pytest

    from registration_pipeline_tests.unit.cli.conftest import Workplace

SECRET = "T0AAAAAAA/B0BBBBBBB/c3VwZXItc2VjcmV0"


def notifying(workplace: Workplace, *targets: dict[str, str]) -> None:
    settings = yaml.safe_load(workplace.config.read_text())
    workplace.config.write_text(yaml.safe_dump({**settings, "notify": list(targets)}))


def test_a_test_message_reaches_every_channel_and_says_what_it_is(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with message_server() as slack, message_server() as webhook, mail_server() as mail:
        monkeypatch.setenv("SLACK_WEBHOOK", f"{slack.url}/services/{SECRET}")
        notifying(
            workplace,
            {"slack": "${SLACK_WEBHOOK}"},
            {"webhook": f"{webhook.url}/hook"},
            {"email": "ops@example.org", "smtp": mail.url},
        )
        said = workplace.run("notify", "--test")

    assert said.status == 0
    assert "no link to the run" in said.err
    monkeypatch.setenv("DAGSTER_UI_URL", "https://dagster.example.org")
    assert workplace.run("notify").err == ""
    assert said.out.count("test message sent") == 3
    assert webhook.kinds == ["test"]
    assert slack.documents[0]["text"] == "registration-pipeline: a test message for fleet-cameras"
    assert mail.mails[0]["Subject"] == "registration-pipeline: a test message for fleet-cameras"
    assert workplace.find(SECRET, apart_from=workplace.root / "encord") == []


def test_a_channel_that_fails_is_named_without_its_secret_and_gives_status_4(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with message_server() as slack:
        slack.answer(Reply(status=404, body=SECRET.encode()))
        monkeypatch.setenv("SLACK_WEBHOOK", f"{slack.url}/services/{SECRET}")
        notifying(workplace, {"slack": "${SLACK_WEBHOOK}"})
        said, as_json = workplace.run("notify", "--test"), workplace.run("notify", "--test", "--json")

    assert said.status == as_json.status == 4
    assert "slack 127.0.0.1" in said.err
    assert "status 404" in said.err
    (channel,) = as_json.document["channels"]
    assert (channel["sent"], channel["error"]) == (False, "it answered with status 404")
    assert SECRET not in said.out + said.err + as_json.out + as_json.err


def test_without_a_test_channels_are_shown_and_nothing_is_sent(workplace: Workplace) -> None:
    with message_server() as webhook:
        notifying(workplace, {"webhook": f"{webhook.url}/{SECRET}"})
        said, checked = workplace.run("notify"), workplace.run("check", "--json")

    assert said.status == 0
    assert said.out.startswith("webhook 127.0.0.1")
    (messages,) = [one for one in checked.document["checks"] if one["what"] == "messages"]
    assert messages["detail"].startswith("webhook 127.0.0.1")
    assert "notify --test" in messages["detail"]
    assert SECRET not in said.out + checked.out
    assert webhook.received == []


def test_without_targets_a_test_is_refused_with_the_line_to_write(workplace: Workplace) -> None:
    said, shown = workplace.run("notify", "--test"), workplace.run("notify")

    assert (said.status, shown.status) == (2, 0)
    assert '{slack: "${SLACK_WEBHOOK}"}' in said.err
