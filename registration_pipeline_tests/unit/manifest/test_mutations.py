"""Any single change of a valid manifest is found, and nothing makes the validation raise."""

from __future__ import annotations

import copy
import functools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.manifest.validate import Violation, validate_manifest
from registration_pipeline_tests.unit.manifest.manifests import EVERY_KIND

if TYPE_CHECKING:
    from collections.abc import Callable


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, child in below for deeper in _paths(child, (*path, key)))]


def _parent(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path[:-1]:
        document = document[step]
    return document


def _rename(document: Any, path: tuple[Any, ...]) -> bool:
    """Rename a key that the table knows; metadata of the user's may be called anything."""
    if "clientMetadata" in path[:-1] or not isinstance(path[-1], str):
        return False
    parent = _parent(document, path)
    parent[path[-1] + "X"] = parent.pop(path[-1])
    return True


def _retype(document: Any, path: tuple[Any, ...]) -> bool:
    """Put a value where no key of the table takes it."""
    if "clientMetadata" in path[:-1]:
        return False
    _parent(document, path)[path[-1]] = None
    return True


def _remove_required(document: Any, path: tuple[Any, ...]) -> bool:
    if path[-1] not in {"objectUrl", "title", "objectUrl_0", "objectUrl_3", "skip_duplicate_urls"}:
        return False
    del _parent(document, path)[path[-1]]
    return True


def _repeat_item(document: Any, path: tuple[Any, ...]) -> bool:
    parent = _parent(document, path)
    if not isinstance(parent, list):
        return False
    parent.append(copy.deepcopy(parent[path[-1]]))
    return True


@functools.cache
def _mutable(mutate: Callable[[Any, tuple[Any, ...]], bool]) -> list[tuple[Any, ...]]:
    """Return where a mutation does something; found once, not for each example."""
    document = json.loads(EVERY_KIND)
    return [path for path in _paths(document)[1:] if mutate(copy.deepcopy(document), path)]


@pytest.mark.parametrize("mutate", [_rename, _retype, _remove_required, _repeat_item])
@given(data=st.data())
def test_any_single_mutation_of_a_valid_manifest_is_found(
    mutate: Callable[[Any, tuple[Any, ...]], bool], data: st.DataObject
) -> None:
    document = json.loads(EVERY_KIND)
    mutate(document, data.draw(st.sampled_from(_mutable(mutate))))

    assert validate_manifest(json.dumps(document).encode()) != []


@given(
    st.binary() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(str).map(str.encode)
)
def test_no_bytes_make_the_validation_raise(data: bytes) -> None:
    assert all(isinstance(violation, Violation) for violation in validate_manifest(data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=8,
)
ITEM_KEYS = st.sampled_from(["objectUrl", "title", "clientMetadata", "objectUrl_0", "objectUrl_1", "imageMetadata"])


@given(
    st.dictionaries(
        st.sampled_from(["images", "image_groups", "nifti", "skip_duplicate_urls"]),
        JSON | st.lists(st.dictionaries(ITEM_KEYS, JSON, max_size=4), max_size=3),
    )
)
def test_no_json_makes_the_validation_raise(document: dict[str, Any]) -> None:
    assert all(violation.where for violation in validate_manifest(json.dumps(document).encode()))
