"""A gateway that keeps its metadata schema in memory and does what a script says: for tests and rehearsals.

Wire behaviour belongs to the sandbox, which is tested through the SDK.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from registration_pipeline.submission.metadata_schema.gateway import EncordSchema


@dataclass(slots=True)
class ScriptedSchemaGateway:
    """``SchemaGateway`` in memory.

    Args:
        fields: what Encord holds.
        before_read: called before each reading with its number from 1; may change ``fields``, or raise.
        before_write: the same before each writing.
        after_write: the same after it has taken effect.
        written: what was sent, in order.
        reads: how often it was read.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    before_read: Callable[[int], None] = lambda _: None
    before_write: Callable[[int], None] = lambda _: None
    after_write: Callable[[int], None] = lambda _: None
    written: list[EncordSchema] = field(default_factory=list)
    reads: int = 0

    def read_schema(self) -> EncordSchema:
        """See ``SchemaGateway``."""
        self.reads += 1
        self.before_read(self.reads)
        return deepcopy(self.fields)

    def replace_schema(self, fields: EncordSchema) -> None:
        """See ``SchemaGateway``."""
        self.written.append(deepcopy(fields))
        self.before_write(len(self.written))
        self.fields = {name: dict(deepcopy(definition)) for name, definition in fields.items()}
        self.after_write(len(self.written))
