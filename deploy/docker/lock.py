"""Writes and reads ``requirements.txt`` beside this file: what the image installs, each file by its digest.

``lock.py write`` asks the package index, with pip, which files the versions of ``constraints.txt`` have for the two platforms
of the image. ``lock.py choose EXTRA…`` prints the requirements of an image with these extras, and asks nothing. A line ends
with what needs it: ``base``, ``build`` (to make our own wheel) or an extra. ``make lock`` runs the first, the Dockerfile the
second.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
LOCK = HERE / "requirements.txt"

ALWAYS, BUILD = "base", "build"
NOT_IN_IMAGES = frozenset({"demo"})
"""Extras that are for a workstation."""

PLATFORMS = ("x86_64", "aarch64")
PYTHON = "3.11"
_OLDEST_GLIBC, _GLIBC = 5, 36
"""The C library of Debian 12 is 2.36, which runs everything that was built for an older one."""

_HEAD = """\
# What deploy/docker/Dockerfile installs, each file by its digest: `make lock` writes this from pyproject.toml and
# constraints.txt. After # is what needs it: base, build or an extra.
"""


def groups() -> dict[str, list[str]]:
    """Return the requirements of pyproject.toml by what needs them."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    optional = project["project"]["optional-dependencies"]
    extras = {name: wanted for name, wanted in optional.items() if name not in NOT_IN_IMAGES}
    own = project["project"]["name"]
    return {
        ALWAYS: project["project"]["dependencies"],
        BUILD: project["build-system"]["requires"],
        **{name: list(_without_own(wanted, own, optional)) for name, wanted in extras.items()},
    }


def _without_own(wanted: Iterable[str], own: str, optional: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield requirements, and for an extra of our own what that needs."""
    for requirement in wanted:
        if requirement.startswith(f"{own}["):
            for extra in requirement.removeprefix(f"{own}[").removesuffix("]").split(","):
                yield from _without_own(optional[extra.strip()], own, optional)
        else:
            yield requirement


def write() -> None:
    """Ask the index for the files of all groups on all platforms, and write them down."""
    needed: defaultdict[str, set[str]] = defaultdict(set)
    digests: defaultdict[str, set[str]] = defaultdict(set)
    for group, requirements in groups().items():
        wanted = [*([] if group == BUILD else groups()[ALWAYS]), *requirements]
        with ThreadPoolExecutor() as both:  # of the platforms; pip's own work is most of the time
            for files in both.map(partial(_files, wanted), PLATFORMS):
                for pin, digest in files:
                    needed[pin].add(group)
                    digests[pin].add(digest)
    always = {pin for pin, found in needed.items() if ALWAYS in found}
    lines = [
        " ".join(
            [pin, *(f"--hash=sha256:{one}" for one in sorted(digests[pin])), "#", *_shown(needed[pin], pin in always)]
        )
        for pin in sorted(needed)
    ]
    LOCK.write_text(_HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def _shown(found: Iterable[str], is_always: bool) -> list[str]:  # noqa: FBT001
    """Return the groups of a line: what every image has needs no extra to be named."""
    return sorted(group for group in found if not is_always or group in {ALWAYS, BUILD})


def _files(requirements: Sequence[str], platform: str) -> list[tuple[str, str]]:
    """Return the version and the digest of each file that a platform needs."""
    tags = [f"manylinux_2_{minor}_{platform}" for minor in range(_GLIBC, _OLDEST_GLIBC - 1, -1)]
    older = [
        f"manylinux2014_{platform}",
        *([f"manylinux2010_{platform}", f"manylinux1_{platform}"] if platform == "x86_64" else []),
    ]
    with tempfile.TemporaryDirectory() as nowhere:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
            "--report",
            "-",
        ]
        command += ["--only-binary=:all:", "--target", nowhere, "--python-version", PYTHON, "--implementation", "cp"]
        command += ["--constraint", str(REPOSITORY / "constraints.txt")]
        for tag in (*tags, *older, f"linux_{platform}"):
            command += ["--platform", tag]
        # Wheels that were built here would have other digests than those of the index.
        environ = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
        environ["PIP_CONFIG_FILE"] = os.devnull
        found = subprocess.run([*command, *requirements], check=True, stdout=subprocess.PIPE, env=environ)
    return [
        (_pin(one["metadata"]), one["download_info"]["archive_info"]["hashes"]["sha256"])
        for one in json.loads(found.stdout)["install"]
    ]


def _pin(metadata: Mapping[str, str]) -> str:
    return f"{re.sub(r'[-_.]+', '-', metadata['name']).lower()}=={metadata['version']}"


def choose(wanted: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the groups.

    Raises:
        SystemExit: a group is not in the file.
    """
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    by_line = {line: set(line.partition(" # ")[2].split()) for line in lines}
    known = groups().keys()
    if unknown := set(wanted) - known:
        extras = ", ".join(sorted(known - {ALWAYS, BUILD}))
        raise SystemExit(f"EXTRAS has {', '.join(sorted(unknown))}, which an image can't have; known are {extras}")
    for line, found in by_line.items():
        if found & set(wanted):
            yield line.partition(" # ")[0]


def main(arguments: Sequence[str]) -> None:
    """Run one of the two commands."""
    match arguments:
        case ["write"]:
            write()
        case ["choose", *wanted]:
            print("\n".join(choose([one for text in wanted for one in text.replace(",", " ").split()])))
        case _:
            raise SystemExit("usage: lock.py write | lock.py choose base EXTRA…")


if __name__ == "__main__":
    main(sys.argv[1:])
