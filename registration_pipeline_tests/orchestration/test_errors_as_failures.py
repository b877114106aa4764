"""What Dagster is given of an error: our words for our own errors, and no secret of any."""

from __future__ import annotations

import traceback

import dagster as dg
import pytest

from registration_pipeline.errors import ServiceUnavailableError
from registration_pipeline.orchestration.runs.listener import errors_as_failures
from registration_pipeline.project.listener import notice_and_log

SECRET = "5d41402abc4b2a76b9719d911017c592"
SIGNED = f"GET https://bucket/a.jpg?X-Amz-Signature={SECRET} failed"


def trace_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_an_error_of_ours_becomes_a_failure_that_is_not_retried() -> None:
    with pytest.raises(dg.Failure) as raised, errors_as_failures():
        raise ServiceUnavailableError("The bucket does not answer. Run again.") from ValueError("a timeout")
    assert (raised.value.description, raised.value.allow_retries) == ("The bucket does not answer. Run again.", False)
    assert "ValueError: a timeout" in trace_of(raised.value)


def test_a_cause_that_holds_a_secret_is_left_out() -> None:
    with pytest.raises(dg.Failure) as raised, errors_as_failures():
        raise ServiceUnavailableError(SIGNED) from ValueError(SIGNED)
    assert "X-Amz-Signature=***" in str(raised.value.description)
    assert SECRET not in trace_of(raised.value)


def test_a_bug_keeps_its_trace_and_loses_its_secrets() -> None:
    def failing() -> None:
        raise KeyError(SIGNED) from ValueError(SIGNED)

    with (
        pytest.raises(RuntimeError, match=r"^KeyError: .*X-Amz-Signature=\*\*\* failed") as raised,
        errors_as_failures(),
    ):
        failing()
    assert "in failing" in trace_of(raised.value)
    assert SECRET not in trace_of(raised.value)


def test_a_bug_without_a_secret_stays_what_it_is() -> None:
    with pytest.raises(KeyError), errors_as_failures():
        raise KeyError("name")


def test_what_dagster_logs_holds_nothing_that_a_terminal_obeys() -> None:
    logged: list[str] = []
    notice_and_log(logged.append)("folder a\x9b31m\u202eb")
    with pytest.raises(dg.Failure) as raised, errors_as_failures():
        raise ServiceUnavailableError("a\x9b31m\u202eb")
    assert logged == [r"folder a\x9b31m\u202eb"]
    assert raised.value.description == r"a\x9b31m\u202eb"
