"""A chunk in the typed form as the SDK's own models, which say before it is sent what Encord would refuse.

What does not belong here: what the chunk says (``manifest/typed.py``) and sending it (``gateway.py``).
"""

from __future__ import annotations

from typing import Any

from encord.exceptions import EncordException
from encord.orm.storage import DataUploadItems

from registration_pipeline.bounds.texts import shortened
from registration_pipeline.errors import PermanentError

_REFUSED = "as dataItems, so that nothing was sent. Update the encord package, or set submit_as: json"


def as_sent_by_the_sdk(data_items: dict[str, Any]) -> DataUploadItems:
    """Return the items as the SDK's models, if it would send just these.

    The SDK drops fields that it does not know, without a word: what it would send is therefore compared.

    Raises:
        PermanentError: it refuses them, or would send something else.
    """
    try:
        items = DataUploadItems.from_dict(_with_untitled_files(data_items))
    except (EncordException, ValueError) as error:
        text = shortened(" ".join(str(error).split()))
        raise PermanentError(f"the SDK refuses the chunk ({text}) {_REFUSED}") from error
    sent = items.to_dict()
    if sent != data_items:
        place = _first_difference("dataItems", data_items, sent)
        raise PermanentError(f"the SDK would not send {place} as it is {_REFUSED}")
    return items


def _with_untitled_files(data_items: dict[str, Any]) -> dict[str, Any]:
    """Return the items with what the model of a DICOM file wants to be given and then does not send: no title."""
    series = [
        {**one, "dicomFiles": [{"title": None, **file} for file in one["dicomFiles"]]}
        for one in data_items["dicomSeries"]
    ]
    return {**data_items, "dicomSeries": series}


def _first_difference(place: str, given: Any, sent: Any) -> str:
    """Return the place of the first thing that two parsed JSON values do not share."""
    if isinstance(given, dict) and isinstance(sent, dict):
        pairs = [(f"{place}.{key}", given.get(key, ...), sent.get(key, ...)) for key in {**given, **sent}]
    elif isinstance(given, list) and isinstance(sent, list) and len(given) == len(sent):
        pairs = [(f"{place}[{index}]", *both) for index, both in enumerate(zip(given, sent, strict=True))]
    else:
        return place
    return next((_first_difference(*pair) for pair in pairs if pair[1] != pair[2]), place)
