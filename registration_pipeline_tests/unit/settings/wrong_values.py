"""A source that is right but for a few lines, and what is said of them: for the tests of what is refused.

What does not belong here: the cases.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

import pytest

from registration_pipeline.errors import ConfigurationError
from registration_pipeline.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from registration_pipeline.settings import Settings

HEAD = """\
sources:
  fleet:
    uri: s3://fleet-bucket/raw/
    storage: {region: eu-west-2}
    encord: {integration: prod}
"""


def field(text: str, name: str = "weather") -> str:
    return f"metadata_schema:\n  {name}: {text}\n"


def loaded(folder: Path, text: str) -> Settings:
    """Load a configuration."""
    file = folder / "registration.yaml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file, {})


def refusal(folder: Path, text: str) -> str:
    """Return what is wrong with a configuration."""
    with pytest.raises(ConfigurationError) as raised:
        loaded(folder, text)
    return str(raised.value)


def problem_of(folder: Path, lines: str) -> tuple[str, str]:
    """Return the place of what is wrong with the lines of a source, and what is said of it, without the value given."""
    message = refusal(folder, HEAD + textwrap.indent(lines, "    "))
    assert re.search(r"\b(?:input|pydantic|value error)\b", message, re.IGNORECASE) is None
    place, said = re.sub(r" \(given: '[^']*'\)$", "", message).split(": ", 1)
    return place, said


def sources_of(folder: Path, lines: str) -> list[str]:
    """Return the names of the sources of a configuration that is right."""
    return list(loaded(folder, HEAD + textwrap.indent(lines, "    ")).sources)
