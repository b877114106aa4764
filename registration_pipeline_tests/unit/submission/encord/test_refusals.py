"""Which answers to a start are Encord's own: what they say decides, never how they look."""

from __future__ import annotations

import json
from typing import Any

import encord.exceptions
import pytest

from registration_pipeline.errors import AmbiguousError, CredentialsError, PermanentError, ThrottledError
from registration_pipeline.submission.encord.errors import translate
from registration_pipeline.submission.encord.posting import AnsweredError
from registration_pipeline.submission.encord.refusals import Answer

FOLDER = "b9257b04-94ab-4d8f-8f2a-1f6c4d3ad1c0"
INTEGRATION = "0f7f6c5e-58f5-4c34-9d4e-16f7cf0d6a55"
URL = "https://bucket.s3.eu-west-2.amazonaws.com/raw/a.jpg"
SENT = json.dumps(
    {
        "externalFiles": {"images": [{"objectUrl": URL, "title": "raw/a.jpg"}], "skip_duplicate_urls": True},
        "integrationHash": INTEGRATION,
        "ignoreErrors": True,
        "fileName": "chunk.json",
    }
).encode()


def answer(body: object, content_type: str = "application/json") -> Answer:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(content_type=content_type, body=text, sent=SENT)


OWN = [
    pytest.param({"message": "unknown key 'x' in externalFiles.images[0]"}, id="names a place of the manifest"),
    pytest.param({"detail": f"integration {INTEGRATION} does not exist"}, id="names the integration"),
    pytest.param({"message": f"{URL} is not acceptable"}, id="names an object"),
    pytest.param(
        {
            "detail": [
                {"loc": ["body", "externalFiles"], "msg": "Input should be a valid dictionary", "type": "dict_type"}
            ]
        },
        id="names a key as FastAPI does",
    ),
]


@pytest.mark.parametrize("body", OWN)
def test_an_answer_that_quotes_the_body_is_encords_own(body: object):
    assert answer(body, "application/json; charset=utf-8").is_own_refusal


OTHERS: list[Any] = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"<html><body>externalFiles</body></html>", id="no JSON"),
    pytest.param({"message": "Forbidden"}, id="the form alone"),
    pytest.param(
        {"message": f"Cannot POST /v2/public/storage/folders/{FOLDER}/data-upload-jobs"}, id="quotes the path"
    ),
    pytest.param({"message": "raw/a.jpg"}, id="quotes a title, which any text can be"),
    pytest.param({"message": f"{URL} blocked", "request_id": "4e2b"}, id="has keys that Encord's API has not"),
    pytest.param({"statusCode": 400, "message": "externalFiles does not conform"}, id="schema check of a gateway"),
    pytest.param({"error": {"code": 403, "message": f"{URL}"}}, id="another form"),
    pytest.param({"detail": [{"loc": ["body"], "msg": "no", "type": "value_error"}]}, id="the body as a whole"),
    pytest.param({"detail": [{"loc": ["query", "x"], "msg": "no", "type": "value_error"}]}, id="not the body"),
    pytest.param({"detail": []}, id="no error in the list"),
    pytest.param({"detail": {"externalFiles": "no"}}, id="a detail that is neither text nor list"),
    pytest.param([{"message": URL}], id="a list"),
    pytest.param({}, id="an empty object"),
    pytest.param({"message": None}, id="no message"),
]


@pytest.mark.parametrize("body", OTHERS)
def test_an_answer_that_anyone_could_have_written_is_not(body: object):
    assert not answer(body).is_own_refusal


def test_json_that_does_not_say_so_is_not():
    assert not answer({"message": URL}, "text/html").is_own_refusal


MEANINGS = [
    pytest.param(encord.exceptions.InvalidArgumentsError("no"), PermanentError, id="400"),
    pytest.param(encord.exceptions.AuthenticationError("no"), CredentialsError, id="401"),
    pytest.param(encord.exceptions.RateLimitExceededError(retry_after=7), ThrottledError, id="429"),
]


@pytest.mark.parametrize(("error", "meaning"), MEANINGS)
def test_without_proof_a_refused_start_is_in_doubt_and_keeps_what_it_would_mean(error: Any, meaning: type[Exception]):
    found = translate(
        AnsweredError(error, answer({"message": "no"})), "start", domain="https://encord.invalid", is_start=True
    )

    assert isinstance(found, AmbiguousError)
    assert type(found.refusal) is meaning


@pytest.mark.parametrize(("error", "meaning"), MEANINGS)
def test_with_proof_a_refused_start_means_what_it_says(error: Any, meaning: type[Exception]):
    found = translate(
        AnsweredError(error, answer({"message": URL})), "start", domain="https://encord.invalid", is_start=True
    )

    assert type(found) is meaning


def test_a_redirect_is_in_doubt_and_means_nothing():
    moved = AnsweredError(encord.exceptions.UnknownException("307"), answer(b""))

    found = translate(moved, "start", domain="https://encord.invalid", is_start=True)

    assert isinstance(found, AmbiguousError)
    assert found.refusal is None
