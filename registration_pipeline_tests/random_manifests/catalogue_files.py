"""Mutations of the document around the items, and of the file's text.

What does not belong here: what is inside of an item (``catalogue_items.py``, ``catalogue_texts.py``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline_tests.random_manifests.draft import BLOCKS, FRACTION, KINDS, WHOLE
from registration_pipeline_tests.random_manifests.mutation import Expected, Mutation

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.random_manifests.draft import Draft

ITEM_LIMIT: Final = 10_000

_NO_BOOLEAN: Final[tuple[Any, ...]] = (None, 0, 1, "true", "", [], {})
_NO_LIST: Final[tuple[Any, ...]] = (None, False, True, 0, 1, "", "s3://bucket/a", {}, {"objectUrl": "s3://bucket/a"})
_NO_ITEM: Final[tuple[Any, ...]] = (None, True, 0, "s3://bucket/a", [], [{"objectUrl": "s3://bucket/a"}])
_STRANGE_KEYS: Final = (
    *("image", "Images", "texts", "", "skipDuplicateUrls", "upsertMetadata", "skip_duplicate_url", "version"),
    "externalFiles",
)
_KINDS_OF_THE_TYPED_FORM: Final = (
    *("imageGroups", "dicomSeries", "scenes", "time_series", "timeSeries", "pdf", "image_groups_from_items"),
)
_NOT_FINITE: Final = ("NaN", "Infinity", "-Infinity", "1e400", "-1E+999")


def _flag(draft: Draft, name: str, value: Any) -> None:
    draft.flags[name] = value


def _replace(draft: Draft, change: Callable[[dict[str, Any], str], None]) -> None:
    """Change the document's list of one kind when everything else is done."""
    kind = draft.rng.choice(KINDS)
    draft.late.append(lambda document: change(document, kind))


def _set_list(draft: Draft, value: Any) -> None:
    _replace(draft, lambda document, kind: document.update({kind: value}))


def _empty_everything(draft: Draft) -> None:
    keeps_lists = draft.rng.random() < 0.5

    def empty(document: dict[str, Any]) -> None:
        for kind in [kind for kind in KINDS if kind in document]:
            if keeps_lists:
                document[kind] = []
            else:
                del document[kind]

    draft.late.append(empty)


def _fill(draft: Draft, total: int) -> None:
    """Bring the items of all lists to this number, the new ones spread over two kinds."""
    draft.dump_options["indent"] = None
    missing = total - sum(map(len, draft.lists.values()))
    prefix = draft.name()
    for number in range(missing):
        name = f"{prefix}/{number}"
        kind = "images" if number % 3 else "text"
        draft.lists.setdefault(kind, []).append({"objectUrl": f"s3://b/{name}", "title": name})


def _repeat(first: Any, key: str, second: str) -> str:
    return f"{json.dumps(first)}, {json.dumps(key)}: {second}"


def _repeat_in_item(draft: Draft) -> None:
    item = draft.add()
    key = draft.rng.choice(sorted(item))
    item[key] = draft.raw(_repeat(draft.rng.choice((None, "x", item[key])), key, json.dumps(item[key])))


def _repeat_in_metadata(draft: Draft) -> None:
    draft.add("images", clientMetadata={"a": [{"b": draft.raw('1, "b": 1')}]})


def _repeat_on_top(draft: Draft) -> None:
    def repeat(document: dict[str, Any]) -> None:
        key = draft.rng.choice(sorted(document))
        if isinstance(document[key], list | bool):
            document[key] = draft.raw(_repeat([], key, json.dumps(document[key])))

    draft.late.append(repeat)


def _not_finite_in_media(draft: Draft) -> None:
    kind, name = draft.field(WHOLE, FRACTION)
    draft.add(kind, **{BLOCKS[kind][0]: {name: draft.raw(draft.rng.choice(_NOT_FINITE))}})


def _number_form(draft: Draft) -> None:
    form = draft.rng.choice(("01", "+1", ".5", "1.", "0x10", "1_000", "- 1", "1e", "٣", "9" * 4_301))
    draft.add("images", clientMetadata={"a": draft.raw(form)})


def _into_text(draft: Draft, find: bytes, replacement: bytes) -> None:
    draft.final.append(lambda data: data.replace(find, replacement, 1))


def _bytes(draft: Draft, *choices: Callable[[bytes], bytes]) -> None:
    draft.final.append(draft.rng.choice(choices))


def _whole(draft: Draft, *texts: bytes) -> None:
    text = draft.rng.choice(texts)
    draft.final.append(lambda _: text)


def _pretty(draft: Draft) -> None:
    draft.dump_options["indent"] = draft.rng.choice((0, 2, "\t", "\n\r\t "))
    blank = draft.rng.choice((b" ", b"\n", b"\r\n\t"))
    draft.final.append(lambda data: blank + data + blank)


