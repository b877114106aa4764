"""The retry table covers the installed SDK, and is applied to exceptions as the SDK raises them."""

from __future__ import annotations

import inspect

import encord.exceptions
import pytest
import requests
import urllib3

from registration_pipeline.errors import (
    AmbiguousError,
    CredentialsError,
    NotFoundError,
    PayloadTooLargeError,
    PermanentError,
    PermissionDeniedError,
    ThrottledError,
    TransientError,
)
from registration_pipeline.submission.calls.retry_table import ERROR_TABLE, Fault, fault_of
from registration_pipeline.submission.encord.errors import translate


def sdk_exception_classes() -> list[str]:
    members = inspect.getmembers(encord.exceptions, inspect.isclass)
    return [name for name, member in members if issubclass(member, Exception)]


def test_every_exception_class_of_the_installed_sdk_is_in_the_table() -> None:
    assert set(sdk_exception_classes()) - set(ERROR_TABLE) == set()


def test_the_table_names_no_class_that_the_installed_sdk_lacks() -> None:
    assert set(ERROR_TABLE) - set(sdk_exception_classes()) == set()


def test_an_unknown_exception_leaves_a_start_in_doubt_and_lets_a_read_be_repeated() -> None:
    assert fault_of("NeverHeardOf", is_start=True) is Fault.AMBIGUOUS
    assert fault_of("NeverHeardOf", is_start=False) is Fault.TRANSIENT


def refused_connection() -> Exception:
    reason = urllib3.exceptions.NewConnectionError(None, "refused")  # type: ignore[arg-type]
    cause = requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", reason))  # type: ignore[arg-type]
    return raised_from(encord.exceptions.RequestException("boom"), cause)


def cut_connection() -> Exception:
    cause = requests.ConnectionError(urllib3.exceptions.ProtocolError("cut"))
    return raised_from(encord.exceptions.RequestException("boom"), cause)


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


STARTS = [
    pytest.param(refused_connection(), TransientError, id="connection refused was never sent"),
    pytest.param(cut_connection(), AmbiguousError, id="connection cut may have been sent"),
    pytest.param(encord.exceptions.RateLimitExceededError(retry_after=7), ThrottledError, id="throttled"),
    pytest.param(encord.exceptions.UnknownException("502"), AmbiguousError, id="gateway error"),
    pytest.param(encord.exceptions.UnknownException([{"loc": []}]), PermanentError, id="unprocessable"),  # type: ignore[arg-type]
    pytest.param(encord.exceptions.InvalidArgumentsError("bad"), PermanentError, id="bad request"),
    pytest.param(encord.exceptions.PayloadTooLargeError("big"), PayloadTooLargeError, id="too large"),
    pytest.param(encord.exceptions.AuthenticationError("who"), CredentialsError, id="key refused"),
    pytest.param(encord.exceptions.AuthorisationError("no"), PermissionDeniedError, id="not allowed"),
    pytest.param(encord.exceptions.ResourceNotFoundError("gone"), NotFoundError, id="folder or integration gone"),
    pytest.param(ValueError("badly formed hexadecimal UUID string"), AmbiguousError, id="reply is no UUID"),
    pytest.param(encord.exceptions.EncordException("schema"), AmbiguousError, id="reply fails validation"),
]


@pytest.mark.parametrize(("error", "expected"), STARTS)
def test_a_start_is_repeated_only_when_it_certainly_had_no_effect(error: Exception, expected: type[Exception]) -> None:
    assert type(translate(error, "start", domain="https://encord.invalid", is_start=True)) is expected


READS = [
    pytest.param(cut_connection(), TransientError, id="connection cut"),
    pytest.param(encord.exceptions.UnknownException("502"), TransientError, id="gateway error"),
    pytest.param(encord.exceptions.ResourceNotFoundError("gone"), PermanentError, id="not found"),
    pytest.param(encord.exceptions.AuthenticationError("who"), CredentialsError, id="key refused"),
    pytest.param(TypeError("surprise"), TransientError, id="not understood"),
    pytest.param(encord.exceptions.EncordException("schema"), TransientError, id="reply fails validation"),
]


@pytest.mark.parametrize(("error", "expected"), READS)
def test_a_read_is_repeated_when_the_reply_was_lost(error: Exception, expected: type[Exception]) -> None:
    assert type(translate(error, "read", domain="https://encord.invalid", is_start=False)) is expected


def test_the_servers_wait_is_handed_on() -> None:
    error = encord.exceptions.RateLimitExceededError(retry_after=7)

    translated = translate(error, "read", domain="https://encord.invalid", is_start=False)

    assert isinstance(translated, TransientError)
    assert translated.retry_after_seconds == 7
