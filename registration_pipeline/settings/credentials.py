"""Encord's key and address from the environment. The key's text never leaves ``SshPrivateKey`` unasked.

What does not belong here: making a client from them (``submission/encord/gateway.py``); the stores' credentials, which
their own libraries find.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, SupportsIndex, final

from registration_pipeline.errors import ConfigurationError, CredentialsError
from registration_pipeline.settings.addresses import parse_domain
from registration_pipeline.settings.values import given

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registration_pipeline.settings.models import Settings

KEY_VARIABLE = "ENCORD_SSH_KEY"
KEY_FILE_VARIABLE = "ENCORD_SSH_KEY_FILE"
DOMAIN_VARIABLE = "ENCORD_DOMAIN"

_MASK = "SshPrivateKey(***)"
_HOW_TO_MAKE_ONE = "make one with: ssh-keygen -t ed25519 -N '' -f encord_key, and upload encord_key.pub to Encord"
_PEM = re.compile(r"-----BEGIN (?P<label>[A-Z0-9 ]+)-----")
_OPENSSH = "OPENSSH PRIVATE KEY"
# The first bytes of every OpenSSH private key ("openssh-key-v1") in base64: shows a key whose frame was cut off.
_OPENSSH_BODY = "b3BlbnNzaC1rZXkt"
_KEY_LIKE = re.compile(r"[A-Za-z0-9+/=_-]{32,}")
"""A line of base64 or of hexadecimal digits; names of files are shorter, or have a dot."""


@final
class SshPrivateKey:
    """An unencrypted Ed25519 key in OpenSSH format. Printing, formatting and logging show a mask; pickling fails."""

    __slots__ = ("__content",)

    def __init__(self, content: str) -> None:
        self.__content = content

    def reveal(self) -> str:
        """Return the key's text, for the one call that signs with it."""
        return self.__content

    def __repr__(self) -> str:
        return _MASK

    def __format__(self, format_spec: str) -> str:
        return format(_MASK, format_spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SshPrivateKey) and self.__content == other.__content

    def __hash__(self) -> int:
        return hash((SshPrivateKey, self.__content))

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a private key is never pickled or copied; read it from the environment where it is needed")


def encord_private_key(environ: Mapping[str, str]) -> SshPrivateKey:
    """Return the key that ``ENCORD_SSH_KEY`` (content) or ``ENCORD_SSH_KEY_FILE`` (path) gives.

    Both may be set if they are the same key; an empty variable counts as not set, as it does for Encord's SDK.

    Raises:
        ConfigurationError: both are set and differ.
        CredentialsError: there is no key, or it is not one that Encord accepts. The text never quotes the value.
    """
    content, file = environ.get(KEY_VARIABLE, ""), environ.get(KEY_FILE_VARIABLE, "")
    if not content.strip() and not file.strip():
        raise CredentialsError(
            f"there is no Encord key; set {KEY_VARIABLE} to the private key's content or {KEY_FILE_VARIABLE} to its"
            f" path ({_HOW_TO_MAKE_ONE})"
        )
    keys = []
    if content.strip():
        keys.append(_checked_key(content, KEY_VARIABLE))
    if file.strip():
        keys.append(_checked_key(_content_of(file.strip(), environ), KEY_FILE_VARIABLE))
    if keys[0] != keys[-1]:
        # Encord's own tools disagree on which one wins: the SDK uses the file, encord-agents the content.
        raise ConfigurationError(
            f"{KEY_VARIABLE} and {KEY_FILE_VARIABLE} are both set and hold different keys; unset one of them"
        )
    return keys[0]


def encord_domain(settings: Settings, environ: Mapping[str, str]) -> str:
    """Return Encord's address without trailing slash: ``ENCORD_DOMAIN``, else ``encord.domain``.

    Raises:
        ConfigurationError: ``ENCORD_DOMAIN`` is not an address.
    """
    override = environ.get(DOMAIN_VARIABLE, "").strip()
    if not override:
        return settings.encord.domain
    try:
        return parse_domain(override)
    except ValueError as error:
        raise ConfigurationError(f"{error}{given(override)}", key=DOMAIN_VARIABLE) from None


