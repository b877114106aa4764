"""Settles the answers of ``init``: from options, from questions on a terminal, for the sandbox from its own values.

All that is missing or wrong is said at once, before a file is written. What does not belong here: the questions
(``questions.py``), the text of the configuration (``answers.py``) and writing it (``command.py``).
"""

import os
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from registration_pipeline.cli.init import questions
from registration_pipeline.cli.init.answers import (
    EXAMPLE,
    SANDBOX_DOMAIN,
    SANDBOX_INTEGRATION,
    Answers,
    configuration_text,
    name_for,
    needs_region,
    uri_of,
)
from registration_pipeline.errors import ConfigurationError, UsageError
from registration_pipeline.settings import load_settings

SANDBOX_MEDIA = "media"
_VALID_URI, _VALID_REGION, _VALID_INTEGRATION = "s3://bucket/", "eu-west-2", "integration"
"""In the place of what is missing, so that the others can be checked."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """The options of ``init`` as they were given; None: not given."""

    uri: str | None = None
    source: str | None = None
    integration: str | None = None
    folder: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    state: str | None = None
    schedule: str | None = None
    is_scheduled: bool = True
    is_sandbox: bool = False


def settled(folder: Path, given: Given) -> Answers:
    """Return what the options, the questions and the sandbox say.

    Raises:
        UsageError: something is missing and no one can be asked, or something is wrong.
    """
    problems = ["Give --schedule CRON or --no-schedule, not both."] * (
        given.schedule is not None and not given.is_scheduled
    )
    if given.is_sandbox:
        media = (folder.resolve() / SANDBOX_MEDIA).as_uri() + "/"
        given = replace(given, uri=given.uri or media, integration=given.integration or SANDBOX_INTEGRATION)
    can_ask = questions.is_terminal()
    missing = [] if can_ask else _missing(given)
    written = given.uri
    given, wrong = _with_address(folder, given)
    problems += [*wrong, *_invalid(_answers(_completed(given)))]
    if missing:
        needed = " and ".join(missing)
        reason = "because there is no terminal to ask on; or --sandbox, which needs no bucket and no key."
        problems.insert(0, f"Give {needed}, {reason}")
    if not problems:
        answers = _answers(_asked(folder, given) if can_ask else given)
        problems = _invalid(answers) if can_ask else []
    if problems:
        raise UsageError("\n".join([*problems, "Nothing was written."]))
    if written is not None:
        questions.say_slash(written, answers.uri)
    return answers


def _asked(folder: Path, given: Given) -> Given:
    """Ask for what no option gives."""
    uri = given.uri or questions.ask_uri(folder)
    source = given.source or questions.ask_source(uri)
    endpoint = given.endpoint_url
    if uri.startswith("s3://") and not (endpoint or given.region):
        endpoint = questions.ask_endpoint()
    region = given.region or questions.ask_region(uri, endpoint)
    integration = given.integration or questions.ask_integration()
    return replace(given, uri=uri, source=source, endpoint_url=endpoint, region=region, integration=integration)


def _with_address(folder: Path, given: Given) -> tuple[Given, list[str]]:
    """Return the options with a whole address, and what is wrong with the one that was given."""
    if given.uri is None:
        return given, []
    try:
        uri = uri_of(given.uri, folder)
    except UsageError as error:
        return replace(given, uri=None), [str(error)]
    return replace(given, uri=uri), []


def _completed(given: Given) -> Given:
    """Return the options with something valid for each that is missing."""
    uri = given.uri or _VALID_URI
    region = given.region or (_VALID_REGION if needs_region(uri, given.endpoint_url) else None)
    return replace(given, uri=uri, region=region, integration=given.integration or _VALID_INTEGRATION)


def _missing(given: Given) -> list[str]:
    wanted = {
        "--uri": given.uri is None,
        "--integration": given.integration is None,
        "--region (or --endpoint-url for an S3-compatible store)": given.uri is not None
        and given.region is None
        and needs_region(given.uri, given.endpoint_url),
    }
    return [name for name, is_missing in wanted.items() if is_missing]


def _answers(given: Given) -> Answers:
    assert given.uri is not None
    assert given.integration is not None
    return Answers(
        uri=given.uri,
        source=given.source or name_for(given.uri),
        integration=given.integration,
        folder=given.folder,
        region=given.region,
        endpoint_url=given.endpoint_url,
        state=given.state,
        domain=SANDBOX_DOMAIN if given.is_sandbox else None,
        schedule=given.schedule,
        is_scheduled=given.is_scheduled,
    )


def _invalid(answers: Answers) -> list[str]:
    """Return what loading the configuration says against the answers."""
    with tempfile.TemporaryDirectory(prefix="registration-init-") as folder:
        configuration = Path(folder) / EXAMPLE
        configuration.write_text(configuration_text(answers), encoding="utf-8")
        try:
            load_settings(configuration, os.environ)
        except ConfigurationError as error:
            said = re.sub(rf"^{re.escape(str(configuration))}:\d+: ", "  ", str(error), flags=re.MULTILINE)
            return [f"The answers make no valid {EXAMPLE}. Correct the options and run again:\n{said}"]
    return []
