"""Manifests that Encord's registration pages forbid, each with one thing wrong and the words that must name it.

What belongs here: single faults, readable one by one. Random combinations are in ``random_manifests``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

URL: Final = "s3://bucket/rigs/1/front.jpg"
LONGEST_URL: Final = 16_384
SEQUENCE: Final = 32_767


@dataclass(frozen=True, slots=True)
class Malformed:
    """One manifest with one fault.

    Args:
        document: the manifest.
        refusal: what the sandbox's refusal must contain: the place, or the rule.
        found: what a violation of the pipeline's own check must contain.
    """

    document: dict[str, Any]
    refusal: str
    found: str


def _frames(*urls: Any) -> dict[str, Any]:
    return {f"objectUrl_{position}": url for position, url in enumerate(urls)}


def _many(count: int) -> dict[str, Any]:
    return _frames(*(f"s3://b/{number}" for number in range(count)))


def group(*positions: object, **keys: Any) -> dict[str, Any]:
    """Return an image group with these positions; keys that are ... are left out."""
    urls = {f"objectUrl_{position}": f"s3://bucket/rigs/{position}.jpg" for position in positions or (0, 1)}
    item = {"title": "rig 1", "createVideo": False, **urls, **keys}
    return {key: value for key, value in item.items() if value is not ...}


def series(*positions: object, **keys: Any) -> dict[str, Any]:
    """Return a DICOM series in the same way."""
    return group(*positions, **{"title": "1.2.840.1", **keys})


def single(**keys: Any) -> dict[str, Any]:
    """Return a single object in the same way."""
    return {key: value for key, value in {"objectUrl": URL, "title": "front", **keys}.items() if value is not ...}


def of(kind: str, *items: Any, **top: Any) -> dict[str, Any]:
    """Return a manifest of one list."""
    return {kind: list(items), "skip_duplicate_urls": True, **top}


def _in_group(kind: str, item: Any, refusal: str, found: str = "") -> Malformed:
    return Malformed(of(kind, item), refusal, found or refusal)


_G, _D = "image_groups", "dicom_series"

GROUPS: Final = {
    "group without URLs": _in_group(_G, {"title": "g", "createVideo": False}, "objectUrl_0"),
    "group with a gap": _in_group(_G, group(0, 2), "without a gap", "leave no gap"),
    "group that starts at 1": _in_group(_G, group(1, 2), "without a gap", "leave no gap"),
    "group with a far gap": _in_group(_G, group(*range(9), 10), "without a gap", "leave no gap"),
    "position with a leading zero": _in_group(_G, group(0, "01"), "objectUrl_01"),
    "negative position": _in_group(_G, group(0, -1), "objectUrl_-1"),
    "position that is a word": _in_group(_G, group(0, "one"), "objectUrl_one"),
    "position without a number": _in_group(_G, group(0, ""), "objectUrl_"),
    "URLs as a list": _in_group(_G, group(0, objectUrls=[URL]), "objectUrls"),
    "URLs of the typed form": _in_group(_G, group(0, images=[{"url": URL}]), "images"),
    "group with a single URL": _in_group(_G, group(objectUrl=URL), "objectUrl"),
    "group with only a single URL": _in_group(
        _G, {"title": "g", "createVideo": False, "objectUrl": URL}, "unknown key 'objectUrl'", "objectUrl"
    ),
    "URL of a group that is null": _in_group(_G, group(objectUrl_1=None), "objectUrl_1"),
    "URL of a group that is a number": _in_group(_G, group(objectUrl_1=1), "objectUrl_1"),
    "URL of a group that is an object": _in_group(_G, group(objectUrl_1={"url": URL}), "objectUrl_1"),
    "URL of a group that is empty": _in_group(_G, group(objectUrl_1=""), "objectUrl_1"),
    "URL of a group with a blank": _in_group(_G, group(objectUrl_1="s3://b/a b.jpg"), "objectUrl_1"),
    "URL of a group with a line break": _in_group(_G, group(objectUrl_1="s3://b/a\n.jpg"), "objectUrl_1"),
    "URL of a group that is relative": _in_group(_G, group(objectUrl_1="rigs/1.jpg"), "objectUrl_1"),
    "URL of a group that is too long": _in_group(
        _G, group(objectUrl_1="s3://b/".ljust(LONGEST_URL + 1, "x")), "objectUrl_1"
    ),
    "same URL twice in a group": _in_group(_G, group(objectUrl_0=URL, objectUrl_1=URL), "objectUrl_1 is the same"),
    "group without title": _in_group(_G, group(title=...), "title is missing"),
    "group with an empty title": _in_group(_G, group(title=""), "title", "title must not be empty"),
    "title of a group that is null": _in_group(_G, group(title=None), "title must be a"),
    "title of a group that is a number": _in_group(_G, group(title=7), "title must be a"),
    "title of a group that is too long": _in_group(_G, group(title="t" * 301), "title is longer than 300", "300"),
    "title under another name": _in_group(_G, group(name="rig"), "name"),
    "createVideo missing": _in_group(_G, group(createVideo=...), "createVideo is missing"),
    "createVideo that is null": _in_group(_G, group(createVideo=None), "createVideo must be"),
    "createVideo that is a word": _in_group(_G, group(createVideo="sequence"), "createVideo must be"),
    "createVideo as text": _in_group(_G, group(createVideo="false"), "createVideo must be"),
    "createVideo that is a number": _in_group(_G, group(createVideo=0), "createVideo must be"),
    "createVideo in another casing": _in_group(_G, group(create_video=True), "create_video"),
    "metadata of a group that is text": _in_group(_G, group(clientMetadata="{}"), "clientMetadata must be an object"),
    "metadata of a group that is a list": _in_group(_G, group(clientMetadata=[]), "clientMetadata must be an object"),
    "metadata of a group with U+0000": _in_group(_G, group(clientMetadata={"a": "\0"}), "U+0000"),
    "metadata of a group that is too large": _in_group(
        _G, group(clientMetadata={"a": "x" * 10_000_000}), "clientMetadata is longer", "clientMetadata is 10,000,0"
    ),
    "metadata in another casing": _in_group(_G, group(client_metadata={}), "client_metadata"),
    "media metadata of a group": _in_group(_G, group(imageMetadata={}), "imageMetadata"),
    "group that is a list": _in_group(_G, [URL], "must be an object"),
    "groups that are no list": Malformed(of(_G) | {_G: group()}, "image_groups must be a list", "must be a list"),
}
SEQUENCES: Final = {
    "sequence of too many images": _in_group(
        _G, group(createVideo=True, **_many(SEQUENCE + 1)), "image_groups[0] lists"
    ),
    "TIFF in a sequence": _in_group(_G, group(createVideo=True, objectUrl_1="s3://b/1.tif"), "objectUrl_1 is a TIFF"),
    "TIFF in capitals in a sequence": _in_group(
        _G, group(createVideo=True, objectUrl_0="s3://b/0.TIFF"), "objectUrl_0 is a TIFF"
    ),
    "TIFF with a version in a sequence": _in_group(
        _G, group(createVideo=True, objectUrl_0="s3://b/0.tiff?versionId=7"), "objectUrl_0 is a TIFF"
    ),
    "frame of a sequence missing": _in_group(_G, group(0, 1, 3, createVideo=True), "without a gap", "leave no gap"),
    "sequences in a list of their own": Malformed(
        of("image_sequences", group(createVideo=True)), "image_sequences", "image_sequences"
    ),
}
SERIES: Final = {
    "series without files": _in_group(_D, {"title": "s"}, "objectUrl_0"),
    "series without title": _in_group(_D, series(title=...), "title is missing"),
    "series with an empty title": _in_group(_D, series(title=""), "title", "title must not be empty"),
    "series with a gap": _in_group(_D, series(0, 2), "without a gap", "leave no gap"),
    "series of a single file's form": _in_group(
        _D, {"title": "s", "objectUrl": URL}, "unknown key 'objectUrl'", "objectUrl"
    ),
    "same file twice in a series": _in_group(_D, series(objectUrl_0=URL, objectUrl_1=URL), "objectUrl_1 is the same"),
    "createVideo of a series that is a word": _in_group(_D, series(createVideo="no"), "createVideo must be"),
    "series with the files of the typed form": _in_group(_D, series(dicomFiles=[{"url": URL}]), "dicomFiles"),
    "series with a DICOM tag": _in_group(_D, series(SeriesInstanceUID="1.2"), "SeriesInstanceUID"),
    "file of a series with a tab in its URL": _in_group(_D, series(objectUrl_0="s3://b/\t.dcm"), "objectUrl_0"),
    "series under the name of the typed form": Malformed(of("dicomSeries", series()), "dicomSeries", "dicomSeries"),
}
SINGLES: Final = {
    "single object without URL": Malformed(of("images", single(objectUrl=...)), "objectUrl", "objectUrl is missing"),
    "single object with frames": Malformed(of("images", single(objectUrl_0=URL)), "objectUrl_0", "objectUrl_0"),
    "single URL in another casing": Malformed(of("images", single(objecturl=URL)), "objecturl", "objecturl"),
    "single URL with a blank": Malformed(of("videos", single(objectUrl="s3://b/a b")), "objectUrl", "objectUrl"),
    "single URL that is too long": Malformed(
        of("text", single(objectUrl="s3://b/".ljust(LONGEST_URL + 1, "x"))), "longer than 16384", "16,384"
    ),
    "single URL without a scheme": Malformed(of("pdfs", single(objectUrl="b/a.pdf")), "absolute URL", "absolute URL"),
    "empty title": Malformed(of("images", single(title="")), "title", "title must not be empty"),
    "title that is too long": Malformed(of("audio", single(title="t" * 301)), "longer than 300", "300"),
    "createVideo of audio": Malformed(of("audio", single(createVideo=False)), "createVideo", "createVideo"),
    "createVideo of an image that is a word": Malformed(
        of("images", single(createVideo="true")), "createVideo must be", "createVideo must be"
    ),
    "metadata of a NIfTI": Malformed(of("nifti", single(clientMetadata={})), "clientMetadata", "clientMetadata"),
    "media metadata of another kind": Malformed(
        of("images", single(videoMetadata={})), "videoMetadata", "videoMetadata"
    ),
    "media metadata with an unknown field": Malformed(
        of("images", single(imageMetadata={"colour": "red"})), "colour", "colour"
    ),
    "width that is text": Malformed(of("images", single(imageMetadata={"width": "640"})), "width", "width"),
    "media type that is a number": Malformed(
        of("images", single(imageMetadata={"mimeType": 1})), "mimeType", "mimeType"
    ),
    "unknown kind": Malformed(of("paintings", single()), "paintings", "paintings"),
    "kind in the singular": Malformed(of("image", single()), "'image'", "image is not a key"),
    "kind of the typed form": Malformed(of("pdf", single()), "'pdf'", "pdf is not a key"),
    "flag that is text": Malformed(
        of("images", single(), skip_duplicate_urls="true"), "skip_duplicate_urls", "skip_duplicate_urls"
    ),
    "flag of the typed form": Malformed(
        of("images", single(), skipDuplicateUrls=True), "skipDuplicateUrls", "skipDuplicateUrls"
    ),
    "more entries than a manifest may have": Malformed(
        of("images", *(single(objectUrl=f"s3://b/{n}", title=f"{n}") for n in range(10_001))),
        "10001 entries",
        "10,001 items",
    ),
}

MALFORMED: Final = {**GROUPS, **SEQUENCES, **SERIES, **SINGLES}
