"""What exceptions of the Encord SDK come to: our own exceptions, with what was asked and what to do.

What does not belong here: the table itself (``calls/retry_table.py``) and whether to repeat (the callers).
"""

from __future__ import annotations

from typing import Any, Final

import requests
from encord import exceptions as encord_exceptions
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from registration_pipeline.bounds.texts import MOST_READ, shortened
from registration_pipeline.errors import (
    AmbiguousError,
    CredentialsError,
    HaltError,
    NotFoundError,
    PayloadTooLargeError,
    PermanentError,
    PermissionDeniedError,
    ThrottledError,
    TransientError,
)
from registration_pipeline.submission.calls.retry_table import NOT_SENT, UNPROCESSABLE, Fault, fault_of
from registration_pipeline.submission.encord.posting import AnsweredError
from registration_pipeline.submission.encord.replies import said
from registration_pipeline.tracing import shown_id

FOLDER_ADVICE: Final = (
    "The folder or integration does not exist, or the key's user may not use it; registering needs the Admin role on the "
    "integration"
)
"""What to do about a permission that is missing, unless a call is about something else."""


def translate(error: Exception, what: str, *, domain: str, is_start: bool, advice: str = FOLDER_ADVICE) -> Exception:
    """Return what an exception that came out of the SDK means in our own words.

    Args:
        error: as the SDK raised it.
        what: what was asked, for people.
        domain: which Encord was asked.
        is_start: whether it came out of a request with a lasting effect, which may have happened all the same. A refusal
            is then certain only where Encord itself must have given it (``refusals.py``).
        advice: why a permission may be missing and what to do, as a sentence without its full stop.
    """
    if not isinstance(error, AnsweredError):
        return _meaning(error, what, domain=domain, is_start=is_start, advice=advice)
    meant = _meaning(error.error, what, domain=domain, is_start=is_start, advice=advice)
    is_certain = not is_start or isinstance(meant, AmbiguousError) or error.answer.is_own_refusal
    return meant if is_certain else AmbiguousError(str(meant), refusal=meant)


def _meaning(error: Exception, what: str, *, domain: str, is_start: bool, advice: str) -> Exception:
    fault = _fault(error, is_start=is_start)
    words = _text(error)
    if fault is Fault.TRANSIENT and _was_not_sent(error):
        return TransientError(f"{what}: {domain} can't be reached ({_unreachable(error)})", was_sent=False)
    if fault in (Fault.TRANSIENT, Fault.THROTTLED):
        hint = getattr(error, "retry_after", None)
        kind = ThrottledError if fault is Fault.THROTTLED else TransientError
        return kind(f"{what} at {domain}: {words}", retry_after_seconds=float(hint) if hint else None)
    halt = _halt(fault, what, words, domain, advice=advice, trace=_trace_note(error))
    if halt is not None:
        return halt
    if fault is Fault.AMBIGUOUS:
        return AmbiguousError(f"{what}: {words}")
    return (PayloadTooLargeError if fault is Fault.TOO_LARGE else PermanentError)(f"{what}: {words}")


def _trace_note(error: Exception) -> str:
    """Return what Encord's support finds the call by, as a sentence; empty where no request was made."""
    context = getattr(error, "context", None)
    trace_id, span_id = getattr(context, "trace_id", None), getattr(context, "span_id", None)
    if not trace_id:
        return ""
    return f" Encord's trace id of this call is {shown_id(f'{trace_id}/{span_id}')}: their support finds it by that."


def _halt(fault: Fault, what: str, words: str, domain: str, *, advice: str, trace: str) -> HaltError | None:
    if fault is Fault.HALT_CREDENTIALS:
        return CredentialsError(
            f"Encord at {domain} refused the key ({words}). Check that ENCORD_SSH_KEY or ENCORD_SSH_KEY_FILE holds "
            f"a key that is registered in Encord, and that ENCORD_DOMAIN names its region.{trace}",
            is_reply=True,
        )
    if fault is Fault.HALT_PERMISSION:
        return PermissionDeniedError(
            f"Encord at {domain} does not allow this: {what}: {words}. {advice}.{trace}",
            is_reply=True,
        )
    if fault is Fault.HALT_MISSING:
        return NotFoundError(
            f"Encord at {domain} does not find what this needs: {what}: {words}. Check that the folder and the "
            f"integration of the source exist; if the folder was deleted, restore it in Encord.{trace}",
            is_reply=True,
        )
    return None


def _fault(error: Exception, *, is_start: bool) -> Fault:
    """Look up the exception, after the two cases that its class alone does not decide."""
    if _was_not_sent(error):
        return NOT_SENT.start if is_start else NOT_SENT.read
    if type(error) is encord_exceptions.UnknownException and isinstance(getattr(error, "message", None), list):
        return UNPROCESSABLE.start if is_start else UNPROCESSABLE.read
    return fault_of(type(error).__name__ if _is_sdk(error) else "", is_start=is_start)


def _is_sdk(error: Exception) -> bool:
    # requests has a RequestException of its own; only the SDK's is in the table.
    return type(error).__module__.startswith("encord.")


def _was_not_sent(error: Exception) -> bool:
    cause = error.__cause__
    if not isinstance(error, encord_exceptions.RequestException) or not isinstance(cause, requests.ConnectionError):
        return False
    reason = getattr(cause.args[0], "reason", None) if cause.args else None
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _unreachable(error: Exception) -> str:
    """Return why a connection could not be made, without the requests around it."""
    cause = error.__cause__
    reason = str(getattr(cause.args[0], "reason", cause)) if cause is not None and cause.args else str(cause)
    return said(reason.rpartition(": ")[2])


def _text(error: Exception) -> str:
    """Return what was said, in one line, with the transport's cause when the SDK's own words hide it."""
    message: Any = getattr(error, "message", None) or str(error) or type(error).__name__
    cause = error.__cause__
    detail = f" ({type(cause).__name__}: {cause})" if cause is not None and _is_sdk(error) else ""
    # The SDK quotes whole replies; that of a proxy may be a page of markup, or as large as a reply may be. Masked before it is
    # cut: the end of a signature could not be recognised.
    return shortened(said(" ".join(f"{message}{detail}"[:MOST_READ].split())))
