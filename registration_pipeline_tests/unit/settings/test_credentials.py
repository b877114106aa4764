"""Encord's key: where it comes from, which ones are refused, and that it shows nowhere."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import struct
import traceback
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from registration_pipeline.errors import ConfigurationError, CredentialsError
from registration_pipeline.settings import SshPrivateKey, encord_private_key

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

PEM, OPENSSH = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH
PKCS8, PKCS1 = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL


def text_of(key: PrivateKeyTypes, private_format: serialization.PrivateFormat = OPENSSH) -> str:
    return key.private_bytes(PEM, private_format, serialization.NoEncryption()).decode()


def passphrase_protected() -> str:
    """The OpenSSH frame of an encrypted key, as PROTOCOL.key of OpenSSH describes it; its body is noise."""

    def string(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    public = string(b"ssh-ed25519") + string(bytes(range(32)))
    options = string(b"\x07" * 16) + struct.pack(">I", 16)
    body = b"openssh-key-v1\0" + string(b"aes256-ctr") + string(b"bcrypt") + string(options) + struct.pack(">I", 1)
    body += string(public) + string(bytes(range(160)))
    lines = base64.encodebytes(body).decode()
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{lines}-----END OPENSSH PRIVATE KEY-----\n"


ED25519 = ed25519.Ed25519PrivateKey.generate()
GOOD = text_of(ED25519)
OTHER = text_of(ed25519.Ed25519PrivateKey.generate())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
SECRET_LINES = GOOD.splitlines()[1:-1]


def shows_the_key(text: str, key: str = GOOD) -> bool:
    """Return whether a text holds any 12 characters of a key's body."""
    body = "".join(line for line in key.replace("\\n", "\n").split() if not line.startswith("-"))
    # The first 60 characters are the same in every OpenSSH key.
    body = body[60:] if len(body) > 100 else body
    return any(body[at : at + 12] in text for at in range(len(body) - 11))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "encord_key"
    file.write_text(GOOD, encoding="ascii")
    return file


def test_the_key_comes_from_the_content_or_from_the_file(key_file: Path) -> None:
    assert encord_private_key({"ENCORD_SSH_KEY": GOOD}).reveal() == GOOD
    assert encord_private_key({"ENCORD_SSH_KEY_FILE": str(key_file)}).reveal() == GOOD
    home = {"ENCORD_SSH_KEY_FILE": "~/encord_key", "HOME": str(key_file.parent)}
    assert encord_private_key(home).reveal() == GOOD


def test_an_empty_variable_counts_as_not_set(key_file: Path) -> None:
    assert encord_private_key({"ENCORD_SSH_KEY": GOOD, "ENCORD_SSH_KEY_FILE": ""}).reveal() == GOOD
    assert encord_private_key({"ENCORD_SSH_KEY": "", "ENCORD_SSH_KEY_FILE": str(key_file)}).reveal() == GOOD


def test_both_variables_may_hold_the_same_key_with_other_line_ends(key_file: Path) -> None:
    environ = {"ENCORD_SSH_KEY": GOOD.strip().replace("\n", "\r\n"), "ENCORD_SSH_KEY_FILE": str(key_file)}
    assert encord_private_key(environ).reveal() == GOOD


def test_two_different_keys_are_a_configuration_error(key_file: Path) -> None:
    with pytest.raises(ConfigurationError, match="hold different keys; unset one of them") as raised:
        encord_private_key({"ENCORD_SSH_KEY": OTHER, "ENCORD_SSH_KEY_FILE": str(key_file)})
    assert raised.value.exit_status == 2
    assert not shows_the_key(str(raised.value))
    assert not shows_the_key(str(raised.value), OTHER)


