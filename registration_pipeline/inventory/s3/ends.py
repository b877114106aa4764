"""What a page of an S3 listing says of itself: whether it is the last one, and how many entries it has.

It has to say so in the words of S3, and must not contradict itself. A page that was cut and closed again on its way, or one
of a store that writes ``True``, would else end the listing: what follows would be missing in the inventory, and count as
deleted; so would entries that something on the way took out. What does not belong here: the entries (``page.py``), and
whether tokens lead anywhere (``requests.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from registration_pipeline.inventory.s3.page import PageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mypy_boto3_s3 import S3Client

_SAYS_MORE: Final = "IsTruncated"
_NEXT: Final = "NextContinuationToken"
_ENCODING: Final = "EncodingType"
_COUNT: Final = "KeyCount"
_FOLDER: Final = "CommonPrefixes"
_MOST_SHOWN: Final = 40
_NUMBER: Final = re.compile("[0-9]{1,18}")
_IS_LAST: Final = {"true": False, "false": True}
_OF_OPERATION: Final = {"ListObjectsV2": _NEXT, "ListObjectVersions": "NextKeyMarker"}
_OK: Final = 200


class UnclearEndError(PageError):
    """A page does not say, or not clearly, whether there is more. The text is a clause that says why."""


class KeyCountError(PageError):
    """A page has another number of entries than it says. The text is a clause with both numbers."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a page says beside its entries.

    Args:
        is_url_encoded: its keys are.
        following: the token of the next page; None if this is the last.
        count: how many entries it has, as written; None if it does not say.
        folders: how many of them are common prefixes.
    """

    is_url_encoded: bool
    following: str | None
    count: str | None = None
    folders: int = 0

    def require_count(self, objects: int) -> None:
        """Refuse a page from which entries are missing.

        Args:
            objects: that were read of it.

        Raises:
            KeyCountError: it says another number.
        """
        if self.count != str(objects):  # else there is nothing to find out, as for nearly every page
            _require_count(self.count, objects, self.folders)


def require_entries(page: Mapping[str, Any]) -> None:
    """Refuse a page of ListObjectsV2, as botocore returns it, from which entries are missing.

    Raises:
        KeyCountError: it says another number.
    """
    _require_count(page.get(_COUNT), len(page.get("Contents", ())), len(page.get(_FOLDER, ())))


def _require_count(said: str | int | None, objects: int, folders: int) -> None:
    # Amazon counts the common prefixes, some others don't. A listing without a delimiter, as inventories are, has none.
    text = str(said if said is not None else "").strip()
    if not text:
        return
    if not _NUMBER.fullmatch(text):
        raise KeyCountError(f"the page's {_COUNT} is {text[:_MOST_SHOWN]!r} and no number")
    if int(text) not in {objects, objects + folders}:
        raise KeyCountError(f"the page holds {objects + folders} entries, and its {_COUNT} says {int(text)}")


def said_of(root: ET.Element, names: Iterable[str]) -> dict[str, str]:
    """Return the texts of those children of an element that have one of some names.

    Raises:
        UnclearEndError: there are two of one name.
    """
    wanted, said = {*names}, dict[str, str]()
    for child in root:
        name = child.tag.rpartition("}")[2]
        if name not in wanted:
            continue
        if name in said:
            raise UnclearEndError(f"the page has {name} twice")
        said[name] = child.text or ""
    return said


def following(said: Mapping[str, str], token: str = _NEXT) -> str | None:
    """Return where the next page begins; None: the page is the last.

    Args:
        said: by the page.
        token: the name of what says it.

    Raises:
        UnclearEndError: the page leaves that open.
    """
    text, where = said.get(_SAYS_MORE), said.get(token) or None
    if text is None:
        raise UnclearEndError(f"the page does not say whether it is the last one ({_SAYS_MORE} is missing)")
    if text not in _IS_LAST:
        raise UnclearEndError(f"{_SAYS_MORE} of the page is {text!r} and neither 'true' nor 'false'")
    if _IS_LAST[text] and where is not None:
        raise UnclearEndError(f"the page says that it is the last one, and where to go on ({token})")
    if not _IS_LAST[text] and where is None:
        raise UnclearEndError(f"the page says that there is more, but not where to go on ({token})")
    return where


def read_frame(rest: bytes) -> Frame:
    """Read what a page of ListObjectsV2 says beside its entries.

    Raises:
        PageError: it is not XML, or leaves open what it is.
    """
    try:
        root = ET.fromstring(rest)  # noqa: S314 - botocore parses the same bytes with the same parser
    except ET.ParseError as error:
        raise PageError(f"it is not XML ({error})") from None
    said = said_of(root, (_SAYS_MORE, _NEXT, _ENCODING, _COUNT))
    is_in_folders = _FOLDER.encode("ascii") in rest
    folders = sum(child.tag.rpartition("}")[2] == _FOLDER for child in root) if is_in_folders else 0
    return Frame(said.get(_ENCODING) == "url", following(said), said.get(_COUNT), folders)


def require_clear_ends(client: S3Client) -> None:
    """Make listings through a client refuse pages that leave open whether there is more. botocore takes them for the last.

    Its requests then raise UnclearEndError, which is a ValueError.
    """
    for operation in _OF_OPERATION:
        # Under one id: once for each client, however many list with it.
        client.meta.events.register(
            f"before-parse.s3.{operation}", _require_clear_end, unique_id=f"ends of {operation}"
        )


def _require_clear_end(*, operation_model: Any, response_dict: Mapping[str, Any], **_: object) -> None:
    if response_dict["status_code"] != _OK:
        return
    token = _OF_OPERATION[operation_model.name]
    try:
        root = ET.fromstring(response_dict["body"])  # noqa: S314 - botocore parses the same bytes with the same parser
    except ET.ParseError:
        return  # which botocore notices, and asks again
    said = said_of(root, (_SAYS_MORE, token, "Name"))
    if said.keys() & {_SAYS_MORE, "Name"}:  # else it is an error, or not S3
        following(said, token)
