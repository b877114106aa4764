"""Adds a declared schema to Encord's: read, merge, write, read again.

Encord has no way to write on a condition: the last writer of the whole schema wins (decision 042). So nothing is written that
need not be, no time passes between the last reading and the writing, and afterwards it is read until it is quiet.

What does not belong here: what is compared and merged (``difference.py``, ``merge.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from registration_pipeline.errors import (
    ConfigurationError,
    HaltError,
    PermanentError,
    ServiceUnavailableError,
    TransientError,
)
from registration_pipeline.submission.metadata_schema.difference import SchemaDifference, difference
from registration_pipeline.submission.metadata_schema.merge import merged, remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from registration_pipeline.settings import FieldType
    from registration_pipeline.submission.calls.retry import RetryPolicy
    from registration_pipeline.submission.metadata_schema.gateway import EncordSchema, FieldDefinition, SchemaGateway

_Result = TypeVar("_Result")

_MOST_WRITES: Final = 5
_QUIET_SECONDS: Final = 2.0
"""A program that read before we wrote and writes after it has done so by then: the SDK's own way takes a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of a declared schema.

    Args:
        before: how it related to Encord's when it was first read.
        writes: how often the schema was written; 0: there was nothing to add.
        put_back: fields of others that were gone after a write and were added again.
    """

    before: SchemaDifference
    writes: int
    put_back: tuple[str, ...]


def read_schema(gateway: SchemaGateway, retry: RetryPolicy) -> EncordSchema:
    """Return Encord's schema.

    Raises:
        HaltError: it can't be read.
    """
    return _refused(
        "reading the metadata schema", lambda: retry.call("reading the metadata schema", gateway.read_schema)
    )


@dataclass(slots=True, kw_only=True)
class SchemaChange:
    """One source's declared schema on its way to Encord.

    Args:
        gateway: Encord.
        retry: how often and how long calls are repeated, and how waits are made.
        source: which source declares it.
        declared: what it declares.
    """

    gateway: SchemaGateway
    retry: RetryPolicy
    source: str
    declared: Mapping[str, FieldType]
    _seen: dict[str, FieldDefinition] = field(default_factory=dict)
    _put_back: set[str] = field(default_factory=set)
    _before: SchemaDifference | None = None
    _writes: int = 0

    def apply(self) -> Applied:
        """Add what Encord lacks. Running it again adds nothing.

        Raises:
            ConfigurationError: fields contradict Encord's; nothing was written.
            HaltError: Encord can't be asked, refuses, or is changed by others all the time.
        """
        is_quiet = False
        while True:
            # All of it is repeated when a call fails, so that a merge is never older than the moment it is sent in.
            was_written = _refused(
                "changing the metadata schema", lambda: self.retry.call("changing the metadata schema", self._round)
            )
            if not was_written and (is_quiet or not self._writes):
                break
            is_quiet = not was_written
            if is_quiet:
                self.retry.pause(_QUIET_SECONDS)
            elif self._writes > 1:
                # Longer each time: Encord may show changes late, and others may be writing as well.
                longest = _QUIET_SECONDS * (self._writes - 1)
                self.retry.pause(self.retry.jitter(longest / 2, longest))
        assert self._before is not None
        return Applied(before=self._before, writes=self._writes, put_back=tuple(sorted(self._put_back)))

    def _round(self) -> bool:
        """Read, and write if anything is missing; return whether it was written."""
        schema, target = self._target()
        if target == schema:
            return False
        # Once more, because everything that is not in the answer would be gone: of two readings both must agree.
        if self.gateway.read_schema() != schema:
            raise TransientError("the metadata schema changed between two readings")
        if self._writes >= _MOST_WRITES:
            raise ServiceUnavailableError(
                f"The metadata schema in Encord was written {_MOST_WRITES} times, and did not show what was written: another "
                "program puts an older one in its place, or Encord shows changes late. Wait until whatever else changes the "
                f"schema has ended, and run `registration-pipeline schema {self.source} --apply` again."
            )
        if self._writes:
            self._put_back |= target.keys() - schema.keys() - self.declared.keys()
        self._writes += 1  # before it is sent: a reply that is lost says nothing
        self.gateway.replace_schema(target)
        return True

    def _target(self) -> tuple[EncordSchema, dict[str, FieldDefinition]]:
        schema = self.gateway.read_schema()
        found = difference(self.declared, schema)
        self._before = self._before or found
        if found.conflicts:
            end = "It was changed while it was written; run again." if self._writes else "Nothing was written."
            raise conflict_error(self.source, found, end)
        # What is gone before we have written is not our doing.
        self._seen = remembered(self._seen, schema) if self._writes else dict(schema)
        return schema, merged(self.declared, schema, self._seen if self._writes else None)


def conflict_error(source: str, found: SchemaDifference, end: str) -> ConfigurationError:
    """Return the error that names every field that contradicts Encord's schema; ``end`` is a sentence before the fields."""
    lines = "".join(f"\n  {one.name} ({one.declared}) {one.problem}" for one in found.conflicts)
    return ConfigurationError(
        f"contradicts the metadata schema in Encord, which is never narrowed or changed. {end}{lines}",
        key=f"sources.{source}.metadata_schema",
    )


def _refused(what: str, call: Callable[[], _Result]) -> _Result:
    """Call; a refusal for good is an error of the command."""
    try:
        return call()
    except PermanentError as error:
        raise HaltError(
            f"Encord refused {what}: {error}. The declared fields are checked before, so this may be a rule of Encord's that "
            "is new: compare `metadata_schema` with Encord's documentation, or update this package."
        ) from error
