"""A good configuration, and what makes it wrong: for the tests of what is refused.

What does not belong here: the cases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "tell-nobody-4711"
GOOD = """\
sources:
  fleet:
    uri: s3://fleet-bucket/raw/
    storage:
      region: eu-west-2
    encord: {integration: prod}
"""


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """One wrong configuration; ``places`` are (line, dotted key), ``says`` are parts of the message."""

    text: str
    places: tuple[tuple[int, str], ...]
    says: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)


def with_key(line: str, *, key: str, says: str, environ: dict[str, str] | None = None) -> Wrong:
    """The good configuration with one more line for its source, which is wrong."""
    places = ((7, f"sources.fleet.{key}"),)
    return Wrong(text=f"{GOOD}    {line}\n", places=places, says=(says,), environ=environ or {})


def with_storage(storage: str, *, line: int = 5, key: str, says: str, style: str = "", uri: str = "") -> Wrong:
    """The good configuration with another store."""
    text = GOOD.replace("region: eu-west-2", storage)
    text = text.replace("s3://fleet-bucket/raw/", uri) if uri else text
    text += f"    url_style: {style}\n" if style else ""
    return Wrong(text=text, places=((line, f"sources.fleet.{key}"),), says=(says,))


def with_uri(uri: str, says: str) -> Wrong:
    """The good configuration with another URI."""
    text = GOOD.replace("s3://fleet-bucket/raw/", uri)
    return Wrong(text=text, places=((3, "sources.fleet.uri"),), says=(says,))


def with_top(line: str, *, key: str, says: str, environ: dict[str, str] | None = None) -> Wrong:
    """The good configuration with a wrong first line."""
    return Wrong(text=f"{line}\n{GOOD}", places=((1, key),), says=(says,), environ=environ or {})


def assert_refused(wrong: Wrong, tmp_path: Path) -> None:
    """Every problem is named with file, line and key, each in a line of its own, and no secret is."""
    file = tmp_path / "registration.yaml"
    file.write_text(wrong.text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file, {name: value.replace("{folder}", str(tmp_path)) for name, value in wrong.environ.items()})
    message = str(raised.value)
    assert raised.value.exit_status == 2
    found = [
        (int(place["line"]), place["key"] or "")
        for line in message.splitlines()
        if (place := re.match(rf"{re.escape(str(file))}:(?P<line>\d+): (?:(?P<key>[\w.\-]+(?:\[\d+\])?): )?", line))
    ]
    # A syntax error has no key; what stands there is the problem's first words.
    found = [(line, "" if key.startswith("not ") else key) for line, key in found]
    assert sorted(found) == sorted(wrong.places)
    assert len(message.splitlines()) == len(wrong.places)
    for part in wrong.says:
        assert part in message
    assert SECRET not in message
    assert SECRET not in repr(raised.value.__cause__)
