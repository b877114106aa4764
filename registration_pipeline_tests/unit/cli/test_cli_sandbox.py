"""The ``sandbox`` command as a process: with ``--read`` it opens files, as Encord does."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace


def started(workplace: Workplace, *options: str) -> subprocess.Popen[str]:
    arguments = ["sandbox", "--port", "0", "--admin-port", "0", "--data", "own", "--json", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "registration_pipeline", *arguments],
        cwd=workplace.root,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("options", "failed"), [((), 0), (("--read", "files"), 1)], ids=["unread", "read"])
def test_a_broken_file_fails_only_if_files_are_opened(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], failed: int
) -> None:
    workplace.put("broken.jpg", body=b"not an image")
    process = started(workplace, *options)
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "}\n")
        connection = json.loads("".join(lines) + "}")
        monkeypatch.setenv("ENCORD_DOMAIN", connection["domain"])
        monkeypatch.setenv("ENCORD_SSH_KEY_FILE", connection["ssh_key_file"])
        workplace.register()
    finally:
        process.terminate()
        process.communicate(timeout=30)

    assert workplace.run("status", "--json").document["sources"]["fleet-cameras"]["failed"] == failed


def test_a_directory_to_read_that_does_not_exist_is_refused(workplace: Workplace) -> None:
    said = workplace.run("sandbox", "--read", "missing")

    assert said.status == 2
    assert "--read missing is not a directory" in said.words
