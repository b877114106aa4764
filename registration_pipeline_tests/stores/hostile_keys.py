"""Keys that break listings, URLs and emulators: one list for every store that the tests can start.

What does not belong here: starting stores, and which of them can't hold which key (``hostile_stores.py``).
"""

from __future__ import annotations

from typing import Final

HOSTILE_KEYS: Final[tuple[str, ...]] = (
    # Plain ones, to notice a store that holds nothing at all; extensions in upper case, none, and differing by case only.
    "plain.jpg",
    "PLAIN.JPG",
    "Plain.Jpg",
    "no-extension",
    "a",
    "A",
    "Z",
    "archive.tar.gz",
    ".hidden",
    "..hidden",
    # Percent signs and plus signs, which are decoded once too often.
    "a b",
    "a+b",
    "a%20b",
    "a%2Bb",
    "a%2Fb",
    "a%2fb",
    "a%252Fb",
    "a%",
    "a%zz",
    "a%00b",
    "%",
    "+",
    # What ends a path, separates a query, or has a meaning in XML, JSON, shells and headers.
    "hash#fragment",
    "question?query=1&x=2",
    "amp&lt;entity&#10;",
    "<xml>]]>",
    "quote\"double'single",
    "back\\slash",
    "semi;colon:at@equals=comma,",
    "star*pipe|brace{}[]^`~!$()",
    # White space, inside and at the ends of names and segments.
    " ",
    " leading space",
    "trailing space ",
    "trailing spaces/  ",
    "tab\there",
    "trailing tab\t",
    "new\nline",
    "carriage\rreturn",
    "both\r\nof them",
    "no\u00a0break",
    "line\u2028separator",
    "ideographic\u3000space",
    # Control characters.
    "start\x01end",
    "bell\x07",
    "escape\x1b[31m",
    "unit\x1fseparator",
    "delete\x7f",
    "c1\x85control",
    # Unicode: twins that normalise to one, planes, directions, what is invisible.
    "\u00e9 composed",
    "e\u0301 decomposed",
    "\u212b angstrom",
    "\u00c5 angstrom",
    "\u65e5\u672c\u8a9e/\u5199\u771f.jpg",
    "\u0639\u0631\u0628\u064a\u0629/\u0635\u0648\u0631\u0629.jpg",
    "\u05e2\u05d1\u05e8\u05d9\u05ea.png",
    "right\u202eto left",
    "zero\u200bwidth",
    "\u2764\ufe0f.png",
    "bom\ufeff",
    "replacement\ufffd",
    "noncharacter\uffff",
    "\U0001f600.png",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467/family.jpg",
    "\U0010ffff",
    # These two order differently in UTF-8 and in UTF-16.
    "order/\U00010000",
    "order/\uff21",
    # Slashes.
    "dbl//slash.jpg",
    "tri///slash.jpg",
    "/leading.jpg",
    "//two-leading.jpg",
    "marker/",
    "marker//",
    # Segments that file systems and URL parsers resolve.
    "a/./b.jpg",
    "a/../b.jpg",
    "./dot-first",
    "../dots-first",
    "dots-last/..",
    "dot-last/.",
    "trailing dot.",
    "trailing dots/a..",
    # A folder and a file of one name, and what sorts between them.
    "a.txt",
    "a-b",
    "a/x",
    "a/x/y",
    # As long as a key may be.
    "k" * 1024,
    "\u00e9" * 512,
    "/".join(["d" * 127] * 8),
)
