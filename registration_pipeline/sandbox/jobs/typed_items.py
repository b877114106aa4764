"""Reads the ``dataItems`` form of an upload job as Encord's typed schema: the first field that does not fit it ends it (422).

The fields are those of the SDK's models. What both forms share (URLs, titles, client metadata, limits) is checked as in the
JSON form, and refused as there (400).

What does not belong here: duplicates, planted failures, and whether an object exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from registration_pipeline.sandbox.jobs.manifests import (
    ExternalFiles,
    ManifestRefusedError,
    SubmittedUnit,
    checked_metadata,
    parse_external_files,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TEXT, _WHOLE, _NUMBER, _FLAG, _OBJECT, _LIST = "string", "int", "float", "bool", "dict", "list"
_IMAGE = {"mimeType": _TEXT, "fileSize": _WHOLE, "height": _WHOLE, "width": _WHOLE}
_VIDEO = {**_IMAGE, "fps": _NUMBER, "duration": _NUMBER}
_AUDIO = {
    "duration": _NUMBER,
    "fileSize": _WHOLE,
    "mimeType": _TEXT,
    "sampleRate": _WHOLE,
    "bitDepth": _WHOLE,
    "codec": _TEXT,
    "numChannels": _WHOLE,
}
_DICOM_TAGS = (
    *("00080018", "00100020", "00180050", "00181114", "00181164", "0020000D", "0020000E", "00200013", "00200032"),
    *("00200037", "00209113", "00209116", "00280004", "00280008", "00280010", "00280011", "00280030", "00281050"),
    *("00281051", "00289110", "52009229", "52009230"),
)
"""Keys that the tags of a DICOM file must have, with null where the file has none: the SDK's docstring."""


@dataclass(frozen=True, slots=True)
class _List:
    kind: str
    """The list of the JSON form."""
    file_type: str
    block: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    members: str | None = None
    has_video: bool = False


_LISTS = {
    "videos": _List("videos", "VIDEO", "videoMetadata", _VIDEO),
    "images": _List("images", "IMAGE", "imageMetadata", _IMAGE),
    "audio": _List("audio", "AUDIO", "audioMetadata", _AUDIO),
    "pdf": _List("pdfs", "PDF", "pdfMetadata", {"fileSize": _WHOLE, "numPages": _WHOLE}),
    "text": _List("text", "PLAIN_TEXT", "textMetadata", {"fileSize": _WHOLE, "mimeType": _TEXT}),
    "nifti": _List("nifti", "NIFTI"),
    "imageGroups": _List("image_groups", "IMG_GROUP", "imageMetadata", _IMAGE, members="images", has_video=True),
    "dicomSeries": _List("dicom_series", "DICOM", "dicomMetadata", {"tags": _OBJECT}, members="dicomFiles"),
}
_OTHER_LISTS = ("imageGroupsFromItems", "timeSeries", "scenes")
_FLAGS = {"skipDuplicateUrls": "skip_duplicate_urls", "upsertMetadata": "upsert_metadata"}
_TYPES: dict[str, tuple[type, ...]] = {
    _TEXT: (str,),
    _WHOLE: (int,),
    _NUMBER: (int, float),
    _FLAG: (bool,),
    _OBJECT: (dict,),
    _LIST: (list,),
}
_WORDS = {_OBJECT: "dictionary", _FLAG: "boolean", _WHOLE: "integer", _NUMBER: "number"}


class NotTypedError(Exception):
    """A field does not fit the typed schema. ``location`` is where, below ``dataItems``."""

    def __init__(self, location: tuple[str | int, ...], message: str, kind: str) -> None:
        self.location, self.message, self.kind = location, message, kind
        super().__init__(f"{location}: {message}")


def parse_data_items(document: dict[str, Any]) -> ExternalFiles:
    """Validate and read a ``dataItems`` object.

    Raises:
        NotTypedError: at the first field that does not fit the schema.
        ManifestRefusedError: at the first violation of a rule that both forms share.
    """
    _require_known((), document, {*_LISTS, *_OTHER_LISTS, *_FLAGS})
    for key in (*_LISTS, *_OTHER_LISTS):
        _require((key,), document.get(key, []), _LIST)
    for key in _OTHER_LISTS:
        if document.get(key):
            raise ManifestRefusedError(f"dataItems.{key}: the sandbox registers no such items")
    external: dict[str, Any] = {}
    for key, name in _FLAGS.items():
        external[name] = document.get(key, False)
        _require((key,), external[name], _FLAG)
    items = [_Item(key, index, item) for key in _LISTS for index, item in enumerate(document.get(key, []))]
    for item in items:
        external.setdefault(item.rules.kind, []).append(item.as_entry())
    try:
        files = parse_external_files(external)
        by_place = {(item.rules.kind, item.index): item for item in items}
        units = [
            by_place[kind, index].completed(unit)
            for kind in dict.fromkeys(unit.kind for unit in files.units)
            for index, unit in enumerate(unit for unit in files.units if unit.kind == kind)
        ]
    except ManifestRefusedError as error:
        raise ManifestRefusedError(str(error).replace("externalFiles", "dataItems")) from error
    # Its casing is known, so there is nothing to remark on.
    return replace(files, units=units, notes=[])