MUTATIONS: Final = (
    Mutation("skip_duplicate_urls missing", Expected.OURS, lambda d: d.flags.pop("skip_duplicate_urls", None)),
    Mutation("skip_duplicate_urls false", Expected.OURS, lambda d: _flag(d, "skip_duplicate_urls", False)),
    Mutation(
        "skip_duplicate_urls of another type",
        Expected.REFUSED,
        lambda d: _flag(d, "skip_duplicate_urls", d.rng.choice(_NO_BOOLEAN)),
    ),
    Mutation("upsert_metadata", Expected.ACCEPTED, lambda d: _flag(d, "upsert_metadata", d.rng.random() < 0.5)),
    Mutation(
        "upsert_metadata of another type",
        Expected.REFUSED,
        lambda d: _flag(d, "upsert_metadata", d.rng.choice(_NO_BOOLEAN)),
    ),
    Mutation(
        "unknown key on top",
        Expected.REFUSED,
        lambda d: d.extra.update({d.rng.choice(_STRANGE_KEYS): d.rng.choice(([], True, None, 1))}),
    ),
    Mutation(
        "kind that only the typed form has",
        Expected.REFUSED,
        lambda d: d.extra.update(
            {d.rng.choice(_KINDS_OF_THE_TYPED_FORM): d.rng.choice(([], [{"objectUrl": d.url(), "title": d.title()}]))}
        ),
    ),
    Mutation("something else than a list", Expected.REFUSED, lambda d: _set_list(d, d.rng.choice(_NO_LIST))),
    Mutation(
        "empty list",
        Expected.ACCEPTED,
        lambda d: d.lists.setdefault(d.rng.choice(sorted(set(KINDS) - set(d.lists)) or KINDS), []),
    ),
    Mutation("no items", Expected.OURS, _empty_everything),
    Mutation(
        "item that is no object",
        Expected.REFUSED,
        lambda d: d.lists.setdefault(d.rng.choice(KINDS), []).append(d.rng.choice(_NO_ITEM)),
    ),
    Mutation("items at the limit", Expected.ACCEPTED, lambda d: _fill(d, ITEM_LIMIT), is_costly=True),
    Mutation("items over the limit", Expected.REFUSED, lambda d: _fill(d, ITEM_LIMIT + 1), is_costly=True),
    Mutation("key of an item twice", Expected.OURS, _repeat_in_item),
    Mutation("key of metadata twice", Expected.OURS, _repeat_in_metadata),
    Mutation("key on top twice", Expected.OURS, _repeat_on_top),
    Mutation(
        "number that is not finite in metadata",
        Expected.OURS,
        lambda d: d.add("images", clientMetadata={"a": [d.raw(d.rng.choice(_NOT_FINITE))]}),
    ),
    Mutation("number that is not finite in media metadata", Expected.REFUSED, _not_finite_in_media),
    Mutation(
        "number that is not finite for a text",
        Expected.REFUSED,
        lambda d: d.add(title=d.raw(d.rng.choice(_NOT_FINITE))),
    ),
    Mutation("number in a form that JSON does not have", Expected.REFUSED, _number_form),
    Mutation("blanks around everything", Expected.ACCEPTED, _pretty),
    Mutation("not escaped", Expected.ACCEPTED, lambda d: d.dump_options.update(ensure_ascii=False)),
    Mutation(
        "another encoding",
        Expected.REFUSED,
        lambda d: _bytes(
            d,
            lambda data: b"\xef\xbb\xbf" + data,
            lambda data: data.decode("utf-8", "replace").encode("utf-16"),
            lambda data: data[:-1] + b'\xff"}',
            lambda data: data.replace(b'"', b'"\xe9', 1),
            lambda data: data.replace(b'"', b'"\xed\xa0\x80', 1),
        ),
    ),
    Mutation(
        "cut off or continued",
        Expected.REFUSED,
        lambda d: _bytes(
            d,
            lambda data: data[:-1],
            lambda data: data[: len(data) // 2],
            lambda data: data + data,
            lambda data: data + b"x",
            lambda data: data[:-1] + b",}",
            lambda data: data + b"// the end",
            lambda data: data + b"\0",
        ),
    ),
    Mutation("single quotes", Expected.REFUSED, lambda d: _into_text(d, b'"', b"'")),
    Mutation(
        "control character in a string",
        Expected.REFUSED,
        lambda d: _into_text(d, b'"', b'"' + d.rng.choice((b"\n", b"\t", b"\0"))),
    ),
    Mutation(
        "no object at the top",
        Expected.REFUSED,
        lambda d: _whole(
            d, b"", b" ", b"null", b"true", b"1", b'"x"', b"[]", b"[{}]", b"NaN", b"images", b"[" * 100_000
        ),
    ),
)
