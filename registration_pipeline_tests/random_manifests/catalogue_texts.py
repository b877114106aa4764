"""Mutations of URLs and titles: their characters, their length, and their repetition.

What does not belong here: keys and types (``catalogue_items.py``).
"""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from registration_pipeline_tests.random_manifests.draft import GROUPED, KINDS, SINGLE
from registration_pipeline_tests.random_manifests.mutation import Expected, Mutation

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline_tests.random_manifests.draft import Draft

URL_LIMIT: Final = 16_384
TITLE_LIMIT: Final = 300

_BLANKS: Final = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2003\u2028\u2029\u202f\u205f\u3000"
_CONTROLS: Final = "\0\x01\x08\x0e\x1b\x7f\x80\x84\x86\x9f"
_HARMLESS: Final = (
    *("é", "写", "🎞", "%20", "%00", "%", "+", "'", '"', "\\", "<>", "{}", "[", "#", "?a=b&c", "//", "/../"),
    *("\u200b", "\ufeff", "\u180e", "\xad", "\u2060", "\ue000", "\U0010ffff"),
)
_RELATIVE: Final = (
    *("", "raw/{}.jpg", "/raw/{}.jpg", "//bucket/{}", "s3:/bucket/{}", "s3:bucket/{}", "s3//bucket/{}", "://bucket/{}"),
    *(
        "1s3://bucket/{}",
        "+s3://bucket/{}",
        "s_3://bucket/{}",
        "\u017f3://bucket/{}",
        "s3é://bucket/{}",
        "www.example/{}",
    ),
    *("C:\\media\\{}", "mailto:{}", "data:,{}", "?u=s3://bucket/{}", "s3\uff1a//bucket/{}", "file:{}"),
)
_SCHEMES: Final = (
    "S3://bucket/{}",
    "a+b.c-9://x/{}",
    "x://{}",
    "https://user:pass@[::1]:9000/{}?q=a://b#f",
    "s3:///{}",
    "s3://{}",
)


def _with_url(draft: Draft, url: str) -> None:
    """Add an item with this URL: alone, or among those of a group."""
    if draft.rng.random() < 0.7:
        draft.add(draft.rng.choice(SINGLE), objectUrl=url)
        return
    item = draft.add(draft.rng.choice(GROUPED))
    item[draft.rng.choice(sorted(key for key in item if key.startswith("objectUrl_")))] = url


def _inserted(draft: Draft, text: str, part: str) -> str:
    position = draft.rng.choice((0, len(text), draft.rng.randint(0, len(text))))
    return text[:position] + part + text[position:]


def _after_scheme(draft: Draft, part: str) -> str:
    scheme, _, rest = draft.url().partition("://")
    return f"{scheme}://{_inserted(draft, rest, part)}"


