"""What the keys of metadata mean once they are read, and that their tables agree with those of other parts.

What does not belong here: what is refused (``test_wrong_metadata.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from encord.metadata_schema import MetadataSchemaError, _assert_valid_metadata_key
from hypothesis import example, given
from hypothesis import strategies as st

from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.kinds import KIND_BY_SUFFIX
from registration_pipeline.settings import FieldKind, FieldType, MediaMetadata, load_settings
from registration_pipeline.settings.metadata import MEDIA_SUFFIXES, TEXT_SUFFIXES, field_name_problem

if TYPE_CHECKING:
    from pathlib import Path


def is_taken_by_the_sdk(name: str) -> bool:
    try:
        _assert_valid_metadata_key(name)
    except MetadataSchemaError:
        return False
    return True


@given(st.text(st.sampled_from("aZ09 ._-/$é\x00"), max_size=6) | st.text(max_size=6))
@example("keyframes")
@example("key frames")
@example("key.-_ frames")
@example("keyframes2")
@example("$encord")
@example("")
@example("...")
def test_no_name_is_accepted_that_the_sdk_refuses(name: str) -> None:
    if name.isascii():
        assert (field_name_problem(name) is None) is is_taken_by_the_sdk(name)
    else:
        assert field_name_problem(name) is not None


def test_the_suffixes_of_media_are_those_of_the_table_of_kinds() -> None:
    text = {suffix for suffix, kind in KIND_BY_SUFFIX.items() if kind is MediaKind.TEXT}

    assert set(TEXT_SUFFIXES) == text
    assert set(MEDIA_SUFFIXES) == set(KIND_BY_SUFFIX) - text


def test_types_keep_their_options_in_order_and_their_size(tmp_path: Path) -> None:
    file = tmp_path / "registration.yaml"
    file.write_text(
        "sources:\n  one:\n    uri: file:///data/\n    media_metadata: off\n"
        "    metadata_schema: {weather: {enum: [sun, rain]}, clip: {embedding: '${SIZE}'}, on: number}\n",
        encoding="utf-8",
    )
    source = load_settings(file, {"SIZE": "512"}).sources["one"]

    assert source.metadata_schema == {
        "weather": FieldType(kind=FieldKind.ENUM, values=("sun", "rain")),
        "clip": FieldType(kind=FieldKind.EMBEDDING, size=512),
        "on": FieldType(kind=FieldKind.NUMBER),
    }
    assert [str(field) for field in source.metadata_schema.values()] == ["enum of 2", "embedding of 512", "number"]
    assert source.media_metadata is MediaMetadata.OFF


@pytest.mark.parametrize("kind", [kind for kind in FieldKind if kind not in {FieldKind.ENUM, FieldKind.EMBEDDING}])
def test_a_word_is_a_type(kind: FieldKind) -> None:
    assert FieldType.model_validate(kind.value) == FieldType(kind=kind)
