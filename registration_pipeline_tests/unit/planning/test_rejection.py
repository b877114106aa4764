from __future__ import annotations

from typing import Any

import pytest

from registration_pipeline.objects import MediaKind, RejectionReason
from registration_pipeline.planning.rejection import Rejection, find_rejection

GIGABYTE = 1024**3


def reject(key: str = "a/b.jpg", **facts: Any) -> Rejection | None:
    given: dict[str, Any] = {"size": 1, "kind": MediaKind.IMAGE, "url": "s3://bucket/" + key}
    return find_rejection(key=key, **(given | facts))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"key": "a/b/", "size": 0, "kind": None}, RejectionReason.DIRECTORY_MARKER),
        ({"key": "a/b/", "size": 7, "kind": MediaKind.IMAGE}, RejectionReason.DIRECTORY_MARKER),
        ({"size": 0}, RejectionReason.EMPTY),
        ({"key": "a.zip", "size": 0, "kind": None}, RejectionReason.EMPTY),
        ({"key": "a.zip", "kind": None}, RejectionReason.UNSUPPORTED_TYPE),
        ({"key": "a.csv", "kind": None, "content_type": "text/csv"}, RejectionReason.UNSUPPORTED_TYPE),
        ({"key": "noextension", "kind": None}, RejectionReason.UNSUPPORTED_TYPE),
        ({"size": GIGABYTE + 1}, RejectionReason.TOO_LARGE),
        ({"size": GIGABYTE + 1, "kind": MediaKind.VIDEO}, RejectionReason.TOO_LARGE),
        ({"storage_class": "GLACIER"}, RejectionReason.ARCHIVED),
        ({"storage_class": "Archive"}, RejectionReason.ARCHIVED),
        ({"storage_class": "DEEP_ARCHIVE"}, RejectionReason.ARCHIVED),
        ({"url": "s3://b/" + "x" * (16_384 - 6)}, RejectionReason.URL_TOO_LONG),
        ({"url": "s3://b/" + "é" * 8_189}, RejectionReason.URL_TOO_LONG),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_what_encord_would_not_take_is_rejected_with_its_reason_and_the_key(
    facts: dict[str, Any], reason: RejectionReason
) -> None:
    rejection = reject(**facts)

    assert rejection is not None
    assert rejection.reason is reason
    assert repr(facts.get("key", "a/b.jpg")) in rejection.message


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"size": GIGABYTE},
        {"size": 5 * GIGABYTE, "kind": MediaKind.AUDIO},
        {"size": 5 * GIGABYTE, "kind": MediaKind.NIFTI},
        {"storage_class": "GLACIER_IR"},
        {"storage_class": "ARCHIVE"},
        {"storage_class": "INTELLIGENT_TIERING"},
        {"url": "s3://b/" + "x" * (16_384 - 7)},
        {"key": "é" * 301},
    ],
    ids=[
        "plain",
        "image of exactly the limit",
        "audio has no published limit",
        "nifti has no published limit",
        "instant retrieval",
        "Google's archive is readable at once",
        "tiered",
        "url of exactly the limit",
        "a key that is too long for a title",
    ],
)
def test_what_encord_accepts_is_not_rejected(facts: dict[str, Any]) -> None:
    assert reject(**facts) is None


def test_the_message_of_an_unplanned_format_says_that_it_is_not_planned() -> None:
    rejection = reject("ride.csv", kind=None)

    assert rejection is not None
    assert "'.csv'" in rejection.message
    assert "which is not planned" in rejection.message
