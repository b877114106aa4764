"""What every channel is, and how it says that it could not send: in a text without any address beyond the host.

What does not belong here: the channels themselves. Addresses of webhooks are secrets.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registration_pipeline.notify.message import Message

_TRANSIENT: Final = {408, 425, 429}
_CHATTY: Final = ("urllib3.connectionpool", "slack_sdk.webhook.client")
"""Loggers that write the path of a URL, or all of it, at the level DEBUG."""


class ChannelError(Exception):
    """A channel did not take a message. The text is a clause without any address beyond the host.

    Args:
        why: for people.
        is_transient: whether the next try may pass.
    """

    def __init__(self, why: str, *, is_transient: bool) -> None:
        self.is_transient = is_transient
        super().__init__(why)


class Channel(Protocol):
    """One target of messages."""

    @property
    def name(self) -> str:
        """What it is called for people and in records: its kind and its host, or its mail address."""

    def send(self, message: Message, seconds: float) -> None:
        """Send a message.

        Args:
            message: what to send.
            seconds: for each step of the network.

        Raises:
            ChannelError: it was not taken.
        """


def host_of(url: str) -> str:
    """Return the host of a URL, with its port if it names one."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def require_success(status: int, location: str | None) -> None:
    """Check the status of an HTTP reply.

    Args:
        status: of the reply.
        location: where a redirection leads.

    Raises:
        ChannelError: it is not one of success.
    """
    if status // 100 == 2:  # noqa: PLR2004 - the class of success
        return
    if status // 100 == 3:  # noqa: PLR2004 - redirections
        where = f" to {host_of(location)}" if location and "://" in location else ""
        raise ChannelError(
            f"it answered with a redirection{where} (status {status}), which is not followed; set the address that it "
            "leads to",
            is_transient=False,
        )
    is_transient = status in _TRANSIENT or status // 100 == 5  # noqa: PLR2004 - trouble of the server
    raise ChannelError(f"it answered with status {status}", is_transient=is_transient)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep HTTP libraries from logging addresses of this thread's requests, at whatever level logs are configured."""
    thread = threading.get_ident()

    def drop(record: logging.LogRecord) -> bool:
        return record.thread != thread

    loggers = [logging.getLogger(name) for name in _CHATTY]
    for logger in loggers:
        logger.addFilter(drop)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(drop)