def _fail(location: tuple[str | int, ...], message: str, kind: str) -> NoReturn:
    raise NotTypedError(location, message, kind)


def _require(location: tuple[str | int, ...], value: object, kind: str) -> None:
    is_bool = isinstance(value, bool) and kind != _FLAG
    if is_bool or not isinstance(value, _TYPES[kind]):
        _fail(location, f"Input should be a valid {_WORDS.get(kind, kind)}", f"{kind}_type")


def _require_known(location: tuple[str | int, ...], given: dict[str, Any], known: set[str]) -> None:
    for key in given:
        if key not in known:
            _fail((*location, key), "Extra inputs are not permitted", "extra_forbidden")


class _Item:
    """One entry of one list."""

    def __init__(self, key: str, index: int, item: object) -> None:
        self.rules, self.index, self._at = _LISTS[key], index, (key, index)
        _require(self._at, item, _OBJECT)
        assert isinstance(item, dict)
        self._item = item
        self._check()

    def _check(self) -> None:
        rules, item = self.rules, self._item
        known = {"title", "clientMetadata", "externalFileType"} | ({"createVideo"} if rules.has_video else set())
        known |= {rules.members} if rules.members else {"objectUrl", rules.block or "title"}
        _require_known(self._at, item, known)
        if item.get("externalFileType") != rules.file_type:
            _fail((*self._at, "externalFileType"), f"Input should be '{rules.file_type}'", "literal_error")
        for name, kind in (("title", _TEXT), ("clientMetadata", _OBJECT), ("createVideo", _FLAG)):
            if name in item:
                _require((*self._at, name), item[name], kind)
        if rules.members is None:
            self._require_text(self._at, item, "objectUrl")
            self._check_block(self._at, item)
            return
        self._require_text(self._at, item, "title")
        if rules.members not in item:
            _fail((*self._at, rules.members), "Field required", "missing")
        _require((*self._at, rules.members), item[rules.members], _LIST)
        for index, member in enumerate(item[rules.members]):
            at = (*self._at, rules.members, index)
            _require(at, member, _OBJECT)
            _require_known(at, member, {"url", "title", rules.block or "title"})
            self._require_text(at, member, "url")
            if "title" in member:
                _require((*at, "title"), member["title"], _TEXT)
            self._check_block(at, member)

    @staticmethod
    def _require_text(at: tuple[str | int, ...], given: dict[str, Any], name: str) -> None:
        if name not in given:
            _fail((*at, name), "Field required", "missing")
        _require((*at, name), given[name], _TEXT)

    def _check_block(self, at: tuple[str | int, ...], given: dict[str, Any]) -> None:
        block = self.rules.block
        if block is None or block not in given:
            return
        at, fields = (*at, block), given[block]
        _require(at, fields, _OBJECT)
        _require_known(at, fields, set(self.rules.fields))
        for name, kind in self.rules.fields.items():
            if name not in fields:
                _fail((*at, name), "Field required", "missing")
            _require((*at, name), fields[name], kind)
        if block == "dicomMetadata":
            self._check_tags((*at, "tags"), fields["tags"])

    @staticmethod
    def _check_tags(at: tuple[str | int, ...], tags: dict[str, Any]) -> None:
        for tag in _DICOM_TAGS:
            if tag not in tags:
                _fail((*at, tag), "Field required", "missing")
        for tag, value in tags.items():
            if value is not None:
                _require((*at, tag), value, _OBJECT)

    def as_entry(self) -> dict[str, Any]:
        """The entry in the JSON form, for the rules that both forms share; blocks are read apart."""
        item = self._item
        entry = {key: item[key] for key in ("title", "objectUrl") if key in item}
        if self.rules.kind != "nifti" and "clientMetadata" in item:
            entry["clientMetadata"] = item["clientMetadata"]
        if self.rules.has_video:
            entry["createVideo"] = item.get("createVideo", False)
        for position, member in enumerate(item[self.rules.members] if self.rules.members else ()):
            entry[f"objectUrl_{position}"] = member["url"]
        return entry

    def completed(self, unit: SubmittedUnit) -> SubmittedUnit:
        """The unit with what only this form says of it."""
        metadata = unit.client_metadata
        if self.rules.kind == "nifti" and "clientMetadata" in self._item:
            metadata = checked_metadata(f"dataItems.nifti[{self.index}].clientMetadata", self._item["clientMetadata"])
        if self.rules.members is None:
            block = self._item.get(self.rules.block) if self.rules.block else None
            return replace(unit, client_metadata=metadata, media=block)
        return replace(unit, client_metadata=metadata, members=list(self._blocks()))

    def _blocks(self) -> Iterator[dict[str, Any] | None]:
        assert self.rules.members is not None
        assert self.rules.block is not None
        for member in self._item[self.rules.members]:
            yield member.get(self.rules.block)
