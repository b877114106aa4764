"""From the targets of ``notify`` to channels. Only that belongs here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registration_pipeline.notify.channels.channel import Channel
    from registration_pipeline.settings import NotifyTarget

USERNAME: Final = "SMTP_USERNAME"
PASSWORD: Final = "SMTP_PASSWORD"  # noqa: S105 - the name of a variable
SENDER: Final = "SMTP_FROM"


def open_channels(targets: Sequence[NotifyTarget], environ: Mapping[str, str]) -> dict[str, Channel]:
    """Return the channels by their names; of two with one name the second has a number.

    Args:
        targets: of the configuration.
        environ: the environment, which has the login of the mail server.
    """
    seen: Counter[str] = Counter()
    channels: dict[str, Channel] = {}
    for target in targets:
        channel = _channel(target, environ)
        seen[channel.name] += 1
        number = seen[channel.name]
        channels[channel.name if number == 1 else f"{channel.name} ({number})"] = channel
    return channels


def _channel(target: NotifyTarget, environ: Mapping[str, str]) -> Channel:
    """Make one; a library loads only where a target needs it."""
    if target.slack is not None:
        from registration_pipeline.notify.channels.slack import SlackChannel

        return SlackChannel(target.slack.get_secret_value())
    if target.webhook is not None:
        from registration_pipeline.notify.channels.webhook import WebhookChannel

        return WebhookChannel(target.webhook.get_secret_value())
    from registration_pipeline.notify.channels.mail import MailChannel

    assert target.email is not None
    assert target.smtp is not None
    return MailChannel(
        address=target.email,
        server=target.smtp,
        username=environ.get(USERNAME) or None,
        password=environ.get(PASSWORD) or None,
        sender=environ.get(SENDER) or None,
    )
