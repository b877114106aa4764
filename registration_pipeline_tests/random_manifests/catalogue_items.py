"""Mutations of what an item is made of: its keys, their types, groups, metadata.

What does not belong here: the text of URLs and titles (``catalogue_texts.py``) and what is around the items
(``catalogue_files.py``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline_tests.random_manifests.draft import (
    BLOCKS,
    FRACTION,
    GROUPED,
    KINDS,
    OTHER_CASING,
    SINGLE,
    TEXT,
    WHOLE,
    WITH_CREATE_VIDEO,
    WITH_METADATA,
)
from registration_pipeline_tests.random_manifests.mutation import Expected, Mutation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registration_pipeline_tests.random_manifests.draft import Draft

SEQUENCE_LIMIT: Final = 32_767
METADATA_LIMIT: Final = 10_000_000
DEEPEST: Final = 255
"""Levels that the SDK can send, the document being the first."""

_NO_TEXT: Final[tuple[Any, ...]] = (None, True, False, 7, 1.5, [], {}, ["s3://bucket/a"], {"a": "s3://bucket/a"})
_NO_BOOLEAN: Final[tuple[Any, ...]] = (None, 0, 1, "true", "", [], {})
_NO_OBJECT: Final[tuple[Any, ...]] = (None, True, False, 0, 1, "", "{}", '{"a": 1}', [], [{}])
_STRANGE_KEYS: Final = (
    *("objecturl", "ObjectUrl", "object_url", "url", "Title", "name", "client_metadata", "clientMetaData", ""),
    *("create_video", "createvideo", "title ", "objectUrls", "metadata", "itemType", "description"),
)


def _kind_without(draft: Draft, kinds: Iterable[str]) -> str:
    return draft.rng.choice(sorted(set(KINDS) - set(kinds)))


def _key_of_another_kind(draft: Draft) -> None:
    rng = draft.rng
    kind, key, value = rng.choice(
        (
            (rng.choice((*SINGLE, "images", "images")), "objectUrl_0", draft.url()),
            (rng.choice(GROUPED), "objectUrl", draft.url()),
            *((other, "createVideo", True) for other in KINDS if other not in WITH_CREATE_VIDEO),
            ("nifti", "clientMetadata", {}),
            (_kind_without(draft, BLOCKS), "imageMetadata", {}),
            ("text", "pdfMetadata", draft.block("pdfs")),
            ("images", "videoMetadata", {}),
        )
    )
    draft.add(kind, **{key: value})


def _without(draft: Draft, kind: str, key: str) -> None:
    del draft.add(kind)[key]


def _frames(draft: Draft, *positions: object, **more: Any) -> dict[str, Any]:
    """Add a group that has its URLs under these positions."""
    item = draft.add(draft.rng.choice(GROUPED))
    for key in [key for key in item if key.startswith("objectUrl")]:
        del item[key]
    item.update({f"objectUrl_{position}": draft.url() for position in positions}, **more)
    return item


def _many_frames(draft: Draft, count: int, kind: str = "image_groups", **more: Any) -> None:
    name = draft.name()
    frames = {f"objectUrl_{position}": f"s3://b/{name}/{position}" for position in range(count)}
    draft.lists.setdefault(kind, []).append({"title": draft.title(), **frames, **more})


def _tiff(draft: Draft, kind: str, **keys: Any) -> None:
    suffix = draft.rng.choice((".tif", ".TIFF", ".Tiff", ".tiff?versionId=3", ".tif#x"))
    draft.add(kind, **{"objectUrl_0": f"s3://bucket/{draft.name()}{suffix}", **keys})


def _shuffled_frames(draft: Draft) -> None:
    item = _frames(draft, *range(draft.rng.randint(2, 25)))
    keys = draft.shuffled(item)
    item.clear()
    item.update(keys)


def _field(draft: Draft, of: tuple[str, ...], value: Any) -> None:
    kind, name = draft.field(*of)
    draft.add(kind, **{BLOCKS[kind][0]: draft.shuffled({**draft.block(kind), name: value})})


def _block(draft: Draft, value: Any) -> None:
    kind = draft.rng.choice(sorted(BLOCKS))
    draft.add(kind, **{BLOCKS[kind][0]: value})


def _other_casing(draft: Draft) -> None:
    kind = draft.rng.choice(sorted(BLOCKS))
    block = BLOCKS[kind][0]
    name = draft.rng.choice(OTHER_CASING[block])
    value = "image/png" if name.startswith("mime") else 640
    draft.add(kind, **{block: draft.shuffled({**draft.block(kind), name: value})})


def _unknown_field(draft: Draft) -> None:
    kind = draft.rng.choice(sorted(BLOCKS))
    name = draft.rng.choice(("size", "Width", "mimetype", "FileSize", "url", "", "width "))
    draft.add(kind, **{BLOCKS[kind][0]: {**draft.block(kind), name: 1}})


def _metadata(draft: Draft, value: Any) -> None:
    draft.add(draft.rng.choice(WITH_METADATA), clientMetadata=value)


_KEY_FRAMES: Final[tuple[Any, ...]] = (
    {},
    {"config": {"sampling_rate": 0.5, "keyframe_mode": "seconds"}},
    {"frames": {"0": {"e": [0.5, 1]}, "1.5": {}, "12": {"note": "a", "f": [0] * 4_096}}},
)
_NO_KEY_FRAMES: Final[tuple[Any, ...]] = (
    *([], "x", {"keyframes": {}}, {"config": []}, {"config": {"rate": 1}}, {"config": {"sampling_rate": "1"}}),
    *({"config": {"sampling_rate": True}}, {"config": {"sampling_rate": -0.5}}, {"config": {"keyframe_mode": "x"}}),
    *({"frames": []}, {"frames": {"x": {}}}, {"frames": {"01": {}}}, {"frames": {"1.": {}}}, {"frames": {"0": []}}),
    *({"frames": {"0": {"e": []}}}, {"frames": {"0": {"e": [0] * 4_097}}}, {"frames": {"0": {"e": [1, "2"]}}}),
    *({"frames": {"0": {"e": [1, False]}}}, {"config": {"keyframe_mode": None}}, {"frames": None}),
)


def _nested(draft: Draft, levels: int) -> None:
    """Metadata whose innermost object or list is this many levels below the document."""
    value: Any = draft.rng.choice((1, "x", None))
    for _ in range(levels - 4):
        value = {"a": value} if draft.rng.random() < 0.5 else [value]
    _metadata(draft, {"a": value})


def _metadata_of_length(draft: Draft, length: int) -> None:
    """Metadata that is this many bytes long when it is sent: escaped, with spaces."""
    filling: Any = draft.rng.choice(
        ("x", "é" * 60_000, "\x7f" * 60_000, [1e15] * 3_000, {f"k{n}": n for n in range(3_000)})
    )
    rest = length - len(json.dumps({"a": filling, "b": ""}))
    draft.dump_options |= {"indent": None, "ensure_ascii": draft.rng.random() < 0.5}
    _metadata(draft, {"a": filling, "b": "x" * rest})


def _huge_numbers(draft: Draft) -> None:
    _metadata(draft, {"a": 10**4_000, "b": [-(2**70), 5e-324, 1.7e308, 0.1, -0.0]})


def _past_64_bits(draft: Draft) -> None:
    _field(draft, (WHOLE, FRACTION), draft.rng.choice((2**63, -(2**63) - 1, 10**400)))


MUTATIONS: Final = (
    Mutation("unknown item key", Expected.REFUSED, lambda d: d.add(**{d.rng.choice(_STRANGE_KEYS): "x"})),
    Mutation("key of another kind", Expected.REFUSED, _key_of_another_kind),
    Mutation("URL missing", Expected.REFUSED, lambda d: _without(d, d.rng.choice(SINGLE), "objectUrl")),
    Mutation(
        "URL of another type",
        Expected.REFUSED,
        lambda d: d.add(d.rng.choice(SINGLE), objectUrl=d.rng.choice(_NO_TEXT)),
    ),
    Mutation("title missing", Expected.OURS, lambda d: _without(d, d.rng.choice(SINGLE), "title")),
    Mutation("title of a group missing", Expected.REFUSED, lambda d: _without(d, d.rng.choice(GROUPED), "title")),
    Mutation("title of another type", Expected.REFUSED, lambda d: d.add(title=d.rng.choice(_NO_TEXT))),
    Mutation(
        "createVideo",
        Expected.ACCEPTED,
        lambda d: d.add(d.rng.choice(WITH_CREATE_VIDEO), createVideo=d.rng.random() < 0.5),
    ),
    Mutation(
        "createVideo of another type",
        Expected.REFUSED,
        lambda d: d.add(d.rng.choice(WITH_CREATE_VIDEO), createVideo=d.rng.choice(_NO_BOOLEAN)),
    ),
    Mutation(
        "createVideo of image groups missing", Expected.REFUSED, lambda d: _without(d, "image_groups", "createVideo")
    ),
    Mutation("key frames", Expected.ACCEPTED, lambda d: _metadata(d, {"$encord": d.rng.choice(_KEY_FRAMES)})),
    Mutation(
        "key frames in another form",
        Expected.REFUSED,
        lambda d: _metadata(d, {"a": 1, "$encord": d.rng.choice(_NO_KEY_FRAMES)}),
    ),
    Mutation("TIFF in a sequence", Expected.REFUSED, lambda d: _tiff(d, "image_groups", createVideo=True)),
    Mutation(
        "TIFF elsewhere",
        Expected.ACCEPTED,
        lambda d: _tiff(d, *d.rng.choice((("image_groups",), ("dicom_series",))), createVideo=False),
    ),
    Mutation("group of many", Expected.ACCEPTED, _shuffled_frames),
    Mutation("group without URLs", Expected.REFUSED, _frames),
    Mutation(
        "gap in a group",
        Expected.REFUSED,
        lambda d: _frames(d, *d.rng.choice(((1,), (0, 2), (0, 1, 3), (1, 2), (*range(9), 10), (0, 10**30)))),
    ),
    Mutation(
        "strange position in a group",
        Expected.REFUSED,
        lambda d: _frames(d, 0, d.rng.choice(("01", "-1", "1.0", " 1", "", "x", "\u0661", "1" * 5_000, "+1", "1\n"))),
    ),
    Mutation(
        "URL of a group of another type",
        Expected.REFUSED,
        lambda d: _frames(d, 0, **{f"objectUrl_{d.rng.randint(0, 1)}": d.rng.choice(_NO_TEXT)}),
    ),
    Mutation(
        "sequence at the limit",
        Expected.ACCEPTED,
        lambda d: _many_frames(d, SEQUENCE_LIMIT, createVideo=True),
        is_costly=True,
    ),
    Mutation(
        "sequence over the limit",
        Expected.REFUSED,
        lambda d: _many_frames(d, SEQUENCE_LIMIT + 1, createVideo=True),
        is_costly=True,
    ),
    Mutation(
        "group or series over the limit of sequences",
        Expected.ACCEPTED,
        lambda d: _many_frames(
            d, SEQUENCE_LIMIT + 1, **d.rng.choice(({"createVideo": False}, {"kind": "dicom_series"}))
        ),
        is_costly=True,
    ),
    Mutation(
        "metadata", Expected.ACCEPTED, lambda d: _metadata(d, {"": {"$a.b": [1, {}, None, "\u2028\x7f😀"]}, "ключ": {}})
    ),
    Mutation("metadata of another type", Expected.REFUSED, lambda d: _metadata(d, d.rng.choice(_NO_OBJECT))),
    Mutation("huge and tiny numbers in metadata", Expected.ACCEPTED, _huge_numbers),
    Mutation(
        "U+0000 in metadata",
        Expected.REFUSED,
        lambda d: _metadata(d, d.rng.choice(({"a": "x\0"}, {"\0": 1}, {"a": [{"b": "\0"}]}))),
    ),
    Mutation(
        "escaped text like U+0000 in metadata",
        Expected.ACCEPTED,
        lambda d: _metadata(d, {"a": "\\u0000", "\\ud800": "\x01"}),
    ),
    Mutation("metadata as deep as the SDK can send", Expected.ACCEPTED, lambda d: _nested(d, DEEPEST)),
    Mutation(
        "metadata deeper than the SDK can send",
        Expected.REFUSED,
        lambda d: _nested(d, DEEPEST + d.rng.choice((1, 2, 100, 600))),
    ),
    Mutation(
        "metadata at the limit", Expected.ACCEPTED, lambda d: _metadata_of_length(d, METADATA_LIMIT), is_costly=True
    ),
    Mutation(
        "metadata over the limit",
        Expected.REFUSED,
        lambda d: _metadata_of_length(d, METADATA_LIMIT + 1),
        is_costly=True,
    ),
    Mutation(
        "full media metadata",
        Expected.ACCEPTED,
        lambda d: (kind := d.rng.choice(sorted(BLOCKS))) and d.add(kind, **{BLOCKS[kind][0]: d.block(kind, full=True)}),
    ),
    Mutation("empty media metadata", Expected.ACCEPTED, lambda d: _block(d, {})),
    Mutation("media metadata of another type", Expected.REFUSED, lambda d: _block(d, d.rng.choice(_NO_OBJECT))),
    Mutation("unknown field in media metadata", Expected.REFUSED, _unknown_field),
    Mutation("media metadata in the other casing", Expected.OURS, _other_casing),
    Mutation("fraction in a field for fractions", Expected.ACCEPTED, lambda d: _field(d, (FRACTION,), 29.97)),
    Mutation(
        "fraction in a field for whole numbers",
        Expected.REFUSED,
        lambda d: _field(d, (WHOLE,), d.rng.choice((1.5, 640.0, 1e3, -0.0))),
    ),
    Mutation(
        "text in a field for numbers",
        Expected.REFUSED,
        lambda d: _field(d, (WHOLE, FRACTION), d.rng.choice(("640", "", "x"))),
    ),
    Mutation("number in a field for text", Expected.REFUSED, lambda d: _field(d, (TEXT,), d.rng.choice((0, 1.5, 640)))),
    Mutation(
        "no scalar in a field",
        Expected.REFUSED,
        lambda d: _field(d, (TEXT, WHOLE, FRACTION), d.rng.choice((None, True, False, [], {}, [1]))),
    ),
    Mutation(
        "negative or zero size",
        Expected.ACCEPTED,
        lambda d: _field(d, (WHOLE, FRACTION), d.rng.choice((-1, 0, -(2**63)))),
    ),
    Mutation("whole number of 64 bits", Expected.ACCEPTED, lambda d: _field(d, (WHOLE, FRACTION), 2**63 - 1)),
    Mutation("whole number of more than 64 bits", Expected.REFUSED, _past_64_bits),
)
