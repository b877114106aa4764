"""What counts as a JSON object, and at which line and column something else is found."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registration_pipeline.facts.sidecars.strict_json import MOST_DEPTH, NotStrictJSONError, json_object
from registration_pipeline_tests.doses import examples

MAX = 2**63 - 1


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"{}", {}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b' \n\t{"a":\r\n[1, 2.5, null, true, "x"]}\n', {"a": [1, 2.5, None, True, "x"]}),
        ('{"å": "\U0001f600"}'.encode(), {"å": "\U0001f600"}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a": 9223372036854775807, "b": -9223372036854775808}', {"a": MAX, "b": -MAX - 1}),
        (b'{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]}', {"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 2}]}),
        (b'{"a": "NaN, Infinity and \\"a\\": 1"}', {"a": 'NaN, Infinity and "a": 1'}),
        (b'{"a": 1e-400}', {"a": 0.0}),
    ],
    ids=[
        "empty",
        "byte order mark",
        "blanks",
        "characters",
        "pair",
        "largest numbers",
        "keys of other objects",
        "words in texts",
        "small",
    ],
)
def test_an_object_is_read(content: bytes, values: dict[str, Any]) -> None:
    assert json_object(content) == values


@pytest.mark.parametrize(
    ("content", "said", "line", "column"),
    [
        (b'{"a": 1,\n "b": 2, "a": 3}', 'has the key "a" twice in one object', 2, 10),
        (b'{"a": 1, "\\u0061": 3}', 'has the key "\\u0061" twice', 1, 10),
        (b'{"x": [{"k": {}, "k": 1}]}', 'has the key "k" twice', 1, 18),
        (b'{"a": NaN}', "has NaN, which is not JSON", 1, 7),
        (b'{"a": [1,\n\n  -Infinity]}', "has -Infinity, which is not JSON", 3, 3),
        (
            b'{"a": 9223372036854775808}',
            "has the number 9223372036854775808, and numbers must have at most 64 bits",
            1,
            7,
        ),
        (b'{"a": -9223372036854775809}', "at most 64 bits", 1, 7),
        (b'{"a": ' + b"1" * 5000 + b"}", "at most 64 bits", 1, 7),
        (b'{"a": 1, "b": 1e999}', "has the number 1e999, and numbers must have a finite value", 1, 15),
        (
            b'{"a": ' + b"[" * 100_000,
            f"has more than {MOST_DEPTH} objects and lists within each other",
            1,
            6 + MOST_DEPTH,
        ),
        (b'{"a":' * 300 + b"1" + b"}" * 300, f"has more than {MOST_DEPTH} objects", 1, 5 * MOST_DEPTH + 1),
        (b'{"a": "\\ud800"}', "half of a surrogate pair", 1, 7),
        (b'{"\\udc00": 1}', "half of a surrogate pair", 1, 2),
        (b'{"a": 1,}', "is not JSON", 1, 9),
        (b'{"a" 1}', "is not JSON: Expecting ':' delimiter", 1, 6),
        (b'{"a": 1} {}', "is not JSON: Extra data", 1, 10),
        (b'{"a": "x\ny"}', "is not JSON: Invalid control character", 1, 9),
        (b'{"a": "x', "is not JSON: Unterminated string", 1, 7),
        (b'{"a" 1, "b": NaN}', "is not JSON: Expecting ':' delimiter", 1, 6),
        (b"[1]", "is JSON, but is not an object: it is a list", 1, 1),
        (b'\n  "x"', "is JSON, but is not an object: it is a text", 2, 3),
        (b"null", "it is null", 1, 1),
        (b"true", "it is true or false", 1, 1),
        (b"1", "it is a number", 1, 1),
        ('{"å": "'.encode() + b'\n\xff"}', "is not UTF-8 at line 2, column 1: byte 0xff", 2, 1),
        ("\ufeff{}".encode("utf-16-le"), "is not UTF-8 at line 1, column 1", 1, 1),
    ],
    ids=lambda value: ascii(value)[:30] if isinstance(value, bytes) else None,
)
def test_anything_else_is_refused_with_its_place(content: bytes, said: str, line: int, column: int) -> None:
    with pytest.raises(NotStrictJSONError, match=re.escape(said)) as raised:
        json_object(content)

    assert f"line {line}, column {column}" in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("content", [b"", b" \n ", b"\xef\xbb\xbf"], ids=["nothing", "blanks", "byte order mark"])
def test_an_empty_one_is_called_empty(content: bytes) -> None:
    with pytest.raises(NotStrictJSONError, match="is empty"):
        json_object(content)


def test_the_deepest_one_is_read_and_can_be_written() -> None:
    content = b'{"a":' * MOST_DEPTH + b"1" + b"}" * MOST_DEPTH

    assert json.dumps(json_object(content), separators=(",", ":")).encode() == content


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), MAX) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.sampled_from([None, 1]))
def test_what_is_written_is_what_is_read(values: dict[str, Any], indent: int | None) -> None:
    assert json_object(json.dumps(values, indent=indent).encode()) == values
    assert json_object(json.dumps(values, ensure_ascii=False, indent=indent).encode()) == values


def is_strict(content: bytes) -> bool:
    """Judge with other means than the module: the parser of Python without its hooks, and a comparison of all pairs."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in found}) < len(found):
            raise ValueError("a key twice")
        return dict(found)

    def is_bad(value: Any) -> bool:
        if isinstance(value, dict | list):
            inner = [*value, *value.values()] if isinstance(value, dict) else value
            return any(map(is_bad, inner))
        if isinstance(value, str):
            return any(0xD800 <= ord(one) <= 0xDFFF for one in value)
        if isinstance(value, float):
            return not math.isfinite(value)
        return isinstance(value, int) and not -(2**63) <= value < 2**63

    try:
        found = json.loads(content.decode("utf-8-sig"), object_pairs_hook=pairs)
        return isinstance(found, dict) and not is_bad(found)
    except ValueError:
        return False


