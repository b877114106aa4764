"""Documents that carry their digest: whatever is flipped, cut or added is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.state.sealed import open_sealed, sealed_json

VALUES = st.dictionaries(
    st.text(max_size=5).filter(lambda name: name != "xxh3"),
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    min_size=1,
    max_size=4,
)


@given(value=VALUES)
def test_a_document_reads_back_as_it_was_written(value: dict[str, object]) -> None:
    assert open_sealed(sealed_json(value)) == value


@given(value=VALUES, data=st.data())
def test_one_flipped_bit_anywhere_is_found(value: dict[str, object], data: st.DataObject) -> None:
    sealed = bytearray(sealed_json(value))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(ValueError, match=r"it does not end with its digest|its content does not match its digest"):
        open_sealed(bytes(sealed))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}\n", b'{"a":1}\n', b'{"a":1,"xxh3":"' + b"0" * 32 + b'"}\n', sealed_json({"a": 1})[:-1]],
    ids=["empty", "no members", "no digest", "another digest", "cut"],
)
def test_what_was_not_written_here_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="digest"):
        open_sealed(data)
