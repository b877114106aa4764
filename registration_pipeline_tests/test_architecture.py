"""The import rules of docs/architecture.md, checked on the source; and what loading the code location may cost."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PACKAGE = Path(__file__).parents[1] / "registration_pipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))
SHELL = ("orchestration/", "definitions.py", "cli/", "demo/")
DAGSTER_MODULES = [path for path in MODULES if "/orchestration/" in str(path) or path.name == "definitions.py"]


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@dataclass(frozen=True, slots=True)
class Outline:
    """What the rules need to know of a module; its tree isn't kept, whose half a million nodes every search for garbage meets.

    Args:
        text: the whole module.
        docstring: its own, empty without one.
        imports: every module that it imports anywhere, also inside functions.
        functions: name and lines of every function.
    """

    text: str
    docstring: str
    imports: frozenset[str]
    functions: tuple[tuple[str, int], ...]


def outline(text: str) -> Outline:
    tree = ast.parse(text)
    imports: set[str] = set()
    functions = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports.add(node.module)
            imports.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.append((node.name, (node.end_lineno or 0) - node.lineno + 1))
    return Outline(text, ast.get_docstring(tree) or "", frozenset(imports), tuple(functions))


@functools.cache
def outline_of(path: Path) -> Outline:
    """Read and parse a module once for all tests: each of them walks through the whole package."""
    return outline(path.read_text(encoding="utf-8"))


def imported_names(path: Path) -> frozenset[str]:
    return outline_of(path).imports


def imports_of(root: str) -> set[str]:
    """Return the files that import a top-level package."""
    return {
        relative(path)
        for path in MODULES
        if any(name == root or name.startswith(f"{root}.") for name in imported_names(path))
    }


LAYERS = (
    ("__init__",),
    ("demo",),
    ("cli", "definitions", "__main__"),
    ("orchestration",),
    ("pipeline",),
    ("stages",),
    ("report",),
    ("project",),
    ("audit", "notify", "rehearsal", "verification"),
    ("submission",),
    ("manifest", "tracking"),
    ("planning",),
    ("facts",),
    ("inventory",),
    ("tables",),
    ("state",),
    ("urls",),
    ("settings",),
    ("ids",),
    ("tracing",),
    ("counted", "foreign_text", "globs", "limits", "objects"),
    ("sandbox",),
    ("bounds", "errors"),
)
"""A package or module imports from its own layer and from those below it, never from one above."""

LAYER_OF = {name: number for number, layer in enumerate(LAYERS) for name in layer}

ALLOWED_UPWARDS = {
    # The command that runs the demo: the demo runs the other commands, so one of the two arrows points up.
    ("cli/declarations/local.py", "demo"),
}


def test_imports_point_down_the_layers() -> None:
    upwards = {
        (relative(path), name)
        for path in MODULES
        for name in imported_rooms(path)
        if LAYER_OF[name] < LAYER_OF[room_of(path)] and (relative(path), name) not in ALLOWED_UPWARDS
    }

    assert upwards == set()


def test_no_two_rooms_of_one_layer_import_each_other() -> None:
    arrows = {(room_of(path), name) for path in MODULES for name in imported_rooms(path)}

    assert {(one, other) for one, other in arrows if one != other and (other, one) in arrows} <= {
        ("cli", "demo"),
        ("demo", "cli"),
    }


def test_every_room_has_a_layer() -> None:
    assert {room_of(path) for path in MODULES} - LAYER_OF.keys() == set()


def room_of(path: Path) -> str:
    """Return the package or module at the top level that a file belongs to."""
    return relative(path).split("/")[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Return the packages and modules at the top level that a file imports from, its own left out."""
    named = {
        name.split(".")[1]
        for name in imported_names(path)
        if name.startswith("registration_pipeline.") and name != "registration_pipeline.__version__"
    }
    return named - {room_of(path)}


@pytest.mark.parametrize("package", ["dagster", "dagster_aws", "dagster_azure", "dagster_gcp"])
def test_only_the_shell_imports_dagster(package: str) -> None:
    assert {file for file in imports_of(package) if not file.startswith(SHELL)} == set()


def test_only_one_module_imports_what_dagster_keeps_private() -> None:
    private = {
        relative(path)
        for path in MODULES
        if any(name.startswith("dagster") and "._" in name for name in imported_names(path))
        or "dagster._" in outline_of(path).text
    }

    assert private == {"orchestration/private_dagster.py"}


def test_only_the_encord_package_imports_the_sdk() -> None:
    assert {file for file in imports_of("encord") if not file.startswith("submission/encord/")} == set()


def test_only_the_retries_of_encord_and_of_messages_import_tenacity() -> None:
    assert imports_of("tenacity") == {"submission/calls/retry.py", "notify/sending.py"}


def test_only_the_slack_channel_imports_its_sdk() -> None:
    assert imports_of("slack_sdk") == {"notify/channels/slack.py"}


def test_the_pipeline_does_not_know_its_sandbox_or_demo() -> None:
    knowing = imports_of("registration_pipeline.sandbox") | imports_of("registration_pipeline.demo")

    assert {file for file in knowing if not file.startswith(("sandbox/", "demo/", "cli/"))} == set()


