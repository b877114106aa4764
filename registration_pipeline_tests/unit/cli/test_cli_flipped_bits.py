"""Campaign: one bit of one file of a state that a ``sync`` has made is flipped, and every command is run on it.

Each gives exactly the numbers that it gave before, or ends with exit status 4 and the name of the file; nothing is sent.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

from registration_pipeline_tests.doses import DOSES
from registration_pipeline_tests.state_layouts.describe import kind_of
from registration_pipeline_tests.unit.cli.conftest import SOURCE, open_workplace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from registration_pipeline_tests.unit.cli.conftest import Said, Workplace

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(3600)]

READING: Final = (
    ("status", "--json"),
    ("failures", "--json"),
    ("plan", SOURCE, "--dry-run", "--json"),
)
RUNNING: Final = (("sync", "--json"), ("audit", SOURCE, "--json"), ("submit", SOURCE, "--json"))
_CHANGING: Final = (
    "audit_id",
    "started_at",
    "finished_at",
    "parquet",
    "csv",
    "inventory_id",
    "last_sync_at",
    "bytes",
    "xxh3",
)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A source after two nights, with failures, an audit and a backup of its state."""
    with pytest.MonkeyPatch.context() as patch:
        made = open_workplace(tmp_path_factory.mktemp("lived"), patch)
        made.put(*(f"day/frame_{number}.jpg" for number in range(7)), "thumbs/a.jpg", "note.xyz")
        made.refuse("frame_[34]")
        assert made.run("sync").status == 3
        made.put("day/later.jpg")
        (made.root / "files" / "day" / "frame_0.jpg").unlink()
        assert made.run("sync").status == 3
        assert made.run("audit", SOURCE).status == 3
        shutil.copytree(made.root / "state", made.root / "backup")
        yield made
        made.sandbox.stop()


def restore(workplace: Workplace) -> None:
    shutil.rmtree(workplace.root / "state")
    shutil.copytree(workplace.root / "backup", workplace.root / "state")


def without_times(document: Any) -> Any:
    if isinstance(document, dict):
        return {name: without_times(value) for name, value in document.items() if name not in _CHANGING}
    return [without_times(value) for value in document] if isinstance(document, list) else document


def flips(workplace: Workplace) -> list[tuple[Path, int]]:
    root = workplace.root / "state" / SOURCE
    kinds: dict[str, list[Path]] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        kinds.setdefault(kind_of(path.relative_to(root).as_posix()), []).append(path)
    found = []
    for kind, paths in sorted(kinds.items()):
        for number in range(max(DOSES.flipped_bits // 20, 1)):
            draw = random.Random(f"{kind} {number}")
            path = draw.choice(paths)
            found.append((path, draw.randrange(8 * path.stat().st_size)))
    return found


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def judge(said: Said, expected: Said, path: Path, what: str) -> bool:
    """See that a command gave what it gave before, or refused; return whether it refused."""
    if said.status == expected.status:
        assert without_times(said.document) == without_times(expected.document), what
        return False
    assert said.status == 4 or (said.status == 2 and path.name == "state.json"), f"{what}: {said.words}"
    assert path.name in said.words, f"{what}: {said.words}"
    return True


def test_every_command_gives_the_same_or_ends_with_4_and_the_name_of_the_file(
    lived: Workplace, note_line: Callable[[str], None]
) -> None:
    expected = {}
    for command in (*READING, *RUNNING):
        expected[command] = lived.run(*command)
        restore(lived)
    jobs = len(lived.sandbox.jobs())
    ends = Counter[str]()
    chosen = flips(lived)
    for number, (path, bit) in enumerate(chosen):
        what = f"bit {bit} of {path}"
        for command in (*READING, *(RUNNING if number % DOSES.one_in == 0 else ())):
            flip(path, bit)
            ends[command[0]] += judge(lived.run(*command), expected[command], path, f"{command[0]}, {what}")
            restore(lived)
        assert len(lived.sandbox.jobs()) == jobs, what
    note_line(f"{len(chosen)} bits flipped in a state that sync made; refused: {dict(ends)}")
