"""Requests to Encord's older v1 API, which the SDK has for what is in a dataset: an envelope instead of a status.

The SDK makes, signs and reads them; they are sent here, once each, with our limits on replies and without following
redirects. What does not belong here: which queries are made (``datasets.py``), and what exceptions mean (``errors.py``).
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import requests
from encord.exceptions import (
    PayloadTooLargeError,
    RateLimitExceededError,
    RequestException,
    UnknownException,
)
from encord.http.common import RequestContext, parse_retry_after
from encord.http.error_utils import check_error_response
from encord.http.querier import Querier

from registration_pipeline.submission.encord.transport import BoundedAdapter

if TYPE_CHECKING:
    from encord.http.query_methods import QueryMethods
    from encord.http.request import Request

_QUOTED: Final = 1_000


class BoundedQuerier(Querier):
    """The SDK's client of the v1 API, in a session of ours."""

    def ask(self, method: QueryMethods, query: type, *, uid: str | None = None, payload: dict[str, Any]) -> Any:
        """Send a query and return what the envelope holds.

        Args:
            method: what is asked for.
            query: the SDK's class that the query is named after.
            uid: what it is about, where the query wants that besides the header.
            payload: the rest.

        Raises:
            EncordException: as the SDK raises it.
        """
        request = self._request(method, self._route(query), uid, self._config.read_timeout, payload=payload)
        return self._execute(request)[0]

    def _execute(
        self,
        request: Request,
        retryable: bool = False,  # noqa: FBT001, FBT002 - the SDK's own form
        enable_logging: bool = True,  # noqa: FBT001, FBT002
    ) -> tuple[Any, RequestContext]:
        """Send the request once.

        Raises:
            EncordException: as the SDK's own method; an answer that is no envelope is an ``UnknownException``.
        """
        del retryable, enable_logging
        prepared = requests.Request(
            method=str(request.http_method), url=self._config.endpoint, headers=request.headers, data=request.data
        ).prepare()
        context = self._exception_context(prepared)
        try:
            with requests.Session() as session:
                for scheme in ("http://", "https://"):
                    session.mount(scheme, BoundedAdapter(max_retries=0))
                settings = session.merge_environment_settings(prepared.url, {}, None, None, None)
                timeouts = (request.connect_timeout, request.timeout)
                response = session.send(prepared, timeout=timeouts, allow_redirects=False, **settings)
        except Exception as error:
            raise RequestException(f"{prepared.url} was not answered", context=context) from error
        return _response_of(response, context), context


def _response_of(answer: requests.Response, context: RequestContext) -> Any:
    """Return what an envelope holds.

    Raises:
        EncordException: it holds a refusal, or there is none.
    """
    if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        raise RateLimitExceededError(retry_after=parse_retry_after(answer.headers), context=context)
    if answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise PayloadTooLargeError("the request is too large", context=context)
    try:
        document = json.loads(answer.content)
    except (ValueError, RecursionError) as error:
        raise RequestException(f"the reply is not JSON: {answer.text[:_QUOTED]}", context=context) from error
    if answer.status_code != HTTPStatus.OK or not isinstance(document, dict) or "status" not in document:
        text = f"an answer with status {answer.status_code} that is not of this API: {str(document)[:_QUOTED]}"
        raise UnknownException(text, context=context)
    if document["status"] != HTTPStatus.OK:
        check_error_response(document.get("response"), context, document.get("payload"))
    return document.get("response")
