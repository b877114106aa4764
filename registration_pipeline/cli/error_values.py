"""An error as values for programs: what ``--json`` prints of it. What is said to people is in ``errors.py``."""

import re
from typing import Any

from registration_pipeline.errors import ConfigurationError, LeaseLostError, RegistrationPipelineError

_SOURCE_OF_SETTING = re.compile(r"sources\.([a-z0-9-]+)")


def error_values(
    error: BaseException, *, source: str | None = None, message: str | None = None, exit_status: int | None = None
) -> dict[str, Any]:
    """Return the part ``error`` of a JSON document; null for what is not known.

    Args:
        error: what ended the command, or a source's run.
        source: whose run it was.
        message: what was said instead of the error's own text.
        exit_status: by default the error's own.
    """
    setting = error.key if isinstance(error, ConfigurationError) else None
    if source is None and isinstance(error, LeaseLostError):
        source = error.source
    if source is None and (found := _SOURCE_OF_SETTING.match(setting or "")):
        source = found[1]
    own = error.exit_status if isinstance(error, RegistrationPipelineError) else 1
    return {
        "type": type(error).__name__,
        "message": str(error) if message is None else message,
        "exit_status": own if exit_status is None else exit_status,
        "setting": setting,
        "source": source,
        "file": error.file if isinstance(error, ConfigurationError) else None,
        "line": error.line if isinstance(error, ConfigurationError) else None,
    }
