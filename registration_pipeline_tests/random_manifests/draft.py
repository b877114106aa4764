"""A valid manifest that is not written yet: mutations change it, then it becomes bytes.

What belongs here: what a valid manifest may look like, read from Encord's pages a third time, beside the pipeline's table
and the sandbox's. What does not belong here: anything that makes a manifest invalid (``catalogue_*.py``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

SINGLE: Final = ("images", "videos", "audio", "pdfs", "text", "nifti")
GROUPED: Final = ("image_groups", "dicom_series")
KINDS: Final = SINGLE + GROUPED
WITH_METADATA: Final = tuple(kind for kind in KINDS if kind != "nifti")
WITH_CREATE_VIDEO: Final = ("images", "videos", *GROUPED)

TEXT: Final = "text"
WHOLE: Final = "whole number"
FRACTION: Final = "number"
BLOCKS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "images": ("imageMetadata", {"mimeType": TEXT, "fileSize": WHOLE, "width": WHOLE, "height": WHOLE}),
    "videos": (
        "videoMetadata",
        {
            "fps": FRACTION,
            "duration": FRACTION,
            "width": WHOLE,
            "height": WHOLE,
            "file_size": WHOLE,
            "mime_type": TEXT,
        },
    ),
    "audio": (
        "audioMetadata",
        {
            "duration_seconds": FRACTION,
            "file_size": WHOLE,
            "mime_type": TEXT,
            "sample_rate": WHOLE,
            "bit_depth": WHOLE,
            "codec": TEXT,
            "num_channels": WHOLE,
        },
    ),
    "pdfs": ("pdfMetadata", {"fileSize": WHOLE, "numPages": WHOLE}),
    "text": ("textMetadata", {"fileSize": WHOLE, "mime_type": TEXT}),
}
OTHER_CASING: Final = {
    "imageMetadata": ("mime_type", "file_size"),
    "videoMetadata": ("fileSize", "mimeType"),
    "audioMetadata": ("durationSeconds", "fileSize", "mimeType", "sampleRate", "bitDepth", "numChannels"),
    "pdfMetadata": ("file_size", "num_pages"),
    "textMetadata": ("file_size", "mimeType"),
}
"""Fields as the other pages of Encord spell them."""

_PLACES: Final = (
    "s3://bucket/{}",
    "https://bucket.s3.eu-west-2.amazonaws.com/{}",
    "https://s3.eu-west-2.amazonaws.com/bucket/{}",
    "http://127.0.0.1:9000/bucket/{}?versionId=3%2F4",
    "gs://bucket/{}",
    "https://account.blob.core.windows.net/container/{}",
    "file:///media/{}",
    "HTTPS://Bucket.Example/{}#t=1",
)
_NAMES: Final = ("raw/{}.jpg", "raw/a b/{}", "größe/{}.png", "写真/{}", "🎞/{}", 'a"b\\c/{}', "x+y&z/{}", "..//{}/")
_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -3,
    2**53 + 1,
    0.1,
    1e300,
    "",
    "é",
    "line\nbreak",
    [],
    {},
    [[1], {"": 2}],
)


class Draft:
    """A manifest under construction.

    Args:
        rng: decides everything that is not asked for; equal seeds give equal bytes.

    ``flags``, ``lists`` and ``extra`` become the document. ``late`` changes the document when it is put together, ``final``
    its bytes.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.flags: dict[str, Any] = {"skip_duplicate_urls": True}
        self.lists: dict[str, list[Any]] = {}
        self.extra: dict[str, Any] = {}
        self.late: list[Callable[[dict[str, Any]], None]] = []
        self.final: list[Callable[[bytes], bytes]] = []
        self.dump_options: dict[str, Any] = {
            "ensure_ascii": rng.random() < 0.7,
            "indent": rng.choice((None, None, 1)),
            "separators": rng.choice((None, (",", ":"))),
            "sort_keys": rng.random() < 0.5,
        }
        self._token = f"{rng.getrandbits(40):010x}"
        self._names = 0
        self._raw: list[str] = []
        if rng.random() < 0.3:
            self.flags["upsert_metadata"] = rng.random() < 0.5
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            self.add()

    def add(self, kind: str | None = None, **keys: Any) -> dict[str, Any]:
        """Add a valid item in a random place; ``keys`` replace what it would have."""
        rng = self.rng
        kind = kind or rng.choice(KINDS)
        item: dict[str, Any] = {"title": self.title()}
        if kind in GROUPED:
            item |= self.frames(rng.choice((1, 2, 3, 12)))
        else:
            item["objectUrl"] = self.url()
        if kind in WITH_METADATA and rng.random() < 0.5:
            item["clientMetadata"] = self.metadata()
        if kind in WITH_CREATE_VIDEO and rng.random() < 0.3:
            item["createVideo"] = rng.random() < 0.5
        if kind == "image_groups":
            item.setdefault("createVideo", rng.random() < 0.5)
        if kind in BLOCKS and rng.random() < 0.3:
            item[BLOCKS[kind][0]] = self.block(kind)
        item = self.shuffled(item) | keys
        entries = self.lists.setdefault(kind, [])
        entries.insert(rng.randint(0, len(entries)), item)
        return item

    def name(self) -> str:
        """Return what no other draft and no other item has."""
        self._names += 1
        return f"{self._token}-{self._names}"

    def title(self) -> str:
        """Return a title that only one item has."""
        return self.rng.choice(_NAMES).format(self.name())

    def url(self) -> str:
        """Return a URL that only one item has."""
        return self.rng.choice(_PLACES).format(self.name())

    def frames(self, count: int) -> dict[str, Any]:
        """Return the URLs of a group."""
        return {f"objectUrl_{position}": self.url() for position in range(count)}

    def metadata(self) -> dict[str, Any]:
        """Return metadata of a few keys."""
        rng = self.rng
        return {f"key {number}": rng.choice(_VALUES) for number in range(rng.randint(0, 3))}

    def block(self, kind: str, *, full: bool = False) -> dict[str, Any]:
        """Return a media metadata block of some fields, or of all."""
        rng = self.rng
        return {name: self.value(of) for name, of in BLOCKS[kind][1].items() if full or rng.random() < 0.5}

    def value(self, of: str) -> Any:
        """Return a valid value of a media metadata field."""
        rng = self.rng
        if of == TEXT:
            return rng.choice(("image/png", "", "é", "flac"))
        whole = rng.choice((0, 1, 640, 2**40))
        return whole if of == WHOLE else rng.choice((whole, 29.97, 0.0))

    def field(self, *types: str) -> tuple[str, str]:
        """Return a random field of one of these types, as kind and name."""
        names = [(kind, name) for kind, (_, fields) in BLOCKS.items() for name, of in fields.items() if of in types]
        return self.rng.choice(names)

    def shuffled(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return them in another order."""
        return dict(self.rng.sample(list(values.items()), len(values)))

    def raw(self, text: str) -> str:
        """Return a stand-in for JSON text that no parsed value gives."""
        self._raw.append(text)
        return f"@raw-{len(self._raw) - 1}@"

    def document(self) -> dict[str, Any]:
        """Return what it is as parsed JSON, stand-ins included."""
        document = self.shuffled({**self.flags, **self.lists, **self.extra})
        for change in self.late:
            change(document)
        return document

    def data(self) -> bytes:
        """Return the file."""
        text = json.dumps(self.document(), **self.dump_options)
        # Later ones may hold earlier ones.
        for number, raw in reversed(list(enumerate(self._raw))):
            text = text.replace(f'"@raw-{number}@"', raw)
        data = text.encode()
        for change in self.final:
            data = change(data)
        return data
