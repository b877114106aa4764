"""The commands that ``init`` names at the end, in the order in which they are typed.

What does not belong here: showing them (``command.py``).
"""

import shlex
from pathlib import Path
from typing import NamedTuple

from registration_pipeline.cli.init.answers import Answers


class NextCommand(NamedTuple):
    """A command, and what to know of it."""

    text: str
    note: str = ""


_CHECK, _SYNC = NextCommand("registration-pipeline check"), NextCommand("registration-pipeline sync")


def next_commands(folder: Path, answers: Answers, *, is_sandbox: bool) -> list[NextCommand]:
    """Return what to run in a folder that was set up."""
    steps = [] if folder == Path.cwd() else [NextCommand(f"cd {shlex.quote(str(folder))}")]
    if not is_sandbox:
        key = NextCommand("export ENCORD_SSH_KEY_FILE=~/.ssh/encord_key", "the key whose public half Encord knows")
        return [*steps, key, _CHECK, _SYNC]
    if answers.uri.startswith(("s3://", "obs://")):
        # Stores with an endpoint are opened by the sandbox as well; those of Amazon are not.
        both = "; in both terminals, for the sandbox opens the objects" if answers.endpoint_url else ""
        credentials = "export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=..."
        steps.append(NextCommand(credentials, f"of the bucket, or AWS_PROFILE{both}"))
    return [
        *steps,
        NextCommand("registration-pipeline sandbox --open", "in a second terminal, until Ctrl-C"),
        NextCommand("export ENCORD_SSH_KEY_FILE=$PWD/sandbox/id_ed25519"),
        _CHECK,
        _SYNC,
    ]
