"""What botocore raises, as errors that say which setting to change.

What does not belong here: retries, which the client does, and errors of the state (``state/bucket.py``).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import botocore.exceptions
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    RefreshWithMFAUnsupportedError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

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
    from collections.abc import Iterator, Mapping

# Codes: Amazon S3 API reference, "Error responses"; a HEAD has no body, so its status is used as the code.
_NO_BUCKET = {"NoSuchBucket", "404", "NotFound", "InvalidBucketName"}
_NOT_ALLOWED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403", "Forbidden", "UnauthorizedAccess"}
_BAD_CREDENTIALS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
    "401",
}
_OTHER_REGION = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "TemporaryRedirect",
    "301",
    "307",
}
_NOT_NOW = {"InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling"}
_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500
_PRINCIPAL = re.compile(r"User: (?P<principal>arn:\S+) is not authorized")
"""How AWS says since 2023 who was refused; S3-compatible stores don't (S3 user guide, "Troubleshoot access denied")."""

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    RefreshWithMFAUnsupportedError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    getattr(botocore.exceptions, "LoginError", SSOError),  # `aws login`; botocore before 1.41 does not have it
)


@contextmanager
def s3_errors(*, bucket: str, source: str, permission: str = "s3:ListBucket") -> Iterator[None]:
    """Translate botocore's exceptions for one bucket.

    The texts of refused credentials quote only the code, so that no key id or signature gets into a log.

    Args:
        bucket: its name.
        source: the source's name, for the settings to change.
        permission: what the request needs.

    Raises:
        HaltError: the subclass that fits.
    """
    try:
        yield
    except ClientError as error:
        raise _from_answer(error, bucket, source, permission) from None
    except _NO_CREDENTIALS as error:
        raise CredentialsError(
            f"There are no usable AWS credentials for bucket {bucket} ({type(error).__name__}). Log in again, or set "
            f"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile in `sources.{source}.storage.profile`."
        ) from None
    except ParamValidationError:
        raise NotFoundError(f"{bucket!r} can't be a bucket's name. Fix `sources.{source}.uri`.") from None
    except ResponseParserError:
        raise ListingError(
            f"What answers for bucket {bucket} does not speak S3, or can't encode keys with control characters. Check "
            f"`sources.{source}.storage.endpoint_url`."
        ) from None
    except RecursionError:
        # botocore asks HeadBucket for the region; answered by another redirect without a region, it asks without end.
        raise NotFoundError(
            f"Bucket {bucket} is in another region. Set `sources.{source}.storage.region` to the bucket's region."
        ) from None
    except SSLError as error:
        raise ServiceUnavailableError(
            f"No secure connection to bucket {bucket}{_endpoint_of(error)}. Check http or https in "
            f"`sources.{source}.storage.endpoint_url`, and AWS_CA_BUNDLE for a certificate of your own."
        ) from None
    except BotoCoreError as error:
        raise ServiceUnavailableError(
            f"The endpoint of bucket {bucket}{_endpoint_of(error)} can't be reached ({type(error).__name__}). Check the "
            f"network and `sources.{source}.storage.endpoint_url` and `sources.{source}.storage.region`, then run again."
        ) from None
    except OSError as error:
        # botocore reads the files of some credentials only when it signs, and passes on what Python raises.
        raise CredentialsError(
            f"{error.filename or 'A file'}, which the AWS credentials or certificates for bucket {bucket} need, can't be used "
            f"({error.strerror or type(error).__name__}). Correct AWS_WEB_IDENTITY_TOKEN_FILE, "
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, AWS_CA_BUNDLE or the profile that names it."
        ) from None
    except JSONDecodeError:
        raise CredentialsError(
            f"What gives the AWS credentials for bucket {bucket} did not answer in JSON. Run what `credential_process` in the "
            "AWS configuration names by hand and fix it, or log in in another way."
        ) from None


def _endpoint_of(error: BotoCoreError) -> str:
    """Return which host was asked, as a clause; nothing where botocore does not say it."""
    parts = urlsplit(str(getattr(error, "kwargs", {}).get("endpoint_url") or ""))
    return f" at {parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else ""


def require_listing(answer: Mapping[str, Any], *, bucket: str, source: str) -> None:
    """Refuse what botocore makes of a body that is not a listing: an answer without anything in it.

    A body cut right after the headers, or any other XML, would pass for an empty bucket or folder.

    Args:
        answer: what ``list_objects_v2`` or ``list_object_versions`` returned.
        bucket: its name.
        source: the source's name, for the settings to change.

    Raises:
        ListingError: it is none.
    """
    if "IsTruncated" not in answer and "Name" not in answer:
        raise ListingError(
            f"What answers for bucket {bucket} gave no listing: the line was cut, or it does not speak S3. Nothing was "
            f"recorded. Run again; if it happens again, check `sources.{source}.storage.endpoint_url`."
        )


def _from_answer(error: ClientError, bucket: str, source: str, permission: str) -> HaltError:
    answer = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    metadata = answer.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    if code in _NO_BUCKET:
        return NotFoundError(f"Bucket {bucket} does not exist ({code}). Fix `sources.{source}.uri`.")
    if code in _OTHER_REGION:
        return _other_region(error, bucket, source)
    if code in _BAD_CREDENTIALS:
        return _refused(code, bucket, source)
    if code in _NOT_ALLOWED:
        found = _PRINCIPAL.search(str(answer.get("Error", {}).get("Message", "")))
        principal = found["principal"] if found else "these credentials"
        return PermissionDeniedError(
            f"Not allowed to list bucket {bucket} ({code}). Grant {permission} on arn:aws:s3:::{bucket} to {principal}, or "
            f"name other credentials in `sources.{source}.storage.profile`."
        )
    if code in _NOT_NOW or status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS:
        return ServiceUnavailableError(
            f"Bucket {bucket} gave no usable reply ({code}), after retries. Run again later; if it lasts, check "
            f"`sources.{source}.storage.endpoint_url`."
        )
    words = masked(str(answer.get("Error", {}).get("Message", "")))
    return ListingError(
        f"Bucket {bucket} refused to be listed ({code}: {words}). Check "
        f"`sources.{source}.uri` and `sources.{source}.storage`."
    )


def _refused(code: str, bucket: str, source: str) -> CredentialsError:
    if code in {"RequestTimeTooSkewed", "RequestExpired"}:
        return CredentialsError(
            f"S3 refused the signature for bucket {bucket} for its time ({code}). Set this machine's clock, which is "
            f"the usual cause; else check the credentials of `sources.{source}.storage.profile`."
        )
    return CredentialsError(
        f"S3 refused the credentials for bucket {bucket} ({code}). Log in again, renew AWS_ACCESS_KEY_ID, "
        "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or name another profile in "
        f"`sources.{source}.storage.profile`."
    )


def _other_region(error: ClientError, bucket: str, source: str) -> NotFoundError:
    answer = error.response
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region") or dict(answer.get("Error", {})).get("Region")
    where = f"is in region {region}" if region else "is in another region"
    value = region or "the bucket's region"
    return NotFoundError(f"Bucket {bucket} {where}. Set `sources.{source}.storage.region` to {value}.")
