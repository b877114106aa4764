"""Signatures that are genuine but do not cover what they must."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registration_pipeline.sandbox.api.signatures import SignatureRefusedError, SignedRequest, verify_signature

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY_ID = KEY.public_key().public_bytes_raw().hex()
NOW = 1_795_242_068
ALL = ("@method", "@request-target", "content-digest")


def _signed(covered: tuple[str, ...], *, parameters: str | None = None) -> SignedRequest:
    body = b'{"name": "x"}'
    digest = f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"
    values = {"@method": "POST", "@request-target": "/v2/public/storage/folders?a=b+c", "content-digest": digest}
    listed = " ".join(f'"{name}"' for name in covered)
    given = f"({listed})" + (parameters or f';created={NOW};keyid="{KEY_ID}";alg="ed25519"')
    base = "\n".join([*(f'"{name}": {values[name]}' for name in covered), f'"@signature-params": {given}'])
    return SignedRequest(
        method="POST",
        raw_path=b"/v2/public/storage/folders",
        query_string=b"a=b+c",
        headers={
            "content-digest": digest,
            "signature-input": f"encord-sig={given}",
            "signature": f"encord-sig=:{b64encode(KEY.sign(base.encode())).decode()}:",
        },
        body=body,
    )


def _verify(request: SignedRequest) -> str:
    return verify_signature(request, authorised={KEY_ID: "kim"}, now=NOW, skew_seconds=900)


@pytest.mark.parametrize("covered", [ALL, ALL[::-1]], ids=["usual order", "other order"])
def test_a_signature_over_all_parts_names_its_user(covered: tuple[str, ...]) -> None:
    assert _verify(_signed(covered)) == "kim"


@pytest.mark.parametrize("missing", ALL)
def test_a_genuine_signature_that_leaves_a_part_out_is_refused(missing: str) -> None:
    with pytest.raises(SignatureRefusedError, match="must cover"):
        _verify(_signed(tuple(name for name in ALL if name != missing)))


@pytest.mark.parametrize(
    "parameters",
    [
        f';keyid="{KEY_ID}";alg="ed25519"',
        f';created={NOW};alg="ed25519"',
        f';created={NOW};keyid="{KEY_ID}"',
        f';created={NOW};keyid="{KEY_ID}";alg="rsa-sha256"',
        f';created="{NOW}";keyid="{KEY_ID}";alg="ed25519"',
        f";created={NOW};keyid={KEY_ID};alg=ed25519",
    ],
    ids=["no created", "no keyid", "no alg", "another alg", "created as a string", "unquoted"],
)
def test_a_genuine_signature_with_odd_parameters_is_refused(parameters: str) -> None:
    with pytest.raises(SignatureRefusedError):
        _verify(_signed(ALL, parameters=parameters))


@pytest.mark.parametrize("key_id", ["zz", "", "00" * 31], ids=["not hex", "empty", "too short"])
def test_an_authorised_entry_that_is_no_key_refuses_instead_of_breaking(key_id: str) -> None:
    request = _signed(ALL, parameters=f';created={NOW};keyid="{key_id}";alg="ed25519"')

    with pytest.raises(SignatureRefusedError):
        verify_signature(request, authorised={key_id: "kim"}, now=NOW, skew_seconds=900)


def test_header_values_of_other_shapes_are_refused() -> None:
    request = _signed(ALL)

    for name, value in (("signature", "other=:AAAA:"), ("signature-input", "encord-sig=()"), ("signature", "")):
        with pytest.raises(SignatureRefusedError):
            _verify(replace(request, headers={**request.headers, name: value}))
