"""Which requests the sandbox lets in: those that the real SDK signs with an authorised key, and no others."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from typing import TYPE_CHECKING

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from encord import EncordUserClient
from encord.exceptions import AuthenticationError
from encord.http.v2 import request_signer

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import SendSigned, StartSandbox


def _foreign_key() -> tuple[str, str]:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@pytest.mark.parametrize(
    "search", ["a b", "a+b", "a&b=c", "a/b?c#d", "grün", "%41", "~.-_'()*"], ids=lambda text: text.encode().hex()
)
def test_requests_with_any_characters_in_the_query_verify(encord_client: EncordUserClient, search: str) -> None:
    encord_client.create_storage_folder(f"x{search}y")

    assert [found.name for found in encord_client.list_storage_folders(search=search)] == [f"x{search}y"]


def _change_body(request: requests.PreparedRequest) -> None:
    request.body = b'{"name": "forged"}'
    request.headers["Content-Length"] = str(len(request.body))


def _change_body_and_digest(request: requests.PreparedRequest) -> None:
    _change_body(request)
    assert isinstance(request.body, bytes)
    digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
    request.headers["Content-Digest"] = f"sha-256=:{digest}:"


def _change_path(request: requests.PreparedRequest) -> None:
    assert request.url is not None
    request.url = request.url.replace("storage/folders", "storage/folders/patch-bulk")


def _add_query(request: requests.PreparedRequest) -> None:
    assert request.url is not None
    request.url += "?search=x"


def _change_method(request: requests.PreparedRequest) -> None:
    request.method = "PUT"


def _shift_created(seconds: int) -> Callable[[requests.PreparedRequest], None]:
    def shift(request: requests.PreparedRequest) -> None:
        given = request.headers["Signature-Input"]
        request.headers["Signature-Input"] = re.sub(
            r"created=(\d+)", lambda match: f"created={int(match[1]) + seconds}", given
        )

    return shift


def _drop(header: str) -> Callable[[requests.PreparedRequest], None]:
    def drop(request: requests.PreparedRequest) -> None:
        del request.headers[header]

    return drop


def _uncover_digest(request: requests.PreparedRequest) -> None:
    request.headers["Signature-Input"] = request.headers["Signature-Input"].replace(' "content-digest"', "")


def _foreign_key_id(request: requests.PreparedRequest) -> None:
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    request.headers["Signature-Input"] = re.sub(
        r'keyid="[0-9a-f]+"', f'keyid="{other}"', request.headers["Signature-Input"]
    )


def _garble_signature(request: requests.PreparedRequest) -> None:
    request.headers["Signature"] = "encord-sig=:" + "A" * 86 + "==:"


TAMPERING = {
    "body": _change_body,
    "body and digest": _change_body_and_digest,
    "path": _change_path,
    "query": _add_query,
    "method": _change_method,
    "created one second later": _shift_created(1),
    "created an hour earlier": _shift_created(-3600),
    "no signature": _drop("Signature"),
    "no signature input": _drop("Signature-Input"),
    "no digest": _drop("Content-Digest"),
    "digest not covered": _uncover_digest,
    "key id of a stranger": _foreign_key_id,
    "signature of nothing": _garble_signature,
}


@pytest.mark.parametrize("tamper", TAMPERING.values(), ids=TAMPERING.keys())
def test_a_request_changed_after_signing_is_refused(
    send_signed: SendSigned, encord_client: EncordUserClient, tamper: Callable[[requests.PreparedRequest], None]
) -> None:
    assert send_signed("POST", "storage/folders", body={"name": "honest"}).status_code == 200

    answer = send_signed("POST", "storage/folders", body={"name": "tampered"}, tamper=tamper)

    assert answer.status_code == 401
    assert answer.json()["message"]
    assert [found.name for found in encord_client.find_storage_folders()] == ["honest"]


@pytest.mark.parametrize(("age_seconds", "status"), [(880, 200), (920, 401), (-880, 200), (-920, 401)])
def test_a_signature_holds_for_fifteen_minutes_either_way(
    send_signed: SendSigned, monkeypatch: pytest.MonkeyPatch, age_seconds: int, status: int
) -> None:
    from datetime import datetime, timedelta

    class ShiftedClock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # noqa: ARG003 - the signature of datetime
            return datetime.fromtimestamp(time.time()) - timedelta(seconds=age_seconds)  # noqa: DTZ006 - as the SDK does

    monkeypatch.setattr(request_signer, "datetime", ShiftedClock)

    assert send_signed("GET", "storage/folders").status_code == status


def test_a_client_with_an_unknown_key_is_refused(sandbox: Sandbox) -> None:
    stranger = EncordUserClient.create_with_ssh_private_key(ssh_private_key=_foreign_key()[0], domain=sandbox.url)

    with pytest.raises(AuthenticationError, match="not authorised"):
        stranger.get_cloud_integrations()


def test_a_client_with_a_configured_key_is_let_in(start_sandbox: StartSandbox) -> None:
    private, public = _foreign_key()
    running = start_sandbox(authorised_keys=(f"{public} kim@example.com",))
    client = EncordUserClient.create_with_ssh_private_key(ssh_private_key=private, domain=running.url)

    assert client.create_storage_folder("mine")._orm_folder.owner == "kim@example.com"


def test_bearer_tokens_are_refused(sandbox: Sandbox) -> None:
    bearer = EncordUserClient.create_with_bearer_token("token", domain=sandbox.url)

    with pytest.raises(AuthenticationError, match="bearer"):
        bearer.get_cloud_integrations()


def test_an_unsigned_request_is_refused(sandbox: Sandbox) -> None:
    answer = requests.get(f"{sandbox.url}/v2/public/storage/folders", timeout=10)

    assert answer.status_code == 401
    assert "not signed" in answer.json()["message"]


def test_the_private_key_is_readable_by_its_owner_only(sandbox: Sandbox) -> None:
    assert sandbox.private_key_path.stat().st_mode & 0o777 == 0o600
