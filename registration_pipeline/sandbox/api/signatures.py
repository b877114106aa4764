"""Verifies the SDK's request signatures (HTTP message signatures, Ed25519, label ``encord-sig``).

The base that is signed covers method, request target as sent and body digest. Retries re-send the same signature, so replays
are accepted within the skew window. Bearer tokens and the older ``Authorization: <key>:<signature>`` form are refused.

What does not belong here: who the keys belong to, and turning a refusal into an HTTP answer.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping

_INPUT = re.compile(r'encord-sig=(\(([^)]*)\)((?:;[a-z]+=(?:"[^"]*"|\d+))*))')
_SIGNATURE = re.compile(r"encord-sig=:([A-Za-z0-9+/=]+):")
_PARAMETER = re.compile(r';([a-z]+)=("[^"]*"|\d+)')
_COVERED = frozenset({"@method", "@request-target", "content-digest"})


class SignatureRefusedError(Exception):
    """The request is not signed by an authorised key; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """The parts of a request that a signature covers, as bytes came over the wire.

    Args:
        method: upper case.
        raw_path: percent-encoded path.
        query_string: without the question mark.
        headers: lower-case names.
        body: whole.
    """

    method: str
    raw_path: bytes
    query_string: bytes
    headers: Mapping[str, str]
    body: bytes


def verify_signature(request: SignedRequest, *, authorised: Mapping[str, str], now: float, skew_seconds: float) -> str:
    """Return the user whose key signed the request.

    Args:
        request: as received.
        authorised: user by key id (the raw public key in hex).
        now: seconds since the epoch.
        skew_seconds: allowed distance between ``created`` and now.

    Raises:
        SignatureRefusedError: for anything but a valid signature of an authorised key.
    """
    _refuse_other_schemes(request.headers)
    digest = request.headers["content-digest"]
    if digest != f"sha-256=:{b64encode(sha256(request.body).digest()).decode()}:":
        raise SignatureRefusedError("Content-Digest does not match the body")
    given = _INPUT.fullmatch(request.headers["signature-input"])
    carried = _SIGNATURE.fullmatch(request.headers["signature"])
    if given is None or carried is None:
        raise SignatureRefusedError("Signature or Signature-Input is malformed")
    covered = re.findall(r'"([^"]+)"', given[2])
    if set(covered) != _COVERED:
        raise SignatureRefusedError("the signature must cover @method, @request-target and content-digest")
    parameters = dict(_PARAMETER.findall(given[3]))
    key_id = _check_parameters(parameters, now=now, skew_seconds=skew_seconds)
    user = authorised.get(key_id)
    if user is None:
        raise SignatureRefusedError("the key is not authorised here")
    values = {"@method": request.method, "@request-target": _target(request), "content-digest": digest}
    lines = [f'"{name}": {values[name]}' for name in covered] + [f'"@signature-params": {given[1]}']
    try:
        public_key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key_id))
        public_key.verify(b64decode(carried[1]), "\n".join(lines).encode())
    except (InvalidSignature, ValueError) as error:
        raise SignatureRefusedError("the signature does not verify") from error
    return user


def _refuse_other_schemes(headers: Mapping[str, str]) -> None:
    missing = [name for name in ("content-digest", "signature-input", "signature") if name not in headers]
    if not missing:
        return
    if headers.get("authorization", "").lower().startswith("bearer "):
        raise SignatureRefusedError("bearer tokens are not accepted; sign with an SSH key")
    raise SignatureRefusedError(f"the request is not signed: {', '.join(missing)} missing")


def _check_parameters(parameters: Mapping[str, str], *, now: float, skew_seconds: float) -> str:
    created, key_id = parameters.get("created", ""), parameters.get("keyid", "")
    if parameters.get("alg") != '"ed25519"' or not created.isdigit() or not key_id.startswith('"'):
        raise SignatureRefusedError("the signature needs created, keyid and alg=ed25519")
    if abs(now - int(created)) > skew_seconds:
        raise SignatureRefusedError(f"the signature's time is more than {skew_seconds:g} s from the clock here")
    return key_id.strip('"')


def _target(request: SignedRequest) -> str:
    path = request.raw_path.decode("latin-1")
    return f"{path}?{request.query_string.decode('latin-1')}" if request.query_string else path