# The SDK's own models use a spelling that newer pydantic warns about when it is imported.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:encord")
@pytest.mark.parametrize("line_end", ["\n", "\r\n", " "], ids=["LF", "CRLF", "space"])
def test_the_sdk_accepts_what_is_accepted_here(line_end: str) -> None:
    from encord import EncordUserClient

    revealed = encord_private_key({"ENCORD_SSH_KEY": GOOD.replace("\n", line_end)}).reveal()
    EncordUserClient.create_with_ssh_private_key(ssh_private_key=revealed, domain="http://127.0.0.1:1")


@pytest.mark.parametrize("from_file", [False, True], ids=["content", "file"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(
            GOOD.replace("\n", "\\n"), r"the two characters \n instead of line breaks", id="literal line ends"
        ),
        pytest.param(text_of(ED25519, PKCS8), "not in OpenSSH format (BEGIN PRIVATE KEY)", id="PKCS8"),
        pytest.param(text_of(RSA, PKCS1), "not in OpenSSH format (BEGIN RSA PRIVATE KEY)", id="RSA in PEM"),
        pytest.param(text_of(RSA), "the key is not Ed25519", id="RSA in OpenSSH format"),
        pytest.param(text_of(EC), "the key is not Ed25519", id="ECDSA in OpenSSH format"),
        pytest.param(passphrase_protected(), "protected by a passphrase", id="passphrase"),
        pytest.param("\n".join(SECRET_LINES), "'-----BEGIN OPENSSH PRIVATE KEY-----' is missing", id="frame cut off"),
        pytest.param(SECRET_LINES[0], "is missing; copy the whole file", id="frame cut off, one line"),
        pytest.param(GOOD[: len(GOOD) // 2], "the key is incomplete", id="end cut off"),
        pytest.param(f"export KEY={GOOD}", "the key is incomplete", id="something before it"),
        pytest.param(GOOD.replace(SECRET_LINES[1], SECRET_LINES[1][::-1]), "damaged", id="damaged"),
    ],
)
def test_a_key_that_encord_does_not_take_is_refused_without_showing_it(
    content: str, says: str, *, from_file: bool, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(content, encoding="ascii")
    environ = {"ENCORD_SSH_KEY_FILE": str(tmp_path / "key")} if from_file else {"ENCORD_SSH_KEY": content}
    with pytest.raises(CredentialsError) as raised:
        encord_private_key(environ)
    assert raised.value.exit_status == 4
    assert says in str(raised.value)
    assert str(raised.value).startswith(f"{next(iter(environ))}: ")
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value.args)
    assert not shows_the_key(shown, content)
    assert not shows_the_key(shown)


def test_a_key_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CredentialsError, match="not an OpenSSH private key"):
        encord_private_key({"ENCORD_SSH_KEY_FILE": str(tmp_path / "key")})


def test_a_key_that_is_not_ascii_is_refused() -> None:
    with pytest.raises(CredentialsError, match="damaged"):
        encord_private_key({"ENCORD_SSH_KEY": GOOD.replace(SECRET_LINES[1], SECRET_LINES[1][:-1] + "é")})


def test_printing_formatting_and_logging_show_a_mask(caplog: pytest.LogCaptureFixture) -> None:
    key = encord_private_key({"ENCORD_SSH_KEY": GOOD})
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("key %s %r", key, key)
    shown = [repr(key), str(key), f"{key} {key!r} {key:>40}", "%s" % key, json.dumps([key], default=str), caplog.text]  # noqa: UP031 - the old form is a case
    assert not any(shows_the_key(text) for text in shown)
    assert all("***" in text for text in shown)
    assert not hasattr(key, "__dict__")


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
def test_a_key_is_never_pickled_or_copied(duplicate: object) -> None:
    assert callable(duplicate)
    with pytest.raises(TypeError, match="never pickled"):
        duplicate(encord_private_key({"ENCORD_SSH_KEY": GOOD}))


def test_the_same_content_is_the_same_key() -> None:
    assert SshPrivateKey(GOOD) == SshPrivateKey(GOOD)
    assert SshPrivateKey(GOOD) != SshPrivateKey(OTHER)
    assert len({SshPrivateKey(GOOD), SshPrivateKey(GOOD)}) == 1
