"""The command ``init``: settles the answers, writes the files as a whole or not at all, and says what to run next.

What does not belong here: the text of the configuration (``answers.py``).
"""

import os
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import files
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
from registration_pipeline.cli.output import notice, print_json, say
from registration_pipeline.cli.session import DONE
from registration_pipeline.errors import ConfigurationError, UsageError
from registration_pipeline.orchestration.runs.instance import DEFAULT_HOME
from registration_pipeline.orchestration.runs.storage_trouble import INSTANCE_FILE
from registration_pipeline.settings import load_settings

WORKSPACE_FILE = "workspace.yaml"
_SHIPPED = "registration_pipeline.orchestration"
_SANDBOX_MEDIA = "media"


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


def init_folder(folder: Path, given: Given, *, force: bool, as_json: bool) -> int:
    """Write ``registration.yaml``, ``workspace.yaml`` and the instance's folder, and say what to run next."""
    folder = folder.absolute()
    _refuse_existing([folder / EXAMPLE] if not force else [])  # before anything is asked
    answers = _settled(folder, given)
    texts = {
        folder / EXAMPLE: configuration_text(answers),
        folder / WORKSPACE_FILE: (files(_SHIPPED) / WORKSPACE_FILE).read_text(encoding="utf-8"),
        folder / DEFAULT_HOME / INSTANCE_FILE: (files(_SHIPPED) / INSTANCE_FILE).read_text(encoding="utf-8"),
    }
    if not force:
        _refuse_existing([path for path, text in texts.items() if _content(path) not in {None, text}])
    _write(texts, folder / EXAMPLE)
    if given.is_sandbox and given.uri is None:
        (folder / _SANDBOX_MEDIA).mkdir(exist_ok=True)
    commands = _next_commands(folder, is_sandbox=given.is_sandbox)
    if as_json:
        print_json({"folder": str(folder), "files": [str(path) for path in texts], "next": commands})
    else:
        _show(folder, list(texts), commands, given)
    _warn_of_environment(folder, answers)
    return DONE


def _settled(folder: Path, given: Given) -> Answers:
    """Fill in what was not given: by asking on a terminal, for the sandbox by its own values.

    Raises:
        UsageError: something is missing, and no one can be asked.
    """
    if given.is_sandbox:
        media = (folder.resolve() / _SANDBOX_MEDIA).as_uri() + "/"
        given = replace(given, uri=given.uri or media, integration=given.integration or SANDBOX_INTEGRATION)
    can_ask = questions.is_terminal()
    if given.uri is None and can_ask:
        uri = questions.ask_uri(folder)
    elif given.uri is None:
        raise _missing(given)
    else:
        uri = uri_of(given.uri, folder)
    source, endpoint, region, integration = given.source, given.endpoint_url, given.region, given.integration
    if can_ask:
        source = source or questions.ask_source(uri)
        if uri.startswith("s3://") and not (endpoint or region):
            endpoint = questions.ask_endpoint()
        region = region or questions.ask_region(uri, endpoint)
        integration = integration or questions.ask_integration()
    if integration is None or (region is None and needs_region(uri, endpoint)):
        raise _missing(replace(given, uri=uri))
    return Answers(
        uri=uri,
        source=source or name_for(uri),
        integration=integration,
        folder=given.folder,
        region=region,
        endpoint_url=endpoint,
        state=given.state,
        domain=SANDBOX_DOMAIN if given.is_sandbox else None,
        schedule=given.schedule,
        is_scheduled=given.is_scheduled,
    )


def _missing(given: Given) -> UsageError:
    wanted = {
        "--uri": given.uri is None,
        "--integration": given.integration is None,
        "--region (or --endpoint-url for an S3-compatible store)": given.uri is not None
        and given.region is None
        and needs_region(given.uri, given.endpoint_url),
    }
    names = " and ".join(name for name, is_missing in wanted.items() if is_missing)
    return UsageError(
        f"init asks questions on a terminal only, and there is none. Give {names}; or --sandbox, which needs no bucket and "
        "no key."
    )


def _refuse_existing(paths: list[Path]) -> None:
    found = [str(path) for path in paths if os.path.lexists(path)]
    if found:
        it = "It is" if len(found) == 1 else "They are"
        raise UsageError(
            f"init does not replace files that exist: {', '.join(found)}. {it} left as before. Give --force to replace, or "
            "--dir for another folder."
        )


def _content(path: Path) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8")
    return "" if os.path.lexists(path) else None


def _write(texts: Mapping[Path, str], configuration: Path) -> None:
    """Write all files; none stays when one can't be written or the configuration is not valid."""
    before = {path: path.read_bytes() if path.is_file() else None for path in texts}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        load_settings(configuration, os.environ)
    except OSError as error:
        _undo(before)
        raise UsageError(
            f"{error.filename} can't be written: {error.strerror}. Give --dir for a folder that this user may write."
        ) from error
    except ConfigurationError as error:
        _undo(before)
        said = re.sub(rf"^{re.escape(str(configuration))}:\d+: ", "  ", str(error), flags=re.MULTILINE)
        raise UsageError(
            f"The answers make no valid {EXAMPLE}, so nothing was written. Correct the options and run again:\n{said}"
        ) from error


def _undo(before: Mapping[Path, bytes | None]) -> None:
    for path, data in before.items():
        with suppress(OSError):
            path.unlink(missing_ok=True) if data is None else path.write_bytes(data)


def _next_commands(folder: Path, *, is_sandbox: bool) -> list[str]:
    steps = [] if folder == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    if is_sandbox:
        key = "export ENCORD_SSH_KEY_FILE=$PWD/sandbox/id_ed25519"
        return [*steps, "registration-pipeline sandbox --open", key, "registration-pipeline sync"]
    key = "export ENCORD_SSH_KEY_FILE=~/.ssh/encord_key"
    return [*steps, key, "registration-pipeline check", "registration-pipeline sync"]


def _show(folder: Path, written: list[Path], commands: list[str], given: Given) -> None:
    say(f"Written to {folder}: {', '.join(str(path.relative_to(folder)) for path in written)}")
    if given.is_sandbox and given.uri is None:
        say(f"Put files to register into {folder / _SANDBOX_MEDIA}: images, videos, audio, PDF or text.")
    say("Next:")
    for command in commands:
        note = "     # in a second terminal, until Ctrl-C" if command.endswith("sandbox --open") else ""
        note = "     # the key whose public half Encord knows" if "~/.ssh" in command else note
        say(f"  {command}{note}")
    say(f"Every night, and the UI: export DAGSTER_HOME=$PWD/{DEFAULT_HOME}; dagster dev -w {WORKSPACE_FILE}")


def _warn_of_environment(folder: Path, answers: Answers) -> None:
    """Say which variables win over what was written."""
    home, domain = os.environ.get("DAGSTER_HOME"), os.environ.get("ENCORD_DOMAIN")
    if home and Path(home) != folder / DEFAULT_HOME:
        notice(f"DAGSTER_HOME is {home}, so commands use that instance and not {folder / DEFAULT_HOME}.")
    if answers.domain and domain and domain.rstrip("/") != answers.domain:
        notice(f"ENCORD_DOMAIN is {domain}, which wins over {answers.domain} in {EXAMPLE}: unset it for the sandbox.")
    config = os.environ.get("REGISTRATION_CONFIG")
    if config and Path(config).absolute() != folder / EXAMPLE:
        notice(f"REGISTRATION_CONFIG is {config}, so commands read that file and not {folder / EXAMPLE}.")