WORDS = ["{", "}", "[", "]", ",", ":", '"', "\\", "1", "-1", "0.5", "1e999", "18446744073709551616", "NaN", "-Infinity"]
TOKENS = ['"a"', '"b"', '"\\u0061"', '"\\ud800"', '"\\ud83d\\ude00"', "true", "null", " ", "\n"]
PIECES = st.sampled_from([b"\xff", *(one.encode() for one in (*WORDS, *TOKENS))])


def hostile(values: dict[str, Any], places: list[int], pieces: list[bytes]) -> bytes:
    """Return a written object with pieces put into it."""
    content = json.dumps(values).encode()
    for place, piece in zip(places, pieces, strict=False):
        cut = place % (len(content) + 1)
        content = content[:cut] + piece + content[cut:]
    return content


CONTENTS = (
    st.builds(
        hostile,
        st.dictionaries(st.sampled_from(["a", "b", "NaN", '"']), VALUES, max_size=3),
        st.lists(st.integers(0, 10**6), max_size=3),
        st.lists(PIECES, max_size=3),
    )
    | st.lists(PIECES, max_size=14).map(b"".join)
    | st.binary(max_size=20)
)


@settings(max_examples=examples(150, thorough=5_000), deadline=None)
@given(CONTENTS)
@example(b'{"a":1,"a":NaN}')
@example(b'{"a":{"a":1},"a":[]}')
def test_any_bytes_are_read_or_refused_with_a_place_inside_them(content: bytes) -> None:
    refused: str | None = None
    try:
        found = json_object(content)
    except NotStrictJSONError as error:
        refused = str(error)
    assert is_strict(content) is (refused is None)
    if refused is None:
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        json.dumps(found, ensure_ascii=False).encode()
    elif "is empty" not in refused:
        place = re.search(r"line (\d+), column (\d+)", refused)
        assert place is not None
        lines = content.decode("utf-8", "replace").split("\n")
        assert int(place[1]) <= len(lines)
        assert int(place[2]) <= len(lines[int(place[1]) - 1]) + 1
