"""Opens objects the way Encord would and checks that their first bytes match their kind.

A URL that no reader of the integration covers is accepted unread. Only the first 64 KB are read: this finds objects that
are gone, forbidden or of another kind, not damage further in.

What does not belong here: planted failures, and what happens to the unit.
"""

from __future__ import annotations

import codecs
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from urllib.parse import unquote, unquote_to_bytes

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from registration_pipeline.sandbox.config import LocalObjects, S3Objects
from registration_pipeline.sandbox.jobs.dicom_headers import HeaderRefusedError, same_series, series_of

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD_BYTES = 65_536


class ObjectRefusedError(Exception):
    """The object can't be read or is not what it is listed as; the text is the unit error."""


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """The first bytes of an object and its size in bytes."""

    head: bytes
    size: int


class ObjectReader(Protocol):
    """Opens the objects of one store."""

    def covers(self, url: str) -> bool:
        """Whether the URL belongs to this store."""
        ...

    def read_head(self, url: str) -> ObjectHead:
        """The object's first ``HEAD_BYTES``.

        Raises:
            ObjectRefusedError: if it can't be read.
        """
        ...


class LocalObjectReader:
    """Reads ``file://`` URLs."""

    def __init__(self, settings: LocalObjects) -> None:
        self._root = settings.root.resolve() if settings.root else None

    def covers(self, url: str) -> bool:
        """Whether it is a ``file://`` URL."""
        return url.startswith("file://")

    def read_head(self, url: str) -> ObjectHead:
        """The file's first bytes."""
        path = Path(os.fsdecode(unquote_to_bytes(url.removeprefix("file://"))))
        try:
            if not self._may_read(path):
                return self._refuse("403 Forbidden")
            with path.open("rb") as file:
                return ObjectHead(file.read(HEAD_BYTES), os.fstat(file.fileno()).st_size)
        except PermissionError:
            return self._refuse("403 Forbidden")
        except (OSError, ValueError):
            return self._refuse("404 Not Found")

    def _may_read(self, path: Path) -> bool:
        return self._root is None or path.resolve().is_relative_to(self._root)

    @staticmethod
    def _refuse(words: str) -> NoReturn:
        raise ObjectRefusedError(f"Could not read object: {words}")


class S3ObjectReader:
    """Reads objects through the S3 API, path style."""

    def __init__(self, settings: S3Objects, *, connections: int) -> None:
        self._base = settings.endpoint_url.rstrip("/") + "/"
        self._client: Any = boto3.session.Session(profile_name=settings.profile).client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=settings.region,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=settings.secret_access_key,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=connections),
        )

    def covers(self, url: str) -> bool:
        """Whether the URL is below the endpoint or an ``s3://`` one."""
        return url.startswith((self._base, "s3://"))

    def read_head(self, url: str) -> ObjectHead:
        """The object's first bytes, by a ranged GET."""
        bucket, _, key = url.removeprefix(self._base).removeprefix("s3://").partition("/")
        try:
            answer = self._client.get_object(Bucket=bucket, Key=unquote(key), Range=f"bytes=0-{HEAD_BYTES - 1}")
            with answer["Body"] as body:
                head = body.read()
        except ClientError as error:
            return self._refused(error)
        except (BotoCoreError, OSError) as error:
            raise ObjectRefusedError(f"Could not read object: {error}") from error
        size = str(answer.get("ContentRange", "")).rpartition("/")[2]
        return ObjectHead(head, int(size) if size.isdigit() else int(answer["ContentLength"]))

    @staticmethod
    def _refused(error: ClientError) -> ObjectHead:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status == 416:  # noqa: PLR2004 - the range of an empty object is not satisfiable
            return ObjectHead(b"", 0)
        words = {403: "403 Forbidden", 404: "404 Not Found"}.get(status, str(error))
        raise ObjectRefusedError(f"Could not read object: {words}") from error


