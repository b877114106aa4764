"""Who gets a message when a night goes wrong: the targets of ``notify``.

What does not belong here: what is sent, and sending it.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from registration_pipeline.settings.values import YamlModel

_SMTP_SCHEMES = ("smtp", "smtps")
_ADDRESS = re.compile(r"(?:(?![@<>,;\"'()\\])[!-~])+@(?:(?![@<>,;\"'()\\])[!-~])+")
"""Visible ASCII only, as most mail servers take no other; an address can't bring a header or a second one of its own."""


def _url(secret: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(secret.get_secret_value())
        is_right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right or re.search(r"\s", secret.get_secret_value()):
        raise ValueError("must be a URL that begins with https:// (or http://)")
    return secret


def _email(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise ValueError("must be one mail address of ASCII characters, e.g. ops@example.org")
    return address


def _smtp(server: str) -> str:
    try:
        parts = urlsplit(server)
        is_right = parts.scheme in _SMTP_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right or parts.path.strip("/") or parts.query or parts.fragment or re.search(r"\s", server):
        raise ValueError("must be a mail server: smtp://host:587, or smtps://host:465")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a login; set SMTP_USERNAME and SMTP_PASSWORD in the environment")
    return server


class NotifyTarget(YamlModel):
    """One target of messages: exactly one of ``slack``, ``webhook`` and ``email``.

    Args:
        slack: an incoming webhook of Slack; its address is a secret.
        webhook: takes a POST of JSON; its address may be a secret.
        email: a mail address; with ``smtp``.
        smtp: the mail server: ``smtp://host:port`` (STARTTLS where the server offers it) or ``smtps://host:port``. Its login
            is in ``SMTP_USERNAME`` and ``SMTP_PASSWORD``.
    """

    slack: Annotated[SecretStr, AfterValidator(_url)] | None = None
    webhook: Annotated[SecretStr, AfterValidator(_url)] | None = None
    email: Annotated[str, Field(max_length=254), AfterValidator(_email)] | None = None
    smtp: Annotated[str, AfterValidator(_smtp)] | None = None

    @model_validator(mode="after")
    def _is_one_target(self) -> NotifyTarget:
        given = [name for name in ("slack", "webhook", "email") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("must have exactly one of slack, webhook and email")
        if self.email is not None and self.smtp is None:
            raise ValueError("email needs smtp, the mail server: smtp://host:587")
        if self.smtp is not None and self.email is None:
            raise ValueError("smtp belongs to email")
        return self
