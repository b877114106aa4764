"""Each channel at a real server: what arrives, what is tried again, and that no address and no login is ever said."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from registration_pipeline.notify import IncidentKind
from registration_pipeline.notify.channels.channel import ChannelError
from registration_pipeline.notify.channels.mail import MailChannel
from registration_pipeline.notify.channels.slack import SlackChannel
from registration_pipeline.notify.channels.targets import open_channels
from registration_pipeline.notify.channels.webhook import WebhookChannel
from registration_pipeline.notify.message import Message, message_of
from registration_pipeline.notify.sending import Patience, send_to_all
from registration_pipeline.settings import NotifyTarget
from registration_pipeline.state.layout import reports_folder
from registration_pipeline_tests.message_servers import MessageServer, Reply, mail_server, message_server
from registration_pipeline_tests.unit.notify.conftest import QUICK, SOURCE, Story, failed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = "T0AAAAAAA/B0BBBBBBB/c3VwZXItc2VjcmV0"
HOSTILE = [
    pytest.param("a\r\nBcc: evil@example.org\r\n\r\n<script>", id="line ends and a header"),
    pytest.param("<!channel> <@U123> <https://evil.example|click>", id="Slack's mentions and links"),
    pytest.param("`*bold*` _it_ ~no~ & &lt;", id="Slack's markup"),
    pytest.param("x" * 1_024, id="the longest key"),
    pytest.param("\x1b[2J\x07\u202egpj.exe", id="what a terminal obeys"),
    pytest.param("日本語/é/😀.jpg", id="beyond ASCII"),
    pytest.param("?X-Amz-Signature=0123456789abcdef0123456789abcdef", id="a signature"),
    pytest.param(".\r\n.\r\nMAIL FROM:<evil@example.org>", id="SMTP's end of data"),
]


def sent_message(story: Story) -> dict[str, Any]:
    """Return the document of the one message of a story."""
    from registration_pipeline.notify.records import AlertRecords

    return AlertRecords(story.store, SOURCE).message(1)


def a_message(key: str = "raw/a.jpg", said: str = "403 access denied") -> Message:
    story = Story([{"webhook": "http://127.0.0.1:9/x"}])
    story.night(failed(key, message=said), failed("raw/b.jpg", reason="invalid_file"), run_url="https://dagster/runs/r")
    return message_of(sent_message(story))


@pytest.fixture(scope="module")
def message() -> Message:
    return a_message()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key, that nothing trusts by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path


@pytest.fixture(scope="module")
def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def slack(url: str) -> SlackChannel:
    return SlackChannel(f"{url}/services/{SECRET}")


def webhook_channel(url: str) -> WebhookChannel:
    return WebhookChannel(f"{url}/hooks/{SECRET}?token={SECRET}")


HTTP = [pytest.param(slack, id="slack"), pytest.param(webhook_channel, id="webhook")]
MakeHttp = "Callable[[str], SlackChannel | WebhookChannel]"


def test_a_webhook_gets_the_whole_document(webhook: MessageServer, message: Message) -> None:
    webhook_channel(webhook.url).send(message, 5)

    (received,) = webhook.received
    assert received.document == message.document
    assert received.headers["Content-Type"] == "application/json; charset=utf-8"
    assert received.path == f"/hooks/{SECRET}?token={SECRET}"


def test_slack_gets_blocks_and_a_text_for_notifications(webhook: MessageServer, message: Message) -> None:
    slack(webhook.url).send(message, 5)

    body = webhook.received[0].document
    assert body["text"] == "fleet-cameras: 2 new objects could not be registered"
    header, *sections, links = body["blocks"]
    assert header == {"type": "header", "text": {"type": "plain_text", "text": body["text"], "emoji": False}}
    assert all(section["text"]["type"] == "plain_text" for section in sections)
    assert links["text"]["text"].splitlines() == [
        "<https://dagster/runs/r|Run>",
        "Failure log: /state/failure_log/1.csv",
    ]


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_names_can_neither_mention_nor_link_nor_break_the_limits_of_slack(
    webhook: MessageServer, key: str
) -> None:
    slack(webhook.url).send(a_message(key, said=key * 20), 5)

    body = webhook.received[0].document
    for block in body["blocks"]:
        text = block["text"]
        assert len(text["text"]) <= (150 if block["type"] == "header" else 3_000)
        assert text["type"] == "plain_text" or "evil" not in text["text"]
        assert all(char == "\n" or char.isprintable() for char in text["text"])
    assert "evil" not in body["text"]
    assert "0123456789abcdef" not in str(body)


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_names_bring_no_header_and_no_recipient_to_a_mail(key: str) -> None:
    with mail_server() as server:
        MailChannel(address="ops@example.org", server=server.url).send(a_message(key, said=key), 5)

    (mail,) = server.mails
    assert server.envelopes == [("registration-pipeline@example.org", ["ops@example.org"])]
    assert set(mail.keys()) == {
        "Subject",
        "From",
        "To",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "X-Registration-Alert",
        "Content-Type",
        "Content-Transfer-Encoding",
        "MIME-Version",
    }
    assert mail["Subject"] == "fleet-cameras: 2 new objects could not be registered"
    text = mail.get_content()
    assert "0123456789abcdef" not in text
    assert all(char in "\r\n" or char.isprintable() for char in text)
    assert max(map(len, server.raw[0].split(b"\r\n"))) <= 998


def test_a_mail_says_everything_in_plain_text_in_the_order_in_which_one_reads(message: Message) -> None:
    with mail_server() as server:
        MailChannel(address="ops@example.org", server=server.url).send(message, 5)

    lines = server.mails[0].get_content().splitlines()
    assert lines[0] == "fleet-cameras: 2 new objects could not be registered"
    headings = [line for line in lines[1:] if line and not line.startswith(" ")]
    assert headings[:4] == ["What happened", "What is needed", "The new objects", "What to do"]
    assert headings[4].split() == ["Run:", "https://dagster/runs/r"]
    assert server.mails[0].get_content_type() == "text/plain"


def test_a_login_goes_over_starttls_only(
    server_context: ssl.SSLContext, certificate: Path, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(server_context, asks_for_login=True) as server:
        MailChannel(address="ops@example.org", server=server.url, username="bot@example.org", password="right").send(
            message, 5
        )

    assert server.logins == [("bot@example.org", "right")]
    assert server.was_encrypted == [True]
    assert server.envelopes[0][0] == "bot@example.org"


def test_smtps_encrypts_from_the_first_byte(
    server_context: ssl.SSLContext, certificate: Path, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(server_context, is_smtps=True) as server:
        MailChannel(address="ops@example.org", server=server.url).send(message, 5)

    assert server.was_encrypted == [True]


def test_a_password_is_not_sent_in_the_clear(message: Message) -> None:
    with (
        mail_server() as server,
        pytest.raises(ChannelError, match="no STARTTLS") as caught,
    ):
        MailChannel(address="o@example.org", server=server.url, username="bot", password="pa55word").send(message, 5)

    assert not caught.value.is_transient
    assert server.logins == []


@pytest.mark.parametrize("is_smtps", [False, True], ids=["starttls", "smtps"])
def test_a_certificate_that_is_not_trusted_ends_it(
    server_context: ssl.SSLContext,
    message: Message,
    is_smtps: bool,  # noqa: FBT001 - a case
) -> None:
    with (
        mail_server(server_context, is_smtps=is_smtps) as server,
        pytest.raises(ChannelError, match="certificate") as caught,
    ):
        MailChannel(address="ops@example.org", server=server.url).send(message, 5)

    assert not caught.value.is_transient


@pytest.mark.parametrize("make", HTTP)
def test_an_https_server_that_is_not_trusted_ends_it(
    server_context: ssl.SSLContext, message: Message, make: Callable[[str], SlackChannel | WebhookChannel]
) -> None:
    with (
        message_server(server_context) as server,
        pytest.raises(ChannelError, match="certificate") as caught,
    ):
        make(server.url).send(message, 5)

    assert not caught.value.is_transient
    assert server.received == []


def test_a_refused_login_names_the_variables_and_not_the_password(
    server_context: ssl.SSLContext, certificate: Path, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    channel = {"address": "o@example.org", "username": "bot", "password": "pa55word"}
    with mail_server(server_context) as server:
        (why,) = send_to_all({"m": MailChannel(server=server.url, **channel)}, message, QUICK).values()

    assert why == "it refused the login of SMTP_USERNAME and SMTP_PASSWORD (status 535)"
    assert set(server.logins) == {("bot", "pa55word")}


@pytest.mark.parametrize(
    ("refusal", "attempts"), [("450 greylisted", 2), ("550 no such user", 1)], ids=["for now", "for good"]
)
def test_a_refused_recipient_is_tried_again_only_if_it_was_refused_for_now(
    message: Message, refusal: str, attempts: int
) -> None:
    with mail_server() as server:
        server.refusals[:] = [refusal]
        (why,) = send_to_all({"m": MailChannel(address="o@example.org", server=server.url)}, message, QUICK).values()

    assert (why is None) == (attempts == 2)
    assert len(server.mails) == attempts - 1


@pytest.mark.parametrize("make", HTTP)
@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_trouble_of_the_server_is_tried_again(
    webhook: MessageServer, message: Message, make: Callable[[str], SlackChannel | WebhookChannel], status: int
) -> None:
    webhook.answer(Reply(status=status), Reply())

    assert send_to_all({"c": make(webhook.url)}, message, QUICK) == {"c": None}
    assert len(webhook.received) == 2


@pytest.mark.parametrize("make", HTTP)
@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_refusal_is_not_tried_again(
    webhook: MessageServer, message: Message, make: Callable[[str], SlackChannel | WebhookChannel], status: int
) -> None:
    webhook.answer(Reply(status=status, body=SECRET.encode()))

    assert send_to_all({"c": make(webhook.url)}, message, QUICK) == {"c": f"it answered with status {status}"}
    assert len(webhook.received) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_is_not_followed_by_a_webhook(webhook: MessageServer, message: Message, status: int) -> None:
    webhook.answer(Reply(status=status, location=f"https://elsewhere.example/{SECRET}"))

    (why,) = send_to_all({"c": webhook_channel(webhook.url)}, message, QUICK).values()

    assert why is not None
    assert "elsewhere.example (status" in why
    assert SECRET not in why
    assert len(webhook.received) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307])
def test_a_redirection_of_slack_is_not_success(webhook: MessageServer, message: Message, status: int) -> None:
    webhook.answer(Reply(status=status, location="/login"), Reply(body=b"<html>please log in</html>"))

    (why,) = send_to_all({"c": slack(webhook.url)}, message, QUICK).values()

    assert why is not None
    assert SECRET not in why


@pytest.mark.parametrize("make", HTTP)
def test_a_server_that_is_down_or_slow_or_drips_costs_no_more_than_its_time(
    webhook: MessageServer, message: Message, make: Callable[[str], SlackChannel | WebhookChannel]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    webhook.answer(Reply(status=503, seconds=0, drips=30), Reply(seconds=30))
    once = Patience(attempts=2, seconds=1.0, sleep=lambda _: None)
    began = time.monotonic()

    results = send_to_all({"down": make(nowhere), "slow": make(webhook.url)}, message, once)

    assert time.monotonic() - began < 6
    assert all(results.values())
    assert "connection failed" in str(results["down"])
    assert "in time" in str(results["slow"]) or "within 1 s" in str(results["slow"])


def test_one_channel_that_fails_does_not_keep_the_others_from_theirs(webhook: MessageServer) -> None:
    with mail_server() as server:
        story = Story(
            [
                {"webhook": "http://127.0.0.1:9/closed"},
                {"slack": f"{webhook.url}/services/{SECRET}"},
                {"email": "ops@example.org", "smtp": server.url},
            ]
        )
        assert story.night(failed("a.jpg"))

    assert len(webhook.received) == len(server.mails) == 1
    (warning,) = story.warnings
    assert warning.startswith("fleet-cameras: the message could not be sent to webhook 127.0.0.1:9: the connection")


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "removed meanwhile"])
def test_a_mail_has_the_report_attached_and_goes_without_one_that_is_gone(*, is_kept: bool) -> None:
    name = f"{reports_folder(SOURCE)}20261121T021403000000Z.html"
    with mail_server() as server:
        story = Story([{"email": "ops@example.org", "smtp": server.url}])
        assert not story.night()
        if is_kept:
            story.store.create(name, b"<html>12 of 12</html>")
        assert story.night(failed("a.jpg"), report=lambda: story.store.location(name))

    (mail,) = server.mails
    text = mail.get_body(("plain",))
    assert text is not None
    assert f"Report:      {story.store.location(name)}" in text.get_content().splitlines()
    attached = [(part.get_filename(), part.get_content_type()) for part in mail.iter_attachments()]
    assert attached == ([(f"{SOURCE}-report.html", "text/html")] if is_kept else [])
    assert story.warnings == []


def test_no_address_no_login_and_no_reply_is_ever_logged_kept_or_said(
    webhook: MessageServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Also with every logger at DEBUG, as Dagster's managed loggers may be."""
    caplog.set_level(logging.DEBUG)
    targets = [{"slack": f"{webhook.url}/services/{SECRET}"}, {"webhook": f"{webhook.url}/hooks/{SECRET}"}]
    stories = []
    for reply in (Reply(), Reply(status=500, body=SECRET.encode()), Reply(status=404, body=SECRET.encode())):
        webhook.answer(reply)
        stories.append(Story(targets))
        stories[-1].night(failed("a.jpg"))

    warnings = [warning for story in stories for warning in story.warnings]
    channels = open_channels(stories[0].settings.notify, {})
    everything = [caplog.text, *warnings, repr(channels), repr(stories[0].settings)]
    everything += [
        story.store.read(name).decode("latin-1") for story in stories for name in story.store.names(f"{SOURCE}/")
    ]
    assert len(warnings) == 4
    assert [text for text in everything if SECRET in text or "c3VwZXI" in text] == []