def test_the_sandbox_shares_nothing_with_the_pipeline_that_it_checks() -> None:
    """Only errors may be shared: a limit or a key table in common would let both be wrong together."""
    allowed = {"registration_pipeline", "registration_pipeline.errors", "registration_pipeline.__version__"}
    shared = {
        name
        for path in PACKAGE.glob("sandbox/**/*.py")
        for name in imported_names(path)
        if name.startswith("registration_pipeline") and not name.startswith("registration_pipeline.sandbox")
        if name not in allowed and not name.startswith("registration_pipeline.errors.")
    }

    assert shared == set()


def postponing(module: Outline) -> str:
    return "postponed annotations" if "from __future__ import annotations" in module.text else ""


def too_little_said(module: Outline) -> str:
    return "" if len(module.docstring) > 40 else f"opens with {module.docstring!r}"


def too_large(module: Outline) -> str:
    lines = module.text.count("\n")
    wrong = [f"{lines} lines"] if lines > 420 else []
    return ", ".join([*wrong, *(f"{name} of {size} lines" for name, size in module.functions if size > 60)])


def wrong_with(rule: Callable[[Outline], str], paths: Sequence[Path]) -> dict[str, str]:
    """Return what a rule says of each file that breaks it."""
    return {relative(path): wrong for path in paths if (wrong := rule(outline_of(path)))}


def test_dagster_modules_keep_their_annotations() -> None:
    """Dagster reads annotations at definition time; postponed ones break assets, checks and config."""
    assert wrong_with(postponing, DAGSTER_MODULES) == {}
    assert len(DAGSTER_MODULES) > 50


def test_every_module_opens_with_what_belongs_in_it() -> None:
    assert wrong_with(too_little_said, MODULES) == {}


def test_files_and_functions_stay_small() -> None:
    assert wrong_with(too_large, MODULES) == {}
    assert len(MODULES) > 500


OPENING = '"""What belongs in it, and what does not belong in it."""\n'
LONG_FUNCTION = "class Outer:\n    async def inner(self):\n" + 60 * "        pass\n"


@pytest.mark.parametrize(
    ("rule", "text", "wrong"),
    [
        pytest.param(
            postponing, "from __future__ import annotations\n", "postponed annotations", id="postponed annotations"
        ),
        pytest.param(too_little_said, "x = 1\n", "opens with ''", id="no docstring"),
        pytest.param(too_little_said, '"""Files."""\n', "opens with 'Files.'", id="a docstring that says little"),
        pytest.param(too_large, OPENING + 420 * "\n", "421 lines", id="a long file"),
        pytest.param(too_large, LONG_FUNCTION, "inner of 61 lines", id="a long function"),
    ],
)
def test_a_module_that_breaks_a_rule_is_named(
    rule: Callable[[Outline], str], text: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(OPENING, encoding="utf-8")
    bad.write_text(text, encoding="utf-8")

    assert wrong_with(rule, [good, bad]) == {"bad.py": wrong}


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert {path.stem for path in MODULES} & {"utils", "helpers", "common", "manager"} == set()


def test_only_the_outer_layer_reads_the_environment() -> None:
    """Settings take the environment as an argument; only the shell and the command line hand it over."""
    readers = {
        relative(path)
        for path in MODULES
        if "os.environ" in outline_of(path).text or "os.getenv" in outline_of(path).text
    }

    assert {
        file for file in readers if not file.startswith((*SHELL, "project/")) and file != "state/bucket.py"
    } == set()


LOADING = textwrap.dedent("""
    import sys
    import dagster
    calls = 0

    def count(frame, event, arg):
        global calls
        calls += event == "call"

    sys.setprofile(count)
    from registration_pipeline.definitions import defs
    loaded = defs()
    loaded.get_repository_def() if hasattr(loaded, "get_repository_def") else None
    sys.setprofile(None)
    heavy = {"encord", "pyarrow", "boto3", "botocore", "dagster_aws", "obstore", "polars",
             "azure", "google.cloud", "google.auth", "dagster_gcp", "dagster_azure", "pandas"} & set(sys.modules)
    print(f"{calls} {','.join(sorted(heavy)) or '-'}")
""")
MOST_CALLS = 250_000
"""Function calls of Python code on top of Dagster's own. 82,000 were counted, which took 0.16 s: this is half a second."""


def test_loading_the_code_location_imports_nothing_heavy_and_takes_few_steps() -> None:
    """Steps are counted and not timed: what else the machine does is not the code's cost."""
    config = PACKAGE.parent / "examples" / "registration.yaml"
    environ = {**os.environ, "REGISTRATION_CONFIG": str(config)}

    run = subprocess.run(
        [sys.executable, "-c", LOADING], env=environ, capture_output=True, text=True, check=True, timeout=120
    )

    calls, heavy = run.stdout.split()[-2:]
    assert heavy == "-"
    assert 0 < int(calls) < MOST_CALLS
