"""What the image is made from: every file by its digest, the versions of the tests, and nothing that lies around.

What does not belong here: making an image, which needs a builder; docs/deployment/kubernetes.md says where that was done.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import threading
import tomllib
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "docker"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
PINS = dict(re.findall(r"^([^#\s=]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))

_spec = importlib.util.spec_from_file_location("lock", FOLDER / "lock.py")
assert _spec is not None
assert _spec.loader is not None
lock = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lock)


def chosen(*groups: str) -> dict[str, str]:
    """Versions by name."""
    pins = [line.split(" ")[0].split("==") for line in lock.choose(groups)]
    return {canonicalize_name(name): version for name, version in pins}


def extras() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def test_every_file_has_a_digest_for_each_platform_or_one_for_all() -> None:
    for line in lock.choose(["base", "build", *extras() - {"demo"}]):
        digests = re.findall(r"--hash=sha256:([0-9a-f]{64})(?= |$)", line)
        assert 1 <= len(digests) <= len(lock.PLATFORMS), line
        assert line.split(" ")[1:] == [f"--hash=sha256:{one}" for one in digests]


def test_an_image_has_the_versions_that_the_tests_ran_with() -> None:
    pins: dict[str, str] = {canonicalize_name(name): version for name, version in PINS.items()}

    found = chosen("base", *extras() - {"demo"})

    assert {name: version for name, version in found.items() if pins.get(name) != version} == {}


def _needed(requirement: Requirement, seen: set[tuple[str, frozenset[str]]]) -> Iterator[str]:
    """Yield what an installed distribution needs on Linux, all the way down."""
    name = canonicalize_name(requirement.name)
    key = (name, frozenset(requirement.extras))
    if key in seen:
        return
    seen.add(key)
    yield name
    for text in requires(name) or ():
        inner = Requirement(text)
        environments = [{"extra": extra} for extra in requirement.extras or {""}]
        if inner.marker is None or any(inner.marker.evaluate(one) for one in environments):
            yield from _needed(inner, seen)


@pytest.mark.parametrize("extra", sorted(extras() - {"demo"}))
def test_an_image_has_all_that_an_extra_needs(extra: str) -> None:
    groups = lock.groups()
    wanted: set[str] = set()
    for text in (*groups["base"], *groups[extra]):
        wanted |= set(_needed(Requirement(text), set()))

    assert wanted - chosen("base", extra).keys() == set()


def test_an_image_with_one_extra_has_not_the_others() -> None:
    assert "google-cloud-storage" in chosen("base", "gcs")
    assert "google-cloud-storage" not in chosen("base", "k8s")
    assert "hatchling" not in chosen("base", *extras() - {"demo"})


def test_extras_may_be_written_with_commas_and_an_unknown_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    lock.main(["choose", "base", "gcs,k8s"])
    both = capsys.readouterr().out.splitlines()

    assert both == list(lock.choose(["base", "gcs", "k8s"]))
    with pytest.raises(
        SystemExit, match="EXTRAS has demo, which an image can't have; known are azure, celery, gcs, k8s"
    ):
        lock.main(["choose", "base", "demo"])


def test_only_wheels_with_a_digest_are_installed_and_no_compiler() -> None:
    installs = [
        line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if "pip install" in line or "pip --python" in line
    ]

    assert installs
    for line in installs:
        for command in re.findall(r"pip (?:--python \S+ )?install [^&]*", line):
            assert "--no-index" in command or {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(
                command.split()
            )
    assert not re.search(r"\b(gcc|g\+\+|build-essential|make)\b", DOCKERFILE)
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "pip" not in re.sub(r"#.*|pipeline", "", last)


def test_the_image_runs_as_a_user_of_its_own_with_a_process_1_that_hands_signals_on() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]

    assert "\nUSER 10001:10001\n" in last
    assert '\nENTRYPOINT ["/usr/bin/tini", "--"]\n' in last  # Dagster's launchers pass whole commands as arguments
    assert "\nHEALTHCHECK " in last


def test_nothing_of_a_work_tree_gets_into_an_image_but_what_it_is_made_from() -> None:
    first, *others = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    allowed = [line[1:] for line in others if line.startswith("!")]
    copied = [
        part for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for part in line.split()[:-1]
    ]

    assert first == "*"
    assert sorted(allowed) == sorted(copied)
    assert all((ROOT / one).exists() for one in allowed)


def healthy(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["sh", str(FOLDER / "healthy"), *arguments]
    return subprocess.run(
        command, env=os.environ | {"PATH": path} | environment, capture_output=True, text=True, check=False
    )


class _Answer(BaseHTTPRequestHandler):
    def __init__(self, status: int, *arguments: object) -> None:
        self._status = status
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.send_response(self._status if self.path == "/server_info" else 404)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.mark.parametrize(("status", "ended"), [(200, 0), (500, 1)], ids=["well", "broken"])
def test_a_web_server_is_healthy_when_it_answers(status: int, ended: int) -> None:
    with HTTPServer(("127.0.0.1", 0), partial(_Answer, status)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        said = healthy("web", str(server.server_port))
        server.shutdown()

    assert said.returncode == ended, said.stderr


def test_a_command_without_a_role_is_healthy_and_an_unknown_role_is_not() -> None:
    assert healthy().returncode == 0
    said = healthy(REGISTRATION_ROLE="worker")
    assert (said.returncode, said.stderr) == (1, "healthy: worker is none of code, web and daemon\n")
