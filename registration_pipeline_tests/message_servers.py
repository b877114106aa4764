"""Servers on loopback that take messages: HTTP for webhooks and Slack, and a mail server that others wrote.

What belongs here: what the tests of messages share, at whatever level. They record what came, and answer as they are told to.
"""

from __future__ import annotations

import email
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from email.message import EmailMessage

    from aiosmtpd.smtp import SMTP, Envelope, LoginPassword, Session


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answers.

    Args:
        seconds: before it answers.
        drips: bytes of the body that come one a second, after the headers.
    """

    status: int = 200
    body: bytes = b"ok"
    location: str | None = None
    seconds: float = 0.0
    drips: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The body as JSON."""
        value: dict[str, Any] = json.loads(self.body)
        return value


@dataclass
class MessageServer:
    """An HTTP server that takes POSTs; the replies are given in turn, the last one again and again."""

    url: str
    received: list[Received] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=lambda: [Reply()])

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The bodies, as JSON."""
        return [one.document for one in self.received]

    @property
    def kinds(self) -> list[str]:
        """The kinds of the messages to webhooks, in their order."""
        return [document["kind"] for document in self.documents]

    def answer(self, *replies: Reply) -> None:
        """Answer so from now on."""
        self.replies[:] = replies

    def next_reply(self) -> Reply:
        """Return what is answered now."""
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def forget(self) -> None:
        """Begin again."""
        self.received.clear()
        self.answer(Reply())


@contextmanager
def message_server(context: ssl.SSLContext | None = None) -> Iterator[MessageServer]:
    """Run a server on a free port; with a context it speaks TLS."""
    server: MessageServer

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.received.append(Received(self.command, self.path, dict(self.headers.items()), body))
            reply = server.next_reply()
            time.sleep(reply.seconds)
            self.send_response(reply.status)
            if reply.location:
                self.send_header("Location", reply.location)
            self.send_header("Content-Length", str(len(reply.body) + reply.drips))
            self.end_headers()
            self.wfile.write(reply.body)
            for _ in range(reply.drips):
                time.sleep(1)
                self.wfile.write(b" ")

        do_GET = do_POST  # noqa: N815 - the name of the library

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that went away."""

    listener = Quiet(("127.0.0.1", 0), Handler)
    if context is not None:
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
    scheme = "http" if context is None else "https"
    server = MessageServer(f"{scheme}://127.0.0.1:{listener.server_port}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


@dataclass
class MailServer:
    """A mail server that keeps what it gets.

    Args:
        url: ``smtp://`` or ``smtps://``.
        refusals: replies to RCPT, in turn; then all recipients are accepted.
    """

    url: str = ""
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    password: str = "right"
    was_encrypted: list[bool] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - the names are aiosmtpd's
        self,
        server: SMTP,  # noqa: ARG002
        session: Session,  # noqa: ARG002
        envelope: Envelope,
        address: str,
        options: list[str],  # noqa: ARG002
    ) -> str:
        """Take a recipient, or refuse it."""
        if self.refusals:
            return self.refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
    ) -> str:
        """Keep a mail."""
        content = envelope.original_content or b""
        self.raw.append(content)
        self.mails.append(email.message_from_bytes(content, policy=default))
        self.envelopes.append((str(envelope.mail_from), [str(one) for one in envelope.rcpt_tos]))
        transport = server.transport
        is_smtps = transport is not None and transport.get_extra_info("sslcontext") is not None
        self.was_encrypted.append(session.ssl is not None or is_smtps)
        return "250 OK"

    def authenticate(self, *given: Any) -> AuthResult:
        """Check a login, the last of what aiosmtpd gives."""
        login: LoginPassword = given[-1]
        name, password = login.login.decode(), login.password.decode()
        self.logins.append((name, password))
        return AuthResult(success=password == self.password, handled=False)


class _Port(Controller):
    """A controller on a free port: aiosmtpd's own asks for the number before it listens."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def mail_server(
    context: ssl.SSLContext | None = None, *, is_smtps: bool = False, asks_for_login: bool = False
) -> Iterator[MailServer]:
    """Run a mail server on a free port.

    Args:
        context: for TLS; None: it offers none.
        is_smtps: TLS from the first byte instead of STARTTLS.
        asks_for_login: nothing is taken without one.
    """
    server = MailServer()
    settings: dict[str, Any] = {"authenticator": server.authenticate, "auth_required": asks_for_login}
    if context is not None and not is_smtps:
        settings["tls_context"] = context
    controller = _Port(
        server,
        hostname="127.0.0.1",
        port=0,
        server_hostname="mail.test",
        ssl_context=context if is_smtps else None,
        **settings,
    )
    controller.start()
    server.url = f"{'smtps' if is_smtps else 'smtp'}://127.0.0.1:{controller.port}"
    try:
        yield server
    finally:
        controller.stop()
