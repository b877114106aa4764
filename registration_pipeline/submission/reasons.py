"""From Encord's free text to a reason from the closed set.

Encord gives no error codes for units, so the text is all there is; what no rule recognises is ``OTHER`` and quoted in full.
"""

from __future__ import annotations

import re

from registration_pipeline.objects import FailureReason

# First match wins. Permission comes before "not found", because stores answer 403 for objects that may not be seen.
_RULES: tuple[tuple[re.Pattern[str], FailureReason], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"\b403\b|forbidden|access denied|permission|unauthori[sz]ed|\b401\b", FailureReason.UNREADABLE),
        (r"\b404\b|not found|no such key|does not exist", FailureReason.NOT_FOUND),
        (
            r"\b(429|50[0234])\b|time[d]? ?out|temporar|try again|internal error|unavailable",
            FailureReason.SERVICE_ERROR,
        ),
        (
            r"invalid|corrupt|decode|truncated|malformed|unsupported|not a valid|unable to (?:read|parse)|could not parse",
            FailureReason.INVALID_FILE,
        ),
    )
)


def classify_message(message: str) -> FailureReason:
    """Return the reason that Encord's words mean."""
    return next((reason for pattern, reason in _RULES if pattern.search(message)), FailureReason.OTHER)
