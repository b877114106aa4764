"""The exception tree. Every class gets facts and writes its own message, ending with what the user can do.

What does not belong here: translating the exceptions of other libraries (that is done next to the call that raises them).

    RegistrationPipelineError             exit 1
    ├── UsageError                        exit 2   the command line names something that does not exist
    │   ├── ConfigurationError            exit 2   registration.yaml or the environment; names file, line and key
    │   └── StateLayoutError              exit 2   the state was written by another version
    ├── HaltError                         exit 4   nothing more may be sent; nothing is lost; run again
    │   ├── StoppedError                           work was left because the submission stops
    │   ├── CredentialsError                       a key is missing, malformed or refused
    │   ├── PermissionDeniedError                  known, but not allowed
    │   ├── NotFoundError                          a bucket, folder or integration does not exist
    │   ├── ServiceUnavailableError                the store or Encord does not answer, after retries
    │   ├── ListingError                           a store's listing can't be trusted (order, encoding, repetition)
    │   ├── DagsterStorageError                    Dagster's own database can't be used
    │   ├── LeaseBusyError                         another process submits this source, and the wait for it was too long
    │   └── LeaseLostError                         another process submits this source now, or may
    ├── ObjectReadError                   exit 4   one object can't be read now; others may
    ├── StateError                        exit 4   the state can't be read or written
    │   ├── StateNotFoundError                     a name that should be there is not
    │   ├── StateConflictError                     a create-only write found the name in use
    │   └── StateCorruptError                      a file is missing, unreadable or not what was written
    └── SubmissionError                   never leaves the submission package
        ├── TransientError                         may pass if repeated
        │   └── ThrottledError                     asked too often
        ├── PermanentError                         will never pass as it is
        ├── PayloadTooLargeError                   the manifest must be split
        └── AmbiguousError                         may have happened already: never repeat without settling
"""

from __future__ import annotations

from typing import ClassVar, Final

from registration_pipeline.bounds.texts import shortened

_LONGEST_MESSAGE: Final = 20_000
"""Characters: a configuration's problems are all in one message."""


class RegistrationPipelineError(Exception):
    """Root of everything that this package raises on purpose.

    Args:
        message: for people. It may quote others, so it is shortened: it goes to terminals, logs and Dagster.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(message, _LONGEST_MESSAGE))


class UsageError(RegistrationPipelineError):
    """The command names a source, chunk or option that does not exist."""

    exit_status: ClassVar[int] = 2


class ConfigurationError(UsageError):
    """``registration.yaml`` or the environment is wrong.

    Args:
        problem: what is wrong and what to write instead.
        file: the configuration file, if the problem is in one.
        line: 1-based line of the offending key.
        key: dotted path of the offending key, e.g. ``sources.fleet.chunk_size.images``.
    """

    def __init__(
        self, problem: str, *, file: str | None = None, line: int | None = None, key: str | None = None
    ) -> None:
        self.problem, self.file, self.line, self.key = problem, file, line, key
        where = f"{file}:{line}" if file and line else file
        super().__init__(": ".join(part for part in (where, key, problem) if part))


class StateLayoutError(UsageError):
    """The state has a layout that this version does not know, or does not say which it has."""


class HaltError(RegistrationPipelineError):
    """Nothing more may be sent for this source until a person or the service has fixed something.

    Args:
        message: what happened and what to do.
        is_reply: the service itself refused. Proxies sometimes do so by mistake, so the refusal is confirmed before the run
            halts.
    """

    exit_status: ClassVar[int] = 4

    def __init__(self, message: str = "", *, is_reply: bool = False) -> None:
        self.is_reply = is_reply
        super().__init__(message)


class StoppedError(HaltError):
    """Work on a chunk stopped because the whole submission halts; its journal says where to continue."""


class CredentialsError(HaltError):
    """A key or token is missing, malformed or refused."""


class PermissionDeniedError(HaltError):
    """The principal is known but not allowed to do this."""


class NotFoundError(HaltError):
    """A bucket, folder or integration that the configuration names does not exist."""


class ServiceUnavailableError(HaltError):
    """The store or Encord gave no usable reply, after retries."""


class ListingError(HaltError):
    """A listing can't be recorded exactly: out of order, repeated, or a key that is not UTF-8."""


