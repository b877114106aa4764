"""What every exception of the Encord SDK means, as data. Only the table and its look-up belong here.

Names instead of classes, so that this module does not import the SDK; a test checks that every exception class of the
installed SDK is in the table. Sources: the wire contract's sections 4.1, 6.2 and 6.4, observed call by call.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What to do about an exception."""

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    PERMANENT = "permanent"
    AMBIGUOUS = "ambiguous"
    TOO_LARGE = "too_large"
    HALT_CREDENTIALS = "halt_credentials"
    HALT_PERMISSION = "halt_permission"
    HALT_MISSING = "halt_missing"


@dataclass(frozen=True, slots=True)
class FaultRule:
    """What an exception means when it came out of a read (repeating has no effect) or out of a start."""

    read: Fault
    start: Fault


_ANYWHERE_PERMANENT = FaultRule(read=Fault.PERMANENT, start=Fault.PERMANENT)
_IN_DOUBT = FaultRule(read=Fault.TRANSIENT, start=Fault.AMBIGUOUS)
_CREDENTIALS = FaultRule(read=Fault.HALT_CREDENTIALS, start=Fault.HALT_CREDENTIALS)
_PERMISSION = FaultRule(read=Fault.HALT_PERMISSION, start=Fault.HALT_PERMISSION)
# Anything that is not in the table, such as a validation error of the SDK's models: the reply was not understood. A read may
# be understood the next time (and halts when patience ends), a start may have happened.
UNKNOWN_EXCEPTION = _IN_DOUBT

# The request never left this machine (connection refused, name not resolved): certain not to have had an effect.
NOT_SENT = FaultRule(read=Fault.TRANSIENT, start=Fault.TRANSIENT)

# A FastAPI 422 comes as UnknownException whose message is a list: the manifest or a parameter was refused.
UNPROCESSABLE = _ANYWHERE_PERMANENT

ERROR_TABLE: dict[str, FaultRule] = {
    "RateLimitExceededError": FaultRule(read=Fault.THROTTLED, start=Fault.THROTTLED),
    "RequestException": _IN_DOUBT,
    "UnknownException": _IN_DOUBT,
    "GenericServerError": _IN_DOUBT,
    "PayloadTooLargeError": FaultRule(read=Fault.PERMANENT, start=Fault.TOO_LARGE),
    "AuthenticationError": _CREDENTIALS,
    "SshKeyNotFound": _CREDENTIALS,
    "DuplicateSshKeyError": _CREDENTIALS,
    "AuthorisationError": _PERMISSION,
    "OperationNotAllowed": _PERMISSION,
    "InvalidArgumentsError": _ANYWHERE_PERMANENT,
    # A start is answered with 404 when its folder or integration is gone: the manifest has nothing to do with it.
    "ResourceNotFoundError": FaultRule(read=Fault.PERMANENT, start=Fault.HALT_MISSING),
    "MethodNotAllowedError": _ANYWHERE_PERMANENT,
    "ResourceExistsError": _ANYWHERE_PERMANENT,
    "InvalidDateFormatError": _ANYWHERE_PERMANENT,
    "WrongProjectTypeError": _ANYWHERE_PERMANENT,
    "FileTypeNotSupportedError": _ANYWHERE_PERMANENT,
    "FileSizeNotSupportedError": _ANYWHERE_PERMANENT,
    "UploadOperationNotSupportedError": _ANYWHERE_PERMANENT,
    "MultiLabelLimitError": _ANYWHERE_PERMANENT,
    "DatasetError": _ANYWHERE_PERMANENT,
    # The exact base class: a 200 reply that failed the SDK's validation. A start that answered 200 has happened.
    "EncordException": _IN_DOUBT,
    # Classes of labels, ontologies, models, local uploads and clients: outside the calls that registration makes.
    **dict.fromkeys(
        (
            "AnswerDictionaryError",
            "BundledMoveWorkflowTasksPayloadError",
            "CloudUploadError",
            "CordException",
            "CorruptedLabelError",
            "DetectionRangeInvalidError",
            "FeatureDoesNotExistError",
            "InitialisationError",
            "InvalidAlgorithmError",
            "LabelRowError",
            "ModelFeaturesInconsistentError",
            "ModelWeightsInconsistentError",
            "OntologyError",
            "TimeOutError",
        ),
        UNKNOWN_EXCEPTION,
    ),
}


def fault_of(exception_name: str, *, is_start: bool) -> Fault:
    """Return what an SDK exception class, given by name, means."""
    rule = ERROR_TABLE.get(exception_name, UNKNOWN_EXCEPTION)
    return rule.start if is_start else rule.read