def _long_url(draft: Draft, length: int) -> str:
    """Return a URL of this many bytes, of letters that take one to four bytes each."""
    url = f"s3://bucket/{draft.name()}/"
    letter = draft.rng.choice(("x", "é", "写", "🎞"))
    rest = length - len(url)
    size = len(letter.encode())
    return url + letter * (rest // size) + "x" * (rest % size)


def _long_title(draft: Draft, length: int) -> str:
    title = draft.name() + draft.rng.choice("xé写🎞\t")
    return title.ljust(length, draft.rng.choice("xé写🎞"))


def _same(draft: Draft, key: Callable[[dict[str, Any]], str], kinds: tuple[str, ...], value: str) -> None:
    """Give two items, of one kind or of two, the same text."""
    for _ in range(2):
        item = draft.add(draft.rng.choice(kinds))
        item[key(item)] = value


def _url_key(item: dict[str, Any]) -> str:
    return "objectUrl" if "objectUrl" in item else "objectUrl_0"


def _same_in_group(draft: Draft) -> None:
    url = draft.url()
    draft.add("image_groups", objectUrl_0=url, objectUrl_1=url)


def _almost_same(draft: Draft) -> None:
    """Texts that some system or other takes for the same."""
    name = draft.name()
    for variant in ("ä", "Ä", unicodedata.normalize("NFD", "ä"), "%C3%A4", "ä/"):
        draft.add("images", objectUrl=f"s3://bucket/{name}{variant}", title=f"{name}{variant}")


def _surrogate(draft: Draft, key: str) -> None:
    half = draft.rng.choice((r"\ud800", r"\uDFFF", r"\udc00\ud800", r"\uD83Dx"))
    text = f'"s3://bucket/{draft.name()}{half}"'
    draft.add("images", **{key: draft.raw(text)})


def _surrogate_in_metadata(draft: Draft) -> None:
    text = draft.rng.choice((r'{"a": "\ud800"}', r'{"\udfff": 1}', r'{"a": [{"b\ud83d": "\ude00"}]}'))
    draft.add("images", clientMetadata=draft.raw(text))


def _escaped(draft: Draft) -> None:
    name = draft.name()
    url = rf'"s3:\/\/bucket\/{name}\ud83d\uDE00\u002F\u00e9"'
    draft.add("images", objectUrl=draft.raw(url), title=draft.raw(rf'"{name} \uD83D\ude00\n\"\\"'))


MUTATIONS: Final = (
    Mutation("blank in a URL", Expected.REFUSED, lambda d: _with_url(d, _inserted(d, d.url(), d.rng.choice(_BLANKS)))),
    Mutation(
        "control character in a URL",
        Expected.REFUSED,
        lambda d: _with_url(d, _after_scheme(d, d.rng.choice(_CONTROLS))),
    ),
    Mutation(
        "unusual character in a URL",
        Expected.ACCEPTED,
        lambda d: _with_url(d, _after_scheme(d, d.rng.choice(_HARMLESS))),
    ),
    Mutation("relative URL", Expected.REFUSED, lambda d: _with_url(d, d.rng.choice(_RELATIVE).format(d.name()))),
    Mutation("URL without anything behind its scheme", Expected.REFUSED, lambda d: _with_url(d, "s3://")),
    Mutation("unusual scheme", Expected.ACCEPTED, lambda d: _with_url(d, d.rng.choice(_SCHEMES).format(d.name()))),
    Mutation("URL at the limit", Expected.ACCEPTED, lambda d: _with_url(d, _long_url(d, URL_LIMIT))),
    Mutation(
        "URL over the limit",
        Expected.REFUSED,
        lambda d: _with_url(d, _long_url(d, URL_LIMIT + d.rng.choice((1, 1, 9_999)))),
    ),
    Mutation("half a surrogate pair in a URL", Expected.REFUSED, lambda d: _surrogate(d, "objectUrl")),
    Mutation("half a surrogate pair in a title", Expected.REFUSED, lambda d: _surrogate(d, "title")),
    Mutation("half a surrogate pair in metadata", Expected.REFUSED, _surrogate_in_metadata),
    Mutation("escapes in texts", Expected.ACCEPTED, _escaped),
    Mutation("same URL twice", Expected.OURS, lambda d: _same(d, _url_key, KINDS, d.url())),
    Mutation("same URL twice in a group", Expected.REFUSED, _same_in_group),
    Mutation("same title twice", Expected.OURS, lambda d: _same(d, lambda _: "title", KINDS, d.title())),
    Mutation("almost the same URLs and titles", Expected.ACCEPTED, _almost_same),
    Mutation("empty title", Expected.REFUSED, lambda d: d.add(title="")),
    Mutation(
        "unusual title",
        Expected.ACCEPTED,
        lambda d: d.add(title=_inserted(d, d.title(), d.rng.choice((*_BLANKS, *_HARMLESS, *_CONTROLS[1:])))),
    ),
    Mutation("title at the limit", Expected.ACCEPTED, lambda d: d.add(title=_long_title(d, TITLE_LIMIT))),
    Mutation("title over the limit", Expected.REFUSED, lambda d: d.add(title=_long_title(d, TITLE_LIMIT + 1))),
    Mutation("quotes in texts", Expected.ACCEPTED, lambda d: d.add(title=json.dumps({"a": d.name()}))),
)
