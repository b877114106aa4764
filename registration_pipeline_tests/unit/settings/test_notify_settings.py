"""The settings of nights that go wrong: targets of messages, time zone, freshness, accepted reasons, metrics."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.objects import RejectionReason
from registration_pipeline.planning.decision import Decider
from registration_pipeline.settings import load_settings
from registration_pipeline.settings.models import spread_schedule
from registration_pipeline.tracking.archive import archived_chunks

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.settings import Settings

SECRET = "tell-nobody-4711"
SOURCE = "sources:\n  fleet:\n    uri: file:///data/\n"


def load(tmp_path: Path, top: str = "", source: str = "", environ: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "registration.yaml"
    file.write_text(top + SOURCE + source)
    return load_settings(file, environ or {})


def test_targets_keep_their_order_and_hide_their_addresses(tmp_path: Path) -> None:
    top = (
        'notify:\n  - {slack: "${HOOK}"}\n  - {webhook: "http://127.0.0.1:9/x"}\n'
        "  - {email: ops@example.org, smtp: 'smtp://mail.example.org:587'}\n"
    )
    settings = load(tmp_path, top, environ={"HOOK": f"https://hooks.slack.com/services/{SECRET}"})
    slack, webhook, email = settings.notify
    assert slack.slack is not None
    assert slack.slack.get_secret_value() == f"https://hooks.slack.com/services/{SECRET}"
    assert webhook.webhook is not None
    assert (email.email, email.smtp) == ("ops@example.org", "smtp://mail.example.org:587")
    assert SECRET not in repr(settings)
    assert SECRET not in settings.model_dump_json()


def test_without_a_schedule_the_minute_follows_from_the_name(tmp_path: Path) -> None:
    assert load(tmp_path).sources["fleet"].schedule == spread_schedule("fleet")
    minutes = {int(spread_schedule(f"camera-{number}").split()[0]) for number in range(40)}
    assert len(minutes) > 20
    assert minutes <= set(range(60))


def test_a_night_has_defaults_and_can_be_set(tmp_path: Path) -> None:
    plain = load(tmp_path).sources["fleet"]
    assert (plain.timezone, plain.freshness_hours, plain.accept_rejected, plain.keep_partitions_days) == (
        "UTC",
        36,
        (),
        None,
    )
    keys = (
        "    timezone: Europe/Berlin\n    freshness_hours: null\n"
        "    accept_rejected: [empty, directory_marker]\n    keep_partitions_days: 90\n"
    )
    chosen = load(tmp_path, source=keys).sources["fleet"]
    assert (chosen.timezone, chosen.freshness_hours, chosen.keep_partitions_days) == ("Europe/Berlin", None, 90)
    assert chosen.accept_rejected == (RejectionReason.EMPTY, RejectionReason.DIRECTORY_MARKER)


def test_the_metrics_file_is_beside_the_configuration(tmp_path: Path) -> None:
    assert load(tmp_path).metrics is None
    assert load(tmp_path, "metrics: out/registration.prom\n").metrics == tmp_path / "out" / "registration.prom"


@pytest.mark.parametrize(
    ("top", "source", "key", "says"),
    [
        pytest.param("notify: x\n", "", "notify", "list of targets", id="notify is text"),
        pytest.param("notify: [x]\n", "", "notify[0]", "must be a mapping", id="a target is text"),
        pytest.param(
            "notify: [{}]\n", "", "notify[0]", "exactly one of slack, webhook and email", id="a target of nothing"
        ),
        pytest.param(
            f"notify: [{{slack: 'https://a/{SECRET}', webhook: 'https://b/{SECRET}'}}]\n",
            "",
            "notify[0]",
            "exactly one",
            id="a target of two",
        ),
        pytest.param(f"notify: [{{slack: {SECRET}}}]\n", "", "notify[0].slack", "https://", id="no URL"),
        pytest.param("notify: [{webhook: 'ftp://a/b'}]\n", "", "notify[0].webhook", "https://", id="another scheme"),
        pytest.param("notify: [{email: ops@example.org}]\n", "", "notify[0]", "needs smtp", id="mail without a server"),
        pytest.param(
            "notify: [{email: 'ops@example.org\\nBcc: all@example.org', smtp: 'smtp://m:25'}]\n",
            "",
            "notify[0].email",
            "one mail address",
            id="two addresses",
        ),
        pytest.param(
            f"notify: [{{email: o@e.org, smtp: 'smtp://u:{SECRET}@m:25'}}]\n",
            "",
            "notify[0].smtp",
            "SMTP_PASSWORD",
            id="a password in the file",
        ),
        pytest.param(
            "notify: [{smpt: 'smtp://m:25'}]\n", "", "notify[0].smpt", "did you mean 'smtp'?", id="unknown key"
        ),
        *(
            pytest.param(
                f"notify: [{{email: {address}, smtp: 'smtp://m:25'}}]\n",
                "",
                "notify[0].email",
                "of ASCII characters",
                id=name,
            )
            for name, address in {
                "an umlaut": '"ü@example.org"',
                "an umlaut in the host": '"ops@exämple.org"',
                "a mark that turns the direction": '"ops\\u202Egro@example.org"',
                "a control character": '"ops\\x07@example.org"',
                "a delete character": '"ops\\x7F@example.org"',
            }.items()
        ),
        pytest.param('metrics: "a\\nb"\n', "", "metrics", "path of a file", id="metrics has a line end"),
        pytest.param(
            "metrics: .registration/m.prom\n", "", "metrics", "folder of the state", id="metrics in the state"
        ),
        pytest.param("metrics: 5\n", "", "metrics", "path of a file", id="metrics is a number"),
        pytest.param("", "    timezone: Europe/Berlln\n", "sources.fleet.timezone", "mean Europe/Berlin", id="zone"),
        pytest.param("", "    timezone: ../../etc\n", "sources.fleet.timezone", "time zone", id="zone is a path"),
        pytest.param("", "    freshness_hours: 0\n", "sources.fleet.freshness_hours", "1 or more", id="always stale"),
        pytest.param(
            "",
            "    accept_rejected: [emtpy]\n",
            "sources.fleet.accept_rejected[0]",
            "must be one of",
            id="unknown reason",
        ),
        pytest.param(
            "", "    keep_partitions_days: 0\n", "sources.fleet.keep_partitions_days", "1 or more", id="none kept"
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_key_and_without_secrets(
    tmp_path: Path, top: str, source: str, key: str, says: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path, top, source)
    assert f"{key}: " in str(raised.value)
    assert says in str(raised.value)
    assert SECRET not in str(raised.value)


TIMES = {
    "keep_partitions_days": 36_500,
    "freshness_hours": 8_784,
    "settle_seconds": 3_153_600_000,
    "min_age_seconds": 3_153_600_000,
    "job_timeout_seconds": 3_153_600_000,
    "storage.report_max_age_days": 400,
    "groups[0].complete_after_seconds": 3_153_600_000,
}


def of_source(key: str, value: int) -> str:
    """Return a setting of a source as YAML."""
    if key.startswith("groups"):
        return f"    groups: [{{match: '**', as: image_group, by: directory, complete_after_seconds: {value}}}]\n"
    outer, _, inner = key.rpartition(".")
    return f"    {outer}: {{{inner}: {value}}}\n" if outer else f"    {key}: {value}\n"


@pytest.mark.parametrize("key", TIMES)
def test_a_time_has_a_bound_up_to_which_dates_can_be_computed(tmp_path: Path, key: str) -> None:
    now = datetime(2026, 11, 27, tzinfo=UTC)
    source = load(tmp_path, source=of_source(key, TIMES[key])).sources["fleet"]
    archived_chunks({}, keep_days=source.keep_partitions_days, now=now)
    Decider(source, now)

    for value in (TIMES[key] + 1, 10**10, 10**30):
        with pytest.raises(ConfigurationError, match=key.rpartition(".")[2].partition("[")[0]):
            load(tmp_path, source=of_source(key, value))
