"""Arguments that are not UTF-8, as a shell completes names of files: found as the inventory spells them, and never a bug."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from registration_pipeline_tests.unit.cli.conftest import Workplace

SOURCE = "fleet-cameras"
ODD = os.fsdecode(b"latin\xe9.png")
COMMANDS = {
    "find, a source": ("find", ODD, "a.jpg"),
    "chunks, a source": ("chunks", ODD),
    "status, a source": ("status", ODD),
    "failures, a source": ("failures", ODD),
    "failures, a file": ("failures", SOURCE, "--out", ODD),
    "check, a source": ("check", ODD),
    "sync, a source": ("sync", ODD),
    "sync without a change, a source": ("sync", ODD, "--dry-run"),
    "inventory, a source": ("inventory", ODD),
    "probe, a source": ("probe", ODD),
    "plan, a source": ("plan", ODD),
    "submit, a source": ("submit", ODD),
    "submit, a chunk": ("submit", SOURCE, "--chunk", ODD),
    "cancel, a source": ("cancel", ODD, "--chunk", "images-1"),
    "cancel, a chunk": ("cancel", SOURCE, "--chunk", ODD),
    "export, a source": ("export", ODD, "--out", "x"),
    "export, a chunk": ("export", SOURCE, "--out", "x", "--chunk", ODD),
    "export, a folder": ("export", SOURCE, "--out", ODD),
    "audit, a source": ("audit", ODD),
    "audit, a file": ("audit", SOURCE, "--out", ODD),
    "report, a source": ("report", ODD, "--out", "r.html"),
    "report, a file": ("report", SOURCE, "--out", f"{ODD}.html"),
    "failures, a file that is written": ("failures", SOURCE, "--out", f"{ODD}.csv"),
    "audit, a file of findings": ("audit", SOURCE, "--out", f"{ODD}.csv"),
    "schema, an argument": ("schema", ODD),
    "notify, an argument": ("notify", ODD),
    "state, pruned": ("state", ODD, "--prune", "5"),
    "runs, a source": ("runs", ODD, "--prune", "5"),
    "no command": (ODD,),
    "an option": ("status", f"--{ODD}"),
    "rehearse, a source": ("rehearse", ODD),
    "state, a source": ("state", ODD, "--verify"),
    "a configuration": ("status", "--config", ODD),
}


def put_odd(workplace: Workplace) -> None:
    workplace.put("a.jpg")
    (workplace.root / "files" / ODD).write_bytes(b"x")
    workplace.plan()


def test_a_name_that_is_not_utf8_is_found_as_the_inventory_spells_it_beside_others(workplace: Workplace) -> None:
    put_odd(workplace)

    said = workplace.run("find", SOURCE, "a.jpg", ODD, "--json")

    assert said.status == 0
    found = [(one["asked"], one["place"]) for one in said.document["objects"]]
    assert found == [("a.jpg", "pending"), (r"latin\xe9.png", "rejected")]


@pytest.mark.slow
def test_no_argument_that_is_not_utf8_is_a_bug(workplace: Workplace) -> None:
    put_odd(workplace)
    ended = {}
    for name, arguments in COMMANDS.items():
        for form in ((), ("--json",)):
            said = workplace.run(*arguments, *form)
            ended[name, form] = (said.status, said.words[-500:])

    assert {name: end for name, end in ended.items() if end[0] not in {0, 2, 3, 4}} == {}
