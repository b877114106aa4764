"""Slack's incoming webhooks: a message as blocks, in which foreign texts are plain text and can neither mention nor link.

What does not belong here: what is said.
"""

from __future__ import annotations

import logging
import ssl
import urllib.error
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from slack_sdk.webhook import WebhookClient

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.notify.channels.channel import ChannelError, host_of, quiet_libraries, require_success

if TYPE_CHECKING:
    from registration_pipeline.notify.message import Link, Message, Section

_HEADER, _TEXT = 150, 3_000
"""The most characters that Slack takes in a header and in the text of a section."""

_TAKEN: Final = "ok"
_SILENT: Final = logging.Logger("registration_pipeline.slack", logging.CRITICAL + 1)  # noqa: LOG001 - see below
"""Of no logger's family: the client logs the address at DEBUG, and errors that hold it."""


@dataclass(frozen=True, slots=True)
class SlackChannel:
    """An incoming webhook.

    Args:
        url: its address, a secret.
    """

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """Its kind and host."""
        return f"slack {host_of(self.url)}"

    def send(self, message: Message, seconds: float) -> None:
        """See ``Channel``."""
        client = WebhookClient(self.url, timeout=max(1, int(seconds)), logger=_SILENT, retry_handlers=[])
        try:
            with quiet_libraries():
                reply = client.send(text=_escaped(message.subject), blocks=blocks_of(message))
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold the address
            raise ChannelError(_why(error), is_transient=not _is_certificate(error)) from None
        require_success(reply.status_code, reply.headers.get("Location"))
        if reply.body.strip() != _TAKEN:
            # A redirection that was followed ends in some page: that is not Slack.
            raise ChannelError(
                "it did not answer `ok` as Slack does; for another service use `webhook`", is_transient=False
            )


def blocks_of(message: Message) -> list[dict[str, Any]]:
    """Return the message in Slack's Block Kit."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(shortened(message.subject, _HEADER))},
        *map(_section, message.sections),
    ]
    if message.links:
        text = "\n".join(map(_link, message.links))
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": shortened(text, _TEXT), "verbatim": True}})
    return blocks


def _section(section: Section) -> dict[str, Any]:
    lines = [section.title, *(f"• {line}" for line in section.lines)]
    return {"type": "section", "text": _plain(shortened("\n".join(lines), _TEXT))}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _link(link: Link) -> str:
    if link.is_url:
        return f"<{_escaped(link.target).replace('|', '%7C')}|{_escaped(link.label)}>"
    return f"{_escaped(link.label)}: {_escaped(link.target)}"


def _escaped(text: str) -> str:
    """Escape the three characters that Slack's own markup is made of."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _is_certificate(error: Exception) -> bool:
    return isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError)


def _why(error: Exception) -> str:
    if _is_certificate(error):
        return "its TLS certificate is not accepted"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return "it did not answer in time"
    if isinstance(reason, OSError):
        return "the connection failed (host not found, refused or broken off)"
    return f"the request failed ({type(error).__name__})"