def _content_of(file: str, environ: Mapping[str, str]) -> str:
    if "PRIVATE KEY" in file or "\n" in file or _OPENSSH_BODY in file:
        raise CredentialsError(f"{KEY_FILE_VARIABLE} holds a key instead of a path; put the key in {KEY_VARIABLE}")
    home = environ.get("HOME")
    path = Path(home + file[1:] if home and file.startswith("~/") else file)
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        problem = "names a file that does not exist"
    except UnicodeDecodeError:
        problem = "names a file that is not an OpenSSH private key"
    except (OSError, ValueError) as error:
        problem = f"names a file that can't be read ({getattr(error, 'strerror', None) or 'not a path'})"
    if _is_certainly_a_path(path, file):
        raise CredentialsError(f"{KEY_FILE_VARIABLE} {problem}: {path}; correct the path or the file's permissions")
    raise CredentialsError(
        f"{KEY_FILE_VARIABLE} {problem}; its value is not shown, because it may be a part of a key: give the whole path of "
        f"the key's file, or put the key in {KEY_VARIABLE}"
    )


def _is_certainly_a_path(path: Path, written: str) -> bool:
    """Return whether the value may be shown: what is no file may be a line of a key, which may have slashes too."""
    try:
        if path.exists():
            return True
        is_in_a_folder = written.startswith(("/", "~/", "./", "../")) and path.parent.is_dir()
    except PermissionError:  # only a folder that is there refuses
        return True
    except (OSError, ValueError):  # longer than a name can be, or with a zero byte
        return False
    return is_in_a_folder and not _KEY_LIKE.fullmatch(path.name)


def _checked_key(content: str, variable: str) -> SshPrivateKey:
    """Return the key with plain line ends, or raise what is wrong with it."""
    text = content.replace("\r\n", "\n").strip() + "\n"
    problem = _frame_problem(text) or _body_problem(text)
    if problem is not None:
        raise CredentialsError(f"{variable}: {problem}")
    return SshPrivateKey(text)


def _frame_problem(text: str) -> str | None:
    match = _PEM.search(text)
    if match is None:
        return _unframed_problem(text)
    if "\\n" in text:
        return "holds the two characters \\n instead of line breaks; set it with real line breaks, or use a file"
    if match["label"] != _OPENSSH:
        return f"the key is not in OpenSSH format (BEGIN {match['label']}); {_HOW_TO_MAKE_ONE}"
    if not text.startswith("-----BEGIN") or f"-----END {_OPENSSH}-----" not in text:
        return "the key is incomplete: it must start with its BEGIN line and end with its END line"
    return None


def _unframed_problem(text: str) -> str:
    if text.startswith("ssh-"):
        return "this is the public key; give the private one, the file without .pub"
    if "\n" not in text.strip() and _OPENSSH_BODY not in text:
        return f"this is a path, not a key; put a path in {KEY_FILE_VARIABLE}"
    return "the line '-----BEGIN OPENSSH PRIVATE KEY-----' is missing; copy the whole file"


def _body_problem(text: str) -> str | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        key = load_ssh_private_key(text.encode("ascii"), password=None)
    except TypeError:
        return f"the key is protected by a passphrase; remove it (ssh-keygen -p -N '') or {_HOW_TO_MAKE_ONE}"
    except (ValueError, UnsupportedAlgorithm):
        # Their texts may quote the key.
        return f"the key is damaged or of a kind that can't be read; copy it again, or {_HOW_TO_MAKE_ONE}"
    return None if isinstance(key, Ed25519PrivateKey) else f"the key is not Ed25519; {_HOW_TO_MAKE_ONE}"
