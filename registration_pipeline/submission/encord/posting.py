"""Requests to Encord that have an effect: sent once, checked in the last moment, and never sent on to another place.

The SDK's own session follows redirects: a 307 or 308 would post again without asking, so every answer but 200 ends here.

What does not belong here: what an answer means (``errors.py``), and reading requests, which go through the SDK.
"""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID

import requests
from encord.exceptions import EncordException, RequestException
from encord.http.v2.api_client import ApiClient

from registration_pipeline.errors import HaltError
from registration_pipeline.submission.encord.guarded_connection import GuardedAdapter
from registration_pipeline.submission.encord.refusals import Answer
from registration_pipeline.submission.gateway import unguarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from encord.configs import Config


class AnsweredError(Exception):
    """An answer that is not a success.

    Args:
        error: the SDK's exception for it.
        answer: what came.
    """

    def __init__(self, error: EncordException, answer: Answer) -> None:
        self.error, self.answer = error, answer
        super().__init__(str(error))


class PostApi(ApiClient):
    """The SDK's client of the v2 API, for ``post`` only: it makes, signs and reads the same requests in another session.

    Args:
        config: whose key and domain.
        may_send: asked right before a request is complete; what it raises is raised, and nothing was sent.
    """

    def __init__(self, config: Config, may_send: Callable[[], None] = unguarded) -> None:
        super().__init__(config)
        self._may_send = may_send

    def _request(
        self,
        req: requests.PreparedRequest,
        *,
        result_type: Any,
        allow_none: bool = False,
        allow_retries: bool = True,
    ) -> Any:
        """Send the request once.

        Raises:
            AnsweredError: the answer is not a success.
            RequestException: there was no answer, or one that is not JSON.
            HaltError: it may not be sent any more.
        """
        del allow_none, allow_retries
        successes = (HTTPStatus.OK,) if result_type is not None else (HTTPStatus.OK, HTTPStatus.NO_CONTENT)
        request = self._config.define_headers_v2(req)
        context = self._exception_context(request)
        try:
            with self._session() as session:
                # As the SDK does: a prepared request does not get proxies and certificates of the environment by itself.
                settings = session.merge_environment_settings(request.url, {}, None, None, None)
                response = session.send(request, timeout=self._timeouts, allow_redirects=False, **settings)
        except HaltError:
            raise
        except Exception as error:
            raise RequestException(f"{request.method} {request.url} was not answered", context=context) from error
        if response.status_code not in successes:
            try:
                self._handle_error(response, context)
            except EncordException as error:
                raise AnsweredError(error, _answer(request, response)) from error
        return _result(response, result_type, context)

    @property
    def _timeouts(self) -> tuple[float, float]:
        return (self._config.connect_timeout, self._config.read_timeout)

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
        with requests.Session() as session:
            adapter = GuardedAdapter(self._may_send)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            yield session


def _answer(request: requests.PreparedRequest, response: requests.Response) -> Answer:
    sent = request.body or b""
    return Answer(
        content_type=response.headers.get("Content-Type", ""),
        body=response.content,
        sent=sent.encode() if isinstance(sent, str) else bytes(sent),
    )


def _result(response: requests.Response, result_type: Any, context: Any) -> Any:
    if result_type is None:
        return None
    try:
        found = response.json()
    except ValueError as error:
        raise RequestException(f"the reply is not JSON: {response.text}", context=context) from error
    return UUID(found) if result_type is UUID else result_type.from_dict(found)
