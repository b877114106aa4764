"""Sends a message to several channels at once, each a few times if need be, and never longer than a limit.

What does not belong here: the channels, and what is recorded of it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from registration_pipeline.bounds.calls import TooLongError, within
from registration_pipeline.notify.channels.channel import ChannelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from registration_pipeline.notify.channels.channel import Channel
    from registration_pipeline.notify.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a channel is tried.

    Args:
        attempts: in all.
        seconds: for one attempt, whatever the other side does.
        first_wait_seconds: before the second attempt; twice as long before each further one.
        sleep: waits.
    """

    attempts: int = 3
    seconds: float = 10.0
    first_wait_seconds: float = 1.0
    sleep: Callable[[float], None] = field(default=time.sleep)


PATIENT: Final = Patience()
"""At the end of a run: half a minute at most."""

BRIEF: Final = Patience(attempts=1)
"""In a sensor, whose evaluation Dagster ends after a minute, and which comes again."""


def send_to_all(channels: Mapping[str, Channel], message: Message, patience: Patience) -> dict[str, str | None]:
    """Send a message to all channels at the same time.

    Args:
        channels: by name.
        message: what to send.
        patience: how long each is tried.

    Returns:
        by name why it did not take the message, as a clause; None: it took it.
    """
    results: dict[str, str | None] = {}

    def send(name: str) -> None:
        results[name] = _send(channels[name], message, patience)

    threads = [threading.Thread(target=send, args=(name,), name=f"alert {name}", daemon=True) for name in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {name: results.get(name, "it failed without saying why") for name in channels}


def _send(channel: Channel, message: Message, patience: Patience) -> str | None:
    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, ChannelError) and error.is_transient),
        wait=wait_exponential(multiplier=patience.first_wait_seconds),
        stop=stop_after_attempt(patience.attempts),
        sleep=patience.sleep,
        reraise=True,
    )
    try:
        retrying(lambda: _once(channel, message, patience.seconds))
    except ChannelError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - one channel must not keep the others, or the run, from going on
        return f"sending failed ({type(error).__name__})"
    return None


def _once(channel: Channel, message: Message, seconds: float) -> None:
    try:
        within(seconds, lambda: channel.send(message, seconds))
    except TooLongError:
        raise ChannelError(f"it did not answer within {seconds:g} s", is_transient=True) from None
