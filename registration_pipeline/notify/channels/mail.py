"""E-mail by SMTP: plain text, one recipient, TLS wherever a login goes over the line.

What does not belong here: what is said, and where the login is read from.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from registration_pipeline.notify.channels.channel import ChannelError

if TYPE_CHECKING:
    from registration_pipeline.notify.message import Message

_PORTS: Final = {"smtp": 587, "smtps": 465}
_SUBJECT: Final = 200
_SENDER: Final = "registration-pipeline"
_PERMANENT: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class MailChannel:
    """A mail address.

    Args:
        address: the recipient.
        server: ``smtp://host:port`` or ``smtps://host:port``.
        username: of the login; None: none is needed.
        password: of the login.
        sender: the address that messages come from; None: the username if it is one, else one of the recipient's domain.
    """

    address: str
    server: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sender: str | None = None

    @property
    def name(self) -> str:
        """Its kind, recipient and server."""
        return f"email {self.address} by {urlsplit(self.server).hostname}"

    def send(self, message: Message, seconds: float) -> None:
        """See ``Channel``."""
        try:
            with self._connected(seconds) as smtp:
                if self.username:
                    smtp.login(self.username, self.password or "")
                smtp.send_message(self._mail(message), self._sender, [self.address])
        except ChannelError:
            raise
        except smtplib.SMTPAuthenticationError as error:
            why = f"it refused the login of SMTP_USERNAME and SMTP_PASSWORD (status {error.smtp_code})"
            raise ChannelError(why, is_transient=False) from None
        except smtplib.SMTPRecipientsRefused as error:
            status = next(iter(error.recipients.values()))[0]
            raise ChannelError(
                f"it refused the recipient (status {status})", is_transient=status < _PERMANENT
            ) from None
        except smtplib.SMTPResponseException as error:
            is_transient = error.smtp_code < _PERMANENT
            raise ChannelError(f"it answered with status {error.smtp_code}", is_transient=is_transient) from None
        except smtplib.SMTPNotSupportedError:
            raise ChannelError("it does not support a login", is_transient=False) from None
        except ssl.SSLError as error:
            is_certificate = isinstance(error, ssl.SSLCertVerificationError)
            why = "its TLS certificate is not accepted" if is_certificate else "TLS could not be agreed on"
            raise ChannelError(why, is_transient=False) from None
        except TimeoutError:
            raise ChannelError("it did not answer in time", is_transient=True) from None
        except (OSError, smtplib.SMTPException) as error:
            why = f"the connection failed ({type(error).__name__})"
            raise ChannelError(why, is_transient=True) from None

    def _connected(self, seconds: float) -> smtplib.SMTP:
        parts = urlsplit(self.server)
        host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
        context = ssl.create_default_context()
        if parts.scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, _own_name(), timeout=seconds, context=context)
        smtp = smtplib.SMTP(host, port, _own_name(), timeout=seconds)
        try:
            smtp.ehlo_or_helo_if_needed()
            if smtp.has_extn("starttls"):
                smtp.starttls(context=context)
            else:
                self._require_no_login()
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _require_no_login(self) -> None:
        if self.username:
            raise ChannelError(
                "it offers no STARTTLS, and a login is not sent in the clear; use smtps://, or unset SMTP_USERNAME",
                is_transient=False,
            )

    @property
    def _sender(self) -> str:
        if self.sender:
            return self.sender
        return self.username if self.username and "@" in self.username else f"{_SENDER}@{self._domain}"

    @property
    def _domain(self) -> str:
        return self.address.rpartition("@")[2]

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)
        # A subject has no line end: that would begin a header of the writer's choice.
        mail["Subject"] = " ".join(message.subject.split())[:_SUBJECT]
        mail["From"] = Address("registration-pipeline", addr_spec=self._sender)
        mail["To"] = Address(addr_spec=self.address)
        mail["Date"] = formatdate(localtime=True)
        mail["Message-ID"] = make_msgid(domain=self._domain)
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Registration-Alert"] = str(message.document["id"])
        mail.set_content(message.as_text(), cte="quoted-printable")
        if message.page is not None:
            name = f"{message.document['source']}-report.html"
            mail.add_attachment(message.page, maintype="text", subtype="html", filename=name)
        return mail


def _own_name() -> str:
    """Return the name of this machine for a mail server. By default the name service is asked, which may take very long."""
    name = socket.gethostname()
    return name if "." in name else "[127.0.0.1]"
