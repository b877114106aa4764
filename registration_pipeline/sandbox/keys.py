"""The sandbox's own key pair, and key ids of OpenSSH public keys.

What does not belong here: verifying signatures.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)

from registration_pipeline.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

KEY_FILE = "id_ed25519"


def ensure_key_pair(data: Path) -> str:
    """Make ``id_ed25519`` (mode 0600) and ``id_ed25519.pub`` if missing and return the public line."""
    private_path, public_path = data / KEY_FILE, data / f"{KEY_FILE}.pub"
    if not (private_path.exists() and public_path.exists()):
        key = Ed25519PrivateKey.generate()
        line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " sandbox@localhost"
        _write_private(private_path, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        # The public half is written last: a crash in between leaves a pair that is made again, never half of two pairs.
        public_path.write_text(line + "\n", encoding="ascii")
    return public_path.read_text(encoding="ascii").strip()


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def authorised_user(line: str) -> tuple[str, str]:
    """Key id (raw public key in hex) and user (the line's comment) of an OpenSSH public key line.

    Raises:
        ConfigurationError: if it is not an Ed25519 public key in OpenSSH form.
    """
    try:
        key = load_ssh_public_key(line.encode())
    except ValueError as error:
        raise ConfigurationError("an authorised key is not an OpenSSH public key line (ssh-ed25519 AAAA…)") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError("an authorised key is not of type Ed25519, the only one that Encord's SDK signs with")
    comment = line.split(maxsplit=2)[2:]
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex(), comment[0] if comment else "user@localhost"
