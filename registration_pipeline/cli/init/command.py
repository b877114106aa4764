"""The command ``init``: writes the files as a whole or not at all, and says what to run next.

What does not belong here: the answers (``settling.py``) and the text of the configuration (``answers.py``).
"""

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from registration_pipeline.cli.init.answers import EXAMPLE, Answers, configuration_text
from registration_pipeline.cli.init.next_commands import NextCommand, next_commands
from registration_pipeline.cli.init.settling import SANDBOX_MEDIA, Given, settled
from registration_pipeline.cli.output import notice, print_json, say
from registration_pipeline.cli.session import DONE
from registration_pipeline.errors import UsageError
from registration_pipeline.orchestration.runs.instance import DEFAULT_HOME
from registration_pipeline.orchestration.runs.storage_trouble import INSTANCE_FILE

WORKSPACE_FILE = "workspace.yaml"
_SHIPPED = "registration_pipeline.orchestration"


def init_folder(folder: Path, given: Given, *, force: bool, as_json: bool) -> int:
    """Write ``registration.yaml``, ``workspace.yaml`` and the instance's folder, and say what to run next."""
    folder = folder.absolute()
    _refuse_existing([folder / EXAMPLE] if not force else [])  # before anything is asked
    answers = settled(folder, given)
    texts = {
        folder / EXAMPLE: configuration_text(answers),
        folder / WORKSPACE_FILE: (files(_SHIPPED) / WORKSPACE_FILE).read_text(encoding="utf-8"),
        folder / DEFAULT_HOME / INSTANCE_FILE: (files(_SHIPPED) / INSTANCE_FILE).read_text(encoding="utf-8"),
    }
    if not force:
        _refuse_existing([path for path, text in texts.items() if _content(path) not in {None, text}])
    media = folder / SANDBOX_MEDIA if given.is_sandbox and given.uri is None else None
    _write(texts, media)
    commands = next_commands(folder, answers, is_sandbox=given.is_sandbox)
    if as_json:
        print_json(
            {"folder": str(folder), "files": [str(path) for path in texts], "next": [one.text for one in commands]}
        )
    else:
        _show(folder, list(texts), commands, media)
    _warn_of_environment(folder, answers)
    return DONE


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


def _write(texts: Mapping[Path, str], media: Path | None) -> None:
    """Write all files and make the folders; nothing stays of it when one can't be written."""
    before = {path: path.read_bytes() if path.is_file() else None for path in texts}
    folders = {path.parent for path in texts} | ({media} if media else set())
    new = {folder for path in folders for folder in (path, *path.parents) if not folder.exists()}
    try:
        for folder in sorted(folders):
            folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        _undo(before, new)
        raise UsageError(
            f"{error.filename} can't be written: {error.strerror}. Give --dir for a folder that this user may write."
        ) from error


def _undo(before: Mapping[Path, bytes | None], new: Collection[Path]) -> None:
    for path, data in before.items():
        with suppress(OSError):
            path.unlink(missing_ok=True) if data is None else path.write_bytes(data)
    for folder in sorted(new, reverse=True):  # what lies deeper comes first
        with suppress(OSError):
            folder.rmdir()


def _show(folder: Path, written: list[Path], commands: list[NextCommand], media: Path | None) -> None:
    say(f"Written to {folder}: {', '.join(str(path.relative_to(folder)) for path in written)}")
    if media is not None:
        say(f"Put files to register into {media}: images, videos, audio, PDF or text.")
    say("Next:")
    for command in commands:
        say(f"  {command.text}" + (f"     # {command.note}" if command.note else ""))
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
