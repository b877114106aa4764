"""The forms of an object URL: another one that means the same, and what duplicates are recognised by.

What does not belong here: which URLs a manifest may hold.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes, unquote_to_bytes

from registration_pipeline.sandbox.config import UrlMatching
from registration_pipeline.sandbox.jobs.manifests import KINDS

if TYPE_CHECKING:
    from registration_pipeline.sandbox.jobs.manifests import SubmittedUnit

_UNESCAPED = "/!$&'()*+,;=:@~"


def normalise_url(url: str) -> str:
    """The same URL in another percent-encoding: reserved characters that a path may hold unescaped are unescaped.

    Whether Encord shows the URL exactly as submitted is not known, so the strings must not be compared.
    """
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if not separator or "?" in path or "#" in path:
        return url
    return f"{scheme}://{authority}{slash}{quote_from_bytes(unquote_to_bytes(path), safe=_UNESCAPED)}"


def match_key(unit: SubmittedUnit, matching: UrlMatching) -> str:
    """What duplicates of the unit are recognised by: its URL, or for several objects a digest of all their URLs."""
    if matching is UrlMatching.EXACT:
        return unit.identity
    urls = [normalise_url(url) for url in unit.urls]
    return "group:" + sha256("\n".join(urls).encode()).hexdigest() if KINDS[unit.kind].grouped else urls[0]
