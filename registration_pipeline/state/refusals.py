"""What a bucket's refusal says, and what to do about it, from obstore's exceptions.

Only the service's code or HTTP status is quoted: obstore's own text holds request URLs and response bodies, which can hold
signatures and key ids. What does not belong here: which exception of ours it becomes (``bucket.py``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from obstore.exceptions import InvalidPathError, PermissionDeniedError, UnauthenticatedError

if TYPE_CHECKING:
    from obstore.exceptions import BaseError

_NO_BUCKET: Final = {"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"}
_NO_ROOM: Final = ("HTTP 507", "QuotaExceeded", "StorageFull")
_OTHER_REGION: Final = ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException")
_RENEW: Final = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired")
"""Of AWS, with status 400 (S3 API reference, "Error responses"); the first begins ExpiredTokenException, too."""
_STRANGE_NAME: Final = re.compile(r'invalid path: (?:Error parsing )?Path "(.*?)"(?: contained|: )', re.DOTALL)
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_STATUS: Final = re.compile(r"status code: (\d{3})")
_ASKED: Final = re.compile(r"Error performing [A-Z]+ (https?)://(?:[^/?#\s@]*@)?([^/?#\s@]+)")
_VARIABLES: Final = {
    "s3": "AWS_REGION and AWS_ENDPOINT_URL (plain http beyond this machine needs AWS_ALLOW_HTTP=true)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, and STORAGE_EMULATOR_HOST, which leads to another server than Google's",
    "az": "AZURE_STORAGE_ENDPOINT and AZURE_STORAGE_CONNECTION_STRING, and the account's name",
}
_CREDENTIALS: Final = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_CONNECTION_STRING",
}


def is_without_bucket(error: BaseException) -> bool:
    """Return whether the store said that there is no such bucket; a listing finds nothing missing but that."""
    text = str(error)
    is_missing_list = "list request" in text and "404" in _STATUS.findall(text)
    return is_missing_list or not _NO_BUCKET.isdisjoint(_CODE.findall(text))


def is_undecided(error: BaseException) -> bool:
    """Return whether S3 refused a conditional write because of another request under way, and not because of a file.

    Its API reference of PutObject: 409 ConditionalRequestConflict, "retry the upload".
    """
    return "ConditionalRequestConflict" in _CODE.findall(str(error))


def undecided_text(location: str) -> str:
    """Return what is said where ``is_undecided`` holds again and again."""
    return (
        f"The store did not write {location} (ConditionalRequestConflict), because of other requests for the same name, also "
        "when asked again. Nothing is lost; run again."
    )


def no_bucket_text(uri: str) -> str:
    """Return what is said where there is no bucket.

    Args:
        uri: of the state.
    """
    return (
        f"The bucket of the state, {uri}, does not exist. Create it, or fix `state` in registration.yaml, or the "
        "endpoint in the environment."
    )


def refusal_text(uri: str, location: str, error: BaseError) -> str:
    """Return what a refusal says and what to do about it.

    Args:
        uri: of the state.
        location: of the file that was asked for.
        error: obstore's.
    """
    text, said, scheme = str(error), _said(error), uri.partition(":")[0]
    if is_without_bucket(error):
        return no_bucket_text(uri)
    if "token request" in text or "169.254.169.254" in text:
        return (
            f"There are no credentials for {location} in the environment, and this machine's own identity can't be asked"
            f"{said}. Set {_CREDENTIALS.get(scheme, 'them')}, or run where a service account or managed identity is attached."
        )
    if isinstance(error, InvalidPathError) and (strange := _STRANGE_NAME.search(text)) is not None:
        return (
            f"{location} can't be listed: the bucket has an object {strange[1]!r}, which is a name that can't be asked for. "
            "This program did not write it. Delete that object with the tools of the store (`aws s3 rm`), then run again."
        )
    return _specific(location, scheme, text, said) or _general(location, scheme, error, said)


def _specific(location: str, scheme: str, text: str, said: str) -> str | None:
    """Return what is said where the service's code says what is wrong."""
    if "RequestTimeTooSkewed" in said:
        return f"The store refuses access to {location}{said}: this machine's clock is wrong. Set it, best by NTP."
    if any(code in said for code in _RENEW):
        return (
            f"The store refuses access to {location}{said}: the credentials in the environment are not valid any more. "
            f"Renew {_CREDENTIALS.get(scheme, 'them')}, and AWS_SESSION_TOKEN where they have one, then run again."
        )
    if any(code in said for code in _OTHER_REGION) or "incorrectly configured region" in text:
        return f"The bucket of {location} is in another region{said}. Set AWS_REGION to the region of the bucket."
    if any(word in said for word in _NO_ROOM):
        return (
            f"The store has no room for {location}{said}. Free space or raise the quota there, or set "
            "`state` in registration.yaml to a place with room."
        )
    if "HTTP 429" in said or "HTTP 5" in said:
        return (
            f"The store did not serve {location}{said}: it is busy or out of order, also when asked again. "
            "Nothing is lost; run again when it works."
        )
    return None


def _general(location: str, scheme: str, error: BaseError, said: str) -> str:
    # Without credentials the provider's metadata service answers 401 or 403, which obstore files as generic.
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or "HTTP 401" in said or "HTTP 403" in said:
        return (
            f"The store refuses access to {location}{said}. The state needs permission to list, read, "
            "write and delete there: renew the credentials in the environment or extend their policy. If both are right, a "
            "proxy on the way changes the requests, whose signature then does not fit."
        )
    asked = _ASKED.search(str(error))
    at = f" at {asked[1]}://{asked[2]}" if asked else ""
    return (
        f"The store{at} did not serve {location}{said}. Check the network and `state` in registration.yaml; also "
        f"{_VARIABLES.get(scheme, 'the variables of the provider')}."
    )


def _said(error: BaseException) -> str:
    text = str(error)
    words = [*_CODE.findall(text)[:1], *(f"HTTP {status}" for status in _STATUS.findall(text)[:1])]
    if not words and "certificate" in text:
        words = ["its certificate is not accepted here"]
    elif not words and ("InvalidContentType" in text or "corrupt message" in text):
        words = ["it does not speak https"]
    elif not words and "error sending request" in text:
        words = ["no connection"]
    return f" ({', '.join(words)})" if words else ""
