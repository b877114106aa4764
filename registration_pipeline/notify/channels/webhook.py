"""A webhook: a POST of the message's JSON document, and any status of success as the answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requests

from registration_pipeline.notify.channels.channel import ChannelError, host_of, quiet_libraries, require_success

if TYPE_CHECKING:
    from registration_pipeline.notify.message import Message

USER_AGENT = "registration-pipeline"


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """A webhook.

    Args:
        url: its address, a secret.
    """

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """Its kind and host."""
        return f"webhook {host_of(self.url)}"

    def send(self, message: Message, seconds: float) -> None:
        """See ``Channel``."""
        body = json.dumps(message.document, ensure_ascii=False).encode("utf-8", "backslashreplace")
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": USER_AGENT}
        try:
            with (
                quiet_libraries(),
                # The reply's body is not read: its status says it all.
                requests.post(
                    self.url, data=body, headers=headers, timeout=seconds, allow_redirects=False, stream=True
                ) as reply,
            ):
                status, location = reply.status_code, reply.headers.get("Location")
        except requests.RequestException as error:
            # From None: the texts of these errors hold the address.
            raise ChannelError(_why(error), is_transient=not isinstance(error, requests.exceptions.SSLError)) from None
        require_success(status, location)


def _why(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "its TLS certificate is not accepted"
    if isinstance(error, requests.exceptions.Timeout):
        return "it did not answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy did not pass the request on"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "the connection failed (host not found, refused or broken off)"
    return f"the request failed ({type(error).__name__})"
