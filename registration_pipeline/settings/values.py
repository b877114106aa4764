"""The types of single values of registration.yaml that several models share.

What does not belong here: keys and their defaults (``models.py``, ``units.py``).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from registration_pipeline.foreign_text import masked
from registration_pipeline.globs import glob_problem

_LONGEST_GIVEN = 100
_SWITCHES = {"true": True, "false": False}


class YamlModel(BaseModel):
    """A section of the file: frozen, without unknown keys, and never quoting a value in an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _whole_number(value: Any) -> Any:
    # Pydantic would read true as 1, and texts (in quotes, or from the environment) such as 1_000, 08 and 5.0.
    is_text_of_another = isinstance(value, str) and not re.fullmatch(r"[-+]?(?:0|[1-9][0-9]*)", value.strip(), re.ASCII)
    if isinstance(value, bool) or is_text_of_another:
        raise ValueError("must be a whole number")
    return value


def _switch(value: Any) -> Any:
    # Pydantic would read 1, "yes", "on" and "t" as true. What the environment gives is text, so true and false may be.
    if isinstance(value, str) and value in _SWITCHES:
        return _SWITCHES[value]
    if not isinstance(value, bool) and value is not None:
        raise ValueError("must be true or false")
    return value


def _glob(pattern: str) -> str:
    if (problem := glob_problem(pattern)) is not None:
        raise ValueError(problem)
    return pattern


def given(value: str) -> str:
    """Return a value of the environment as an end of a message; empty where it may hold a login or a signature."""
    is_plain = value.isprintable() and len(value) <= _LONGEST_GIVEN and "@" not in value and masked(value) == value
    return f" (given: {value!r})" if is_plain else ""


Switch = Annotated[bool, BeforeValidator(_switch)]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
MOST_DAYS: Final = 36_500
"""A hundred years: a time that is further back is not a date that can be computed with."""

MOST_SECONDS: Final = MOST_DAYS * 86_400
Glob = Annotated[str, AfterValidator(_glob)]
Name = Annotated[str, Field(min_length=1)]
