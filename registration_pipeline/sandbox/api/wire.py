"""The HTTP dialect of Encord's v2 API: error bodies, UUIDs, query flags, page tokens, dates.

Status codes and bodies are those that the SDK was observed to accept; see the contract tests.

What does not belong here: SQL, and what any single endpoint means.
"""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, NoReturn, cast

from starlette.responses import JSONResponse

from registration_pipeline.sandbox.config import ErrorText

if TYPE_CHECKING:
    from starlette.requests import Request

    from registration_pipeline.sandbox.config import SandboxConfig

MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 100


class ApiError(Exception):
    """Ends a request with a status and a JSON body."""

    def __init__(self, status: int, body: dict[str, object]) -> None:
        self.status, self.body = status, body
        super().__init__(f"{status} {body}")


def refuse(status: int, message: str) -> NoReturn:
    """End the request with ``{"message": …}``."""
    raise ApiError(status, {"message": message})


def unprocessable(location: tuple[str | int, ...], message: str, kind: str) -> NoReturn:
    """End the request the way FastAPI reports malformed input: 422 and a list under ``detail``."""
    raise ApiError(422, {"detail": [{"loc": list(location), "msg": message, "type": kind}]})


def error_response(status: int, body: dict[str, object], error_text: ErrorText) -> JSONResponse:
    """An error's answer; a text under ``message`` goes where ``error_text`` says."""
    if "message" in body and error_text is not ErrorText.MESSAGE:
        body = {} if error_text is ErrorText.NONE else {"detail": body["message"]}
    return JSONResponse(body, status_code=status)


def retry_after_header(seconds: int, *, as_date: bool) -> str:
    """The value of ``Retry-After``: seconds, or an HTTP date."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True) if as_date else str(seconds)


def timestamp(*, seconds_ago: float = 0.0) -> str:
    """Now, or a while ago, ISO 8601 in UTC with ``Z``; the texts sort as the times do."""
    moment = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def listed_until(config: SandboxConfig) -> str:
    """Items created later are not listed and not counted yet; without a lag that is never."""
    return timestamp(seconds_ago=config.listing_lag_seconds) if config.listing_lag_seconds else "9999"


def merged_metadata(held: str, patch: dict[str, Any] | None, config: SandboxConfig) -> str:
    """Client metadata as JSON text after a patch; whether Encord replaces or merges is not known."""
    if patch is None:
        return held
    return json.dumps({**json.loads(held), **patch} if config.patch_merges_metadata else patch)


def parse_uuid(value: object, *location: str | int) -> str:
    """A UUID in lower-case canonical form, or 422."""
    try:
        return str(uuid.UUID(cast("str", value)))
    except (ValueError, TypeError, AttributeError):
        unprocessable(location, "Input should be a valid UUID", "uuid_parsing")


def path_uuid(request: Request, name: str) -> str:
    """A UUID from the path, or 422."""
    return parse_uuid(request.path_params[name], "path", name)


def parse_uuids(body: dict[str, Any], name: str) -> list[str]:
    """A required list of UUIDs from a body, or 422."""
    values = body.get(name)
    if not isinstance(values, list):
        unprocessable(("body", name), "Input should be a valid list", "list_type")
    return [parse_uuid(value, "body", name, index) for index, value in enumerate(values)]


def _not_a_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def json_body(request: Request) -> dict[str, Any]:
    """The request's JSON object, or 422."""
    try:
        parsed = json.loads(request.state.body, parse_constant=_not_a_number)
    except (ValueError, RecursionError) as error:
        unprocessable(("body",), f"JSON decode error: {error}", "json_invalid")
    if not isinstance(parsed, dict):
        unprocessable(("body",), "Input should be a valid dictionary", "dict_type")
    return parsed


def text_field(body: dict[str, Any], name: str, *, required: bool = False) -> str | None:
    """A string from a body, or 422."""
    value = body.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str):
        unprocessable(("body", name), "Input should be a valid string", "string_type")
    return value


def flag(request: Request, name: str, *, default: bool | None = None) -> bool | None:
    """A boolean query parameter; the SDK writes ``True`` and ``False``."""
    value = request.query_params.get(name)
    if value is None:
        return default
    lowered = value.lower()
    if lowered not in ("true", "false"):
        unprocessable(("query", name), "Input should be a valid boolean", "bool_parsing")
    return lowered == "true"


def whole_number(request: Request, name: str, *, default: int, low: int, high: int | None = None) -> int:
    """An integer query parameter within bounds, or 422."""
    value = request.query_params.get(name)
    if value is None:
        return default
    try:
        number = int(value)
    except ValueError:
        unprocessable(("query", name), "Input should be a valid integer", "int_parsing")
    if number < low:
        unprocessable(("query", name), f"Input should be greater than or equal to {low}", "greater_than_equal")
    if high is not None and number > high:
        unprocessable(("query", name), f"Input should be less than or equal to {high}", "less_than_equal")
    return number


def encode_token(*parts: object) -> str:
    """An opaque page token."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def decode_token(token: str) -> list[Any]:
    """The parts of a page token, or 422 if it was not made here."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(token.encode()))
    except ValueError:
        parts = None
    if not isinstance(parts, list):
        unprocessable(("query", "pageToken"), "unknown page token", "value_error")
    return parts
