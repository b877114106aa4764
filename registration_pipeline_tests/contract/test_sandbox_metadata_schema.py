"""The metadata schema of the sandbox through the real SDK, and what the SDK would never send through signed requests."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pydantic
import pytest
import requests
from encord.exceptions import UnknownException
from encord.orm.client_metadata_schema import ClientMetadataSchemaTypes

from registration_pipeline.sandbox.api.endpoints import Endpoint
from registration_pipeline.sandbox.faults.values import Effect, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from encord import EncordUserClient

    from registration_pipeline.sandbox.server import Sandbox
    from registration_pipeline_tests.contract.conftest import SendSigned, StartSandbox

PATH = "organisation/client-metadata-schema-v2"
AS_THE_SDK_SENDS = {
    "cap": {"ty": "variant", "hint": "varchar"},
    "num": {"ty": "variant", "hint": "number"},
    "e": {"ty": "enum", "values": ["a", "b"]},
    "emb": {"ty": "embedding", "size": 8, "api": None},
    "geo": {"ty": "geospatial"},
    "gone": {"ty": "tombstone", "deleted_ty": {"ty": "variant", "hint": "text"}},
    "gone for good": {"ty": "tombstone", "deleted_ty": None},
}


def send(sandbox: Sandbox, sign_for: Callable[[Sandbox], SendSigned], body: object) -> requests.Response:
    return sign_for(sandbox)("POST", PATH, body=body)


def test_there_is_no_schema_at_first(
    sandbox: Sandbox, encord_client: EncordUserClient, sign_for: Callable[[Sandbox], SendSigned]
) -> None:
    assert encord_client.metadata_schema().keys() == []
    assert sign_for(sandbox)("GET", PATH).content == b"null"
    assert sandbox.metadata_schema() is None


def test_a_schema_that_the_sdk_saved_is_held_and_read_as_it_was_sent(
    sandbox: Sandbox, encord_client: EncordUserClient
) -> None:
    schema = encord_client.metadata_schema()
    schema.add_scalar("cap", data_type="string")
    schema.add_scalar("num", data_type="number")
    schema.add_enum("e", values=["b", "a"])
    schema.add_embedding("emb", size=8)
    schema.add_geospatial("geo")
    schema.add_scalar("gone", data_type="text")
    schema.delete_key("gone")
    schema.add_scalar("gone for good", data_type="text")
    schema.delete_key("gone for good", hard=True)
    schema.save()

    assert sandbox.metadata_schema() == AS_THE_SDK_SENDS
    again = encord_client.metadata_schema()
    assert again.keys() == list(AS_THE_SDK_SENDS)
    assert [again.get_key_type(key) for key in again.keys()][:5] == [  # noqa: SIM118 - not a mapping
        "varchar",
        "number",
        "enum",
        "embedding",
        "geospatial",
    ]
    assert again.get_embedding_size("emb") == 8
    assert again.is_key_deleted("gone for good")


def test_the_last_writer_wins(sandbox: Sandbox, encord_client: EncordUserClient) -> None:
    first, second = encord_client.metadata_schema(), encord_client.metadata_schema()
    first.add_scalar("first", data_type="number")
    second.add_scalar("second", data_type="number")
    first.save()
    second.save()

    assert list(sandbox.metadata_schema() or {}) == ["second"]


def test_a_schema_outlives_the_sandbox(
    start_sandbox: StartSandbox, connect: Callable[[Sandbox], EncordUserClient]
) -> None:
    running = start_sandbox()
    schema = connect(running).metadata_schema()
    schema.add_enum("e", values=["a"])
    schema.save()
    running.stop()

    assert connect(start_sandbox()).metadata_schema().get_enum_options("e") == ["a"]


def test_what_a_body_leaves_out_is_filled_in_with_explicit_values(
    sandbox: Sandbox, sign_for: Callable[[Sandbox], SendSigned]
) -> None:
    body = {
        "n": {"ty": "number"},
        "v": {"ty": "varchar"},
        "d": {"ty": "datetime"},
        "e": {"ty": "embedding", "size": 4096},
        "t": {"ty": "tombstone"},
        "api": {"ty": "embedding", "size": 1, "api": {"url": "https://x"}},
    }
    answer = send(sandbox, sign_for, body)

    assert (answer.status_code, answer.content) == (204, b"")
    nothing = dict.fromkeys(("path", "service_integration", "client_only", "embed_b64_image", "embed_text"))
    assert sign_for(sandbox)("GET", PATH).json() == {
        "n": {"ty": "number", "format": "F64"},
        "v": {"ty": "varchar", "max_length": 8192},
        "d": {"ty": "datetime", "timezone": "UTC"},
        "e": {"ty": "embedding", "size": 4096, "api": None},
        "t": {"ty": "tombstone", "deleted_ty": None},
        "api": {"ty": "embedding", "size": 1, "api": {"url": "https://x", **nothing}},
    }


REFUSED: dict[str, tuple[Any, list[str]]] = {
    "a list": ([], ["body"]),
    "not JSON": (b"{", ["body"]),
    "a key with a slash": ({"a/b": {"ty": "text"}}, ["body", "a/b"]),
    "a key of Encord's": ({"$encord": {"ty": "text"}}, ["body", "$encord"]),
    "a key of key frames": ({"key-frames": {"ty": "text"}}, ["body", "key-frames"]),
    "a key of nothing": ({"": {"ty": "text"}}, ["body", ""]),
    "a word": ({"a": "text"}, ["body", "a"]),
    "no type": ({"a": {}}, ["body", "a"]),
    "an unknown type": ({"a": {"ty": "colour"}}, ["body", "a"]),
    "an unknown key of a type": ({"a": {"ty": "text", "size": 1}}, ["body", "a", "text", "size"]),
    "an unknown hint": ({"a": {"ty": "variant", "hint": "enum"}}, ["body", "a", "variant", "hint"]),
    "no options": ({"a": {"ty": "enum", "values": []}}, ["body", "a", "enum", "values"]),
    "options that are no texts": ({"a": {"ty": "enum", "values": [1]}}, ["body", "a", "enum", "values", "0"]),
    "256 options": ({"a": {"ty": "enum", "values": list(map(str, range(256)))}}, ["body", "a", "enum", "values"]),
    "an embedding of nothing": ({"a": {"ty": "embedding", "size": 0}}, ["body", "a", "embedding", "size"]),
    "too large an embedding": ({"a": {"ty": "embedding", "size": 4097}}, ["body", "a", "embedding", "size"]),
    "an embedding of true": ({"a": {"ty": "embedding", "size": True}}, ["body", "a", "embedding", "size"]),
    "too long a varchar": ({"a": {"ty": "varchar", "max_length": 8193}}, ["body", "a", "varchar", "max_length"]),
    "a deleted tombstone": (
        {"a": {"ty": "tombstone", "deleted_ty": {"ty": "tombstone"}}},
        ["body", "a", "tombstone", "deleted_ty"],
    ),
}


@pytest.mark.slow
def test_what_encord_would_not_take_is_refused_with_its_place_and_nothing_changes(
    sandbox: Sandbox, sign_for: Callable[[Sandbox], SendSigned]
) -> None:
    assert send(sandbox, sign_for, {"kept": {"ty": "text"}}).status_code == 204

    for case, (body, place) in REFUSED.items():
        answer = send(sandbox, sign_for, body)

        assert answer.status_code == 422, case
        assert list(map(str, answer.json()["detail"][0]["loc"])) == place, case
    assert sandbox.metadata_schema() == {"kept": {"ty": "text"}}


def test_a_type_of_a_later_version_is_kept_and_breaks_the_sdk(
    sandbox: Sandbox, encord_client: EncordUserClient, sign_for: Callable[[Sandbox], SendSigned]
) -> None:
    later = {"colour": {"ty": "colour", "space": "sRGB"}, "n": {"ty": "number", "format": "F64"}}
    sandbox.hold_metadata_schema(later)

    with pytest.raises(pydantic.ValidationError):
        encord_client.metadata_schema()
    assert send(sandbox, sign_for, {**later, "m": {"ty": "text"}}).status_code == 204
    assert send(sandbox, sign_for, {"colour": {"ty": "colour", "space": "other"}}).status_code == 422
    assert sandbox.metadata_schema() == {**later, "m": {"ty": "text"}}


def test_the_deprecated_call_replaces_the_whole_schema(sandbox: Sandbox, encord_client: EncordUserClient) -> None:
    sandbox.hold_metadata_schema({"before": {"ty": "text"}})
    kinds = ("number", "string", "long_string", "boolean", "datetime", "geospatial")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        encord_client.set_client_metadata_schema_from_dict({kind: ClientMetadataSchemaTypes(kind) for kind in kinds})

        schema = encord_client.metadata_schema()
        assert {key: schema.get_key_type(key) for key in schema.keys()} == {  # noqa: SIM118 - not a mapping
            "number": "number",
            "string": "varchar",
            "long_string": "text",
            "boolean": "boolean",
            "datetime": "datetime",
            "geospatial": "geospatial",
        }
        with pytest.raises(UnknownException):
            encord_client.set_client_metadata_schema_from_dict({"a": ClientMetadataSchemaTypes.ENUM})


def test_faults_strike_the_schema(sandbox: Sandbox, encord_client: EncordUserClient) -> None:
    sandbox.script(
        Fault(effect=Effect.DELAY, endpoint=Endpoint.SET_METADATA_SCHEMA, seconds=0.05),
        Fault(effect=Effect.STATUS, status=503, endpoint=Endpoint.GET_METADATA_SCHEMA),
    )
    with pytest.raises(UnknownException):
        encord_client.metadata_schema()
    schema = encord_client.metadata_schema()
    schema.add_scalar("a", data_type="number")
    schema.save()

    assert sandbox.metadata_schema() == {"a": {"ty": "variant", "hint": "number"}}
    assert sandbox.fault_counts() == {"delay_before": 1, "status_503_before": 1}


def test_the_admin_page_and_its_api_show_the_schema(start_sandbox: StartSandbox) -> None:
    running = start_sandbox(admin_port=0)
    assert requests.get(f"{running.admin_url}/metadata-schema", timeout=10).json() is None
    assert "No metadata schema was set." in requests.get(f"{running.admin_url}/", timeout=10).text

    running.hold_metadata_schema({"fleet.<b>": {"ty": "enum", "values": ["sun"]}})

    page = requests.get(f"{running.admin_url}/", timeout=10).text
    assert "fleet.&lt;b&gt;" in page
    assert "<b>" not in page
    assert requests.get(f"{running.admin_url}/metadata-schema", timeout=10).json() == running.metadata_schema()
    assert requests.get(f"{running.admin_url}/state", timeout=10).json()["metadata_fields"] == 1
