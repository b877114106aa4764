"""Planted unit failures: which URLs fail, with what message, how often.

What does not belong here: counting how often a rule has struck (that is kept with the job's results).
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from registration_pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

RULES_FILE = "rules.json"


@dataclass(frozen=True, slots=True)
class UnitRule:
    """Units with a matching object URL fail.

    Args:
        pattern: regular expression, searched for anywhere in the object URL.
        error: the message that the unit error carries.
        times: failures per URL before it succeeds; None: always fails.

    Raises:
        UsageError: if the pattern is not a regular expression or ``times`` is below 1.
    """

    pattern: str
    error: str
    times: int | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise UsageError(f"rule pattern {self.pattern!r} is not a regular expression: {error}; fix it") from error
        if self.times is not None and self.times < 1:
            raise UsageError(f"rule {self.pattern!r}: times is {self.times}; write a number from 1 up, or leave it out")

    def matches(self, url: str) -> bool:
        """Whether the rule strikes this object URL."""
        return re.search(self.pattern, url) is not None


def read_rules(path: Path) -> tuple[UnitRule, ...]:
    """Read a list of rules; no file, no rules.

    Raises:
        UsageError: if the file is not a JSON list of ``{"pattern", "error", "times"?}``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    try:
        listed = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path.name} is not JSON ({error}); fix or delete it") from error
    return parse_rules(listed, where=path.name)


def parse_rules(listed: object, *, where: str) -> tuple[UnitRule, ...]:
    """Build rules from parsed JSON.

    Raises:
        UsageError: naming the entry that is not a rule.
    """
    if not isinstance(listed, list):
        raise UsageError(f'{where} must be a list of {{"pattern", "error", "times"}} objects')
    return tuple(_parse_rule(entry, f"{where}[{index}]") for index, entry in enumerate(listed))


def _parse_rule(entry: object, where: str) -> UnitRule:
    if not isinstance(entry, dict) or not {"pattern", "error"} <= set(entry) <= {"pattern", "error", "times"}:
        raise UsageError(f'{where} must be an object with "pattern", "error" and perhaps "times"')
    pattern, message, times = entry["pattern"], entry["error"], entry.get("times")
    if not isinstance(pattern, str) or not isinstance(message, str):
        raise UsageError(f'{where}: "pattern" and "error" must be strings')
    if times is not None and (not isinstance(times, int) or isinstance(times, bool)):
        raise UsageError(f'{where}: "times" must be a whole number or null')
    return UnitRule(pattern, message, times)


def dump_rules(rules: Iterable[UnitRule]) -> list[dict[str, object]]:
    """Rules as JSON values, the form that ``parse_rules`` reads."""
    return [asdict(rule) for rule in rules]


def write_rules(path: Path, rules: Sequence[UnitRule]) -> None:
    """Replace the rules file in one step, so that a job starting meanwhile sees the old or the new list."""
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
    draft.write_text(json.dumps(dump_rules(rules), indent=2), encoding="utf-8")
    draft.replace(path)
