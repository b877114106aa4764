"""Which answers to the start of a job are Encord's own refusal, and not that of something in between that passed it on.

The rule (decision 025): the form of an answer proves nothing, because gateways write JSON with a ``message`` too. What the
answer says does: only who has read the request's body can quote it, and the application refuses before it starts a job.

What does not belong here: what a refusal means (``errors.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

_PLACES: Final = ("externalFiles", "dataItems", "integrationHash")
"""Keys of the body of a start. They are in no path and in no header."""

_URL_KEY: Final = "objectUrl"
_ERROR_KEYS: Final = frozenset({"message", "detail"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that is not a success, and the body that it answers.

    Args:
        content_type: of the answer.
        body: of the answer.
        sent: the request's body.
    """

    content_type: str
    body: bytes
    sent: bytes

    @property
    def is_own_refusal(self) -> bool:
        """Return whether the answer has the form of Encord's API and quotes the request's body."""
        document = _json(self.body) if "json" in self.content_type else None
        if not isinstance(document, dict) or not document or not document.keys() <= _ERROR_KEYS:
            return False
        said = document.get("message") or document.get("detail")
        return _names_a_place(said) if isinstance(said, list) else isinstance(said, str) and self._is_quoted(said)

    def _is_quoted(self, text: str) -> bool:
        sent = _json(self.sent)
        if not isinstance(sent, dict):
            return False
        if any(place in text for place in _PLACES):
            return True
        integration = sent.get("integrationHash")
        return (isinstance(integration, str) and integration in text) or any(url in text for url in _urls(sent))


def _names_a_place(errors: list[Any]) -> bool:
    """Return whether these are errors of the application's own check of the body, each with the place of a key."""
    places = [error.get("loc") for error in errors if isinstance(error, dict) and "msg" in error]
    return len(places) == len(errors) > 0 and all(
        isinstance(place, list) and place[:1] == ["body"] and place[1:2] and place[1] in _PLACES for place in places
    )


def _urls(sent: dict[str, Any]) -> list[str]:
    files = sent.get("externalFiles")
    listed = [units for units in files.values() if isinstance(units, list)] if isinstance(files, dict) else []
    entries = [unit for units in listed for unit in units if isinstance(unit, dict)]
    found = [entry[key] for entry in entries for key in entry if key.startswith(_URL_KEY)]
    return [url for url in found if isinstance(url, str) and "://" in url]


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