def build_reader(settings: LocalObjects | S3Objects, *, connections: int) -> ObjectReader:
    """The reader for one setting; ``connections`` is how many objects may be open at once."""
    if isinstance(settings, LocalObjects):
        return LocalObjectReader(settings)
    return S3ObjectReader(settings, connections=connections)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a unit is not registered: the message, and the URL of the object that it is about, if it is about one."""

    error: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """What was learned about a unit: total size in bytes and MIME type of its first object; nothing if unread."""

    size: int | None = None
    mime_type: str | None = None
    failure: Failure | None = None


def examine(item_type: str, kind: str, urls: Sequence[str], readers: Sequence[ObjectReader]) -> Examined:
    """Open every object of a unit that a reader covers and check its signature; of DICOM also the header.

    Images of a sequence may differ in size: Encord resizes them.
    """
    size, mime_type, series = 0, None, None
    for url in urls:
        reader = next((reader for reader in readers if reader.covers(url)), None)
        if reader is None:
            return Examined()
        try:
            found = reader.read_head(url)
            whole = found.size <= len(found.head)
            own = recognise(kind, found.head, whole=whole)
            _check_sequence(item_type, own)
            if kind == "dicom_series":
                series = same_series(series, series_of(found.head, whole=whole))
        except (ObjectRefusedError, HeaderRefusedError) as error:
            return Examined(failure=Failure(str(error), url))
        size += found.size
        mime_type = mime_type or own
    return Examined(size, mime_type)


def _check_sequence(item_type: str, mime_type: str) -> None:
    if item_type == "imageSequence" and mime_type == "image/tiff":
        raise ObjectRefusedError("Invalid image: a sequence accepts no TIFF")


def recognise(kind: str, head: bytes, *, whole: bool) -> str:
    """MIME type of an object listed under ``kind``.

    Raises:
        ObjectRefusedError: if the bytes are not of that kind.
    """
    noun, expected, recogniser = _KINDS[kind]
    if not head:
        raise ObjectRefusedError(f"Invalid {noun}: the object is empty")
    mime_type = recogniser(head, whole)
    if mime_type is None:
        raise ObjectRefusedError(f"Invalid {noun}: the object does not begin like {expected}")
    return mime_type


_IMAGES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
)
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip")
_AVIF_BRANDS = (b"avif", b"avis")
_NIFTI_HEADER_BYTES = (348, 540)
_MPEG_SYNC = 0xE0


def _starts(head: bytes, table: Sequence[tuple[bytes, str]]) -> str | None:
    return next((mime_type for magic, mime_type in table if head.startswith(magic)), None)


def _image(head: bytes, _whole: bool) -> str | None:  # noqa: FBT001 - all recognisers share one signature
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] in _AVIF_BRANDS:
        return "image/avif"
    return _starts(head, _IMAGES)


def _video(head: bytes, _whole: bool) -> str | None:  # noqa: FBT001 - all recognisers share one signature
    if head[4:8] == b"ftyp" and head[8:12] not in _AVIF_BRANDS:
        return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"
    if head[4:8] in _QUICKTIME_ATOMS:
        return "video/quicktime"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    return None


def _audio(head: bytes, _whole: bool) -> str | None:  # noqa: FBT001 - all recognisers share one signature
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "audio/x-wav"
    if head.startswith(b"ID3") or (head[0] == 0xFF and len(head) > 1 and head[1] & _MPEG_SYNC == _MPEG_SYNC):  # noqa: PLR2004 - MPEG frame sync
        return "audio/mpeg"
    return _starts(head, ((b"fLaC", "audio/flac"),))


def _pdf(head: bytes, _whole: bool) -> str | None:  # noqa: FBT001 - all recognisers share one signature
    return _starts(head, ((b"%PDF", "application/pdf"),))


def _text(head: bytes, whole: bool) -> str | None:  # noqa: FBT001 - all recognisers share one signature
    if b"\0" in head:
        return None
    try:
        # The cut at 64 KB may fall inside a character, so the end is only final when the whole object was read.
        codecs.getincrementaldecoder("utf-8")().decode(head, final=whole)
    except UnicodeDecodeError:
        return None
    return "text/plain"


def _nifti(head: bytes, _whole: bool) -> str | None:  # noqa: FBT001 - all recognisers share one signature
    mime_type = "application/x-nifti"
    if head.startswith(b"\x1f\x8b"):
        mime_type = "application/gzip"
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 4)
        except zlib.error:
            return None
    if len(head) < 4:  # noqa: PLR2004 - sizeof_hdr is an int32
        return None
    sizes = struct.unpack_from("<i", head)[0], struct.unpack_from(">i", head)[0]
    return mime_type if any(size in _NIFTI_HEADER_BYTES for size in sizes) else None


def _dicom(head: bytes, _whole: bool) -> str | None:  # noqa: FBT001 - all recognisers share one signature
    return "application/dicom" if head[128:132] == b"DICM" else None


_IMAGE_TYPES = "a JPEG, PNG, WebP, BMP, TIFF or AVIF file"
_KINDS = {
    "images": ("image", _IMAGE_TYPES, _image),
    "image_groups": ("image", _IMAGE_TYPES, _image),
    "videos": ("video", "an MP4, MOV, WebM or Matroska file", _video),
    "audio": ("audio", "a WAV, MP3 or FLAC file", _audio),
    "pdfs": ("PDF", "a PDF file", _pdf),
    "text": ("text", "UTF-8 text", _text),
    "nifti": ("NIfTI", "a NIfTI-1 or NIfTI-2 file", _nifti),
    "dicom_series": ("DICOM", "a DICOM file", _dicom),
}
