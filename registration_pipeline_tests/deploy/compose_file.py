"""Reads ``deploy/compose/compose.yaml`` as tests need it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "compose"


def read_compose() -> dict[str, Any]:
    """Return the file's content, its merged parts put in."""
    content: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    return content
