"""``--json`` of the commands that talk to people otherwise: one document on standard output and nothing else there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "registration_pipeline", *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_the_sandbox_tells_a_program_how_to_connect(tmp_path: Path) -> None:
    process = start("sandbox", "--port", "0", "--admin-port", "0", "--data", "encord", "--json", folder=tmp_path)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    while lines[-1].rstrip() != "}":
        lines.append(process.stdout.readline())
        assert lines[-1], process.communicate()[1]
    told = json.loads("".join(lines))
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=6000)

    assert (rest, process.returncode) == ("", 0)
    assert told["domain"].startswith("http://127.0.0.1:")
    assert Path(told["ssh_key_file"]).read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert told["integrations"] == ["sandbox"]


def test_the_demo_with_its_ui_has_no_report(tmp_path: Path) -> None:
    process = start("demo", "--dir", "story", "--ui", "--json", folder=tmp_path)
    output, told = process.communicate(timeout=600)

    assert (json.loads(output)["error"]["exit_status"], process.returncode) == (2, 2)
    assert "--ui or --json" in told