def test_a_channel_is_called_by_its_kind_and_host() -> None:
    targets = [
        NotifyTarget.model_validate(target)
        for target in (
            {"slack": "https://hooks.slack.com/services/T/B/x"},
            {"slack": "https://hooks.slack.com/services/T/B/y"},
            {"webhook": "https://example.org:8443/hook"},
            {"email": "ops@example.org", "smtp": "smtp://mail.example.org:587"},
        )
    ]

    assert list(open_channels(targets, {})) == [
        "slack hooks.slack.com",
        "slack hooks.slack.com (2)",
        "webhook example.org:8443",
        "email ops@example.org by mail.example.org",
    ]


@pytest.mark.parametrize("kind", [kind for kind in IncidentKind if kind not in ("failed", "test")])
def test_every_kind_of_message_has_a_subject_of_one_line_and_something_to_do(
    webhook: MessageServer, story: Story, kind: IncidentKind
) -> None:
    if kind in (IncidentKind.ENDED, IncidentKind.RECOVERED):
        story.night(failed("a.jpg"))
        webhook.forget()
        story.night()
    else:
        story.happens(kind, error="line one\nline two" if kind in (IncidentKind.HALTED, IncidentKind.KILLED) else None)

    (document,) = webhook.documents
    text = message_of(document).as_text()
    assert document["summary"].startswith("fleet-cameras: ")
    assert "\n" not in document["summary"]
    assert "What happened" in text
    assert "What to do" in text
    assert "None" not in text
