"""Whether a page of an S3 listing is the last one: it has to say so in the words of S3, and must not contradict itself.

A page that was cut and closed again on its way, or one of a store that writes ``True``, would else end the listing: what
follows would be missing in the inventory, and count as deleted. What does not belong here: the entries (``page.py``), and
whether tokens lead anywhere (``requests.py``).
"""

from __future__ import annotations

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
_IS_LAST: Final = {"true": False, "false": True}
_OF_OPERATION: Final = {"ListObjectsV2": _NEXT, "ListObjectVersions": "NextKeyMarker"}
_OK: Final = 200


class UnclearEndError(PageError):
    """A page does not say, or not clearly, whether there is more. The text is a clause that says why."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a page says beside its entries.

    Args:
        is_url_encoded: its keys are.
        following: the token of the next page; None if this is the last.
    """

    is_url_encoded: bool
    following: str | None


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
    said = said_of(root, (_SAYS_MORE, _NEXT, _ENCODING))
    return Frame(is_url_encoded=said.get(_ENCODING) == "url", following=following(said))


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