class DagsterStorageError(HaltError):
    """The database of the Dagster instance is down, locked or damaged, or its driver is missing."""


class LeaseBusyError(HaltError):
    """Another process submits the source, or another source in the same folder, and this one has waited long enough.

    Args:
        source: what this process wants to submit.
        busy: the source that is being submitted.
        folder: the Encord folder that both register in; None: they are one source.
        holder: who submits it.
        seconds: how long this process has waited.
    """

    def __init__(self, source: str, busy: str, *, folder: str | None, holder: object, seconds: float) -> None:
        self.source, self.busy, self.folder, self.holder, self.seconds = source, busy, folder, holder, seconds
        what = (
            f"Source {source} is being submitted by {holder}."
            if folder is None
            else f"Source {busy} is being submitted by {holder}, to Encord folder {folder}, which source {source} shares."
        )
        super().__init__(
            f"{what} This process has waited {seconds:.0f} s for its turn and sent nothing. Nothing is lost: run again "
            "later, or let it wait longer (`--wait SECONDS` of `sync` and `submit`)."
        )


class LeaseLostError(HaltError):
    """This process may no longer submit the source.

    Args:
        source: the source.
        why: what happened to the lease, as a clause.
        holder: who has it now, if that is known.
        trouble: what the state said when the lease could not be renewed.
    """

    def __init__(self, source: str, why: str, *, holder: object = None, trouble: object = None) -> None:
        self.source, self.why, self.holder, self.trouble = source, why, holder, trouble
        who = f"Now {holder} has it." if holder else "Another process may submit the source now."
        said = f" The state said: {str(trouble).rstrip('.')}." if trouble else ""
        super().__init__(
            f"This process no longer holds the lease of source {source}: {why}. {who}{said} Nothing is lost, and it is "
            "safe to run again: the next run waits for the other and goes on from the journal."
        )


class ObjectReadError(RegistrationPipelineError):
    """One object could not be read as the inventory has it.

    Args:
        message: which object, what happened and what to do.
        is_refused: the store denied access, so that other objects may be denied for the same reason.
        is_silent: the store gave no usable reply, after retries, so that it may be down.
        is_changed: it is another object than the one that was listed.
    """

    exit_status: ClassVar[int] = 4

    def __init__(
        self, message: str, *, is_refused: bool = False, is_silent: bool = False, is_changed: bool = False
    ) -> None:
        self.is_refused, self.is_silent, self.is_changed = is_refused, is_silent, is_changed
        super().__init__(message)


class StateError(RegistrationPipelineError):
    """The state can't be read or written."""

    exit_status: ClassVar[int] = 4


class StateNotFoundError(StateError):
    """A name that was asked for is not in the state."""


class StateConflictError(StateError):
    """A create-only write found the name in use: another process was first."""


class StateCorruptError(StateError):
    """A file of the state is missing, unreadable, or not what was written."""


class SubmissionError(RegistrationPipelineError):
    """What the gateway raises; the state machine decides on the class alone."""


class TransientError(SubmissionError):
    """May pass if repeated; certain not to have had an effect, or repeating has none.

    Args:
        message: what the service said.
        retry_after_seconds: the service's own hint, if it gave one.
            was_sent: the request was sent; False: it is certain that no connection was made.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None, was_sent: bool = True) -> None:
        self.retry_after_seconds, self.was_sent = retry_after_seconds, was_sent
        super().__init__(message)


class ThrottledError(TransientError):
    """Asked too often: every caller has to slow down, not only this one."""


class PermanentError(SubmissionError):
    """Will never pass as it is."""


class PayloadTooLargeError(SubmissionError):
    """The service refused the manifest for its size."""


class AmbiguousError(SubmissionError):
    """May have happened although an error came back: never repeat without settling first.

    Args:
        message: what came back.
        refusal: what the reply means if Encord itself gave it. Anything in between could have given it, too, after it had
            passed the request on, so it is believed only when quiet has shown that nothing came of the request.
    """

    def __init__(self, message: str, *, refusal: Exception | None = None) -> None:
        self.refusal = refusal
        super().__init__(message)
