"""What Google's client raises, as errors that say which setting to change.

What does not belong here: retries, which the client does, and errors of the state (``state/bucket.py``).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from requests.exceptions import JSONDecodeError, RequestException, SSLError

from registration_pipeline.errors import (
    CredentialsError,
    HaltError,
    ListingError,
    NotFoundError,
    PermissionDeniedError,
    ServiceUnavailableError,
)
from registration_pipeline.foreign_text import masked

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG_IN = (
    "Set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run `gcloud auth application-default login`, or run where a "
    "service account is attached"
)
# As the JSON API says it: "x@y.iam.gserviceaccount.com does not have storage.objects.list access to …".
_REFUSED_PRINCIPAL = re.compile(
    r"(?P<who>\S+@\S+|Anonymous caller) does not have (?P<permission>storage\.[\w.]+) access"
)
_TOO_MANY_REQUESTS, _SERVER_ERROR, _TIMED_OUT = 429, 500, 408


@contextmanager
def gcs_errors(*, bucket: str, source: str, endpoint: str) -> Iterator[None]:
    """Translate the exceptions of google-cloud-storage, google-auth and requests for one bucket.

    Texts about credentials quote only the kind of failure, so that no token and no key gets into a log.

    Args:
        bucket: its name.
        source: the source's name, for the settings to change.
        endpoint: that is asked.

    Raises:
        HaltError: the subclass that fits.
    """
    try:
        yield
    except RetryError as error:
        # What was retried until the time was up is what the user must know.
        cause = error.cause
        raise _translated(cause if isinstance(cause, Exception) else error, bucket, source, endpoint) from None
    except (GoogleAPICallError, GoogleAuthError, RequestException, ConnectionError) as error:
        raise _translated(error, bucket, source, endpoint) from None


def _translated(error: Exception, bucket: str, source: str, endpoint: str) -> HaltError:
    if isinstance(error, GoogleAPICallError) and not isinstance(error, RetryError):
        return _from_answer(error, bucket, source)
    if isinstance(error, DefaultCredentialsError):
        return CredentialsError(f"There are no Google credentials for bucket {bucket}. {_LOG_IN}.")
    if isinstance(error, GoogleAuthError) and not isinstance(error, (TransportError, RetryError)):
        return CredentialsError(
            f"The Google credentials for bucket {bucket} can't be used ({type(error).__name__}). {_LOG_IN}."
        )
    if isinstance(error, JSONDecodeError):
        return not_google(bucket, source)
    if isinstance(error, SSLError):
        return ServiceUnavailableError(
            f"No secure connection to bucket {bucket} at {endpoint}. Check http or https in "
            f"`sources.{source}.storage.endpoint_url`, and REQUESTS_CA_BUNDLE for a certificate of your own."
        )
    return ServiceUnavailableError(
        f"Google Cloud Storage can't be reached at {endpoint} for bucket {bucket} ({type(error).__name__}), after retries. "
        f"Check the network and `sources.{source}.storage.endpoint_url`, then run again."
    )


def not_google(bucket: str, source: str) -> ListingError:
    """Return the error for an answer that Google's JSON API never gives."""
    return ListingError(
        f"What answers for bucket {bucket} does not speak Google's JSON API. Check "
        f"`sources.{source}.storage.endpoint_url`."
    )


def _from_answer(error: GoogleAPICallError, bucket: str, source: str) -> HaltError:
    status = int(error.code or 0)
    if status == 404:  # noqa: PLR2004 - HTTP's numbers are clearer than names here
        return NotFoundError(
            f"Bucket {bucket} does not exist, or not at this endpoint. Fix `sources.{source}.uri`, or "
            f"`sources.{source}.storage.endpoint_url`."
        )
    if status == 401:  # noqa: PLR2004
        return CredentialsError(f"Google refused the credentials for bucket {bucket} (401). {_LOG_IN}.")
    if status == 403:  # noqa: PLR2004
        return _forbidden(error, bucket)
    if status in {_TOO_MANY_REQUESTS, _TIMED_OUT} or status >= _SERVER_ERROR:
        return ServiceUnavailableError(
            f"Bucket {bucket} gave no usable reply ({status}), after retries. Run again later; if it lasts, check "
            f"`sources.{source}.storage.endpoint_url`."
        )
    return ListingError(
        f"Bucket {bucket} refused to be listed ({status}: {masked(str(error.message))}). Check `sources.{source}.uri` and "
        f"`sources.{source}.storage`."
    )


def _forbidden(error: GoogleAPICallError, bucket: str) -> PermissionDeniedError:
    found = _REFUSED_PRINCIPAL.search(str(error.message))
    who = found["who"] if found else "these credentials"
    permission = found["permission"] if found else "storage.objects.list"
    return PermissionDeniedError(
        f"Not allowed to list bucket {bucket}: {who} lacks {permission}. Grant the role Storage Object Viewer "
        f"(roles/storage.objectViewer) on gs://{bucket} to it, or use other credentials: GOOGLE_APPLICATION_CREDENTIALS "
        "names their key file."
    )
