"""Going on from a state of ``make_layout_1.py``, with the Encord and the bucket that belong to it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from registration_pipeline.submission.gateway import RemoteItem
from registration_pipeline_tests.unit.conftest import Fleet

if TYPE_CHECKING:
    from registration_pipeline.state.store import StateStore

LAYOUT_1 = Path(__file__).parent / "layout_1"


def continued(store: StateStore, folder: Path) -> Fleet:
    """Return a fleet that goes on from a state; ``folder`` is where its ``encord.json`` is."""
    encord = json.loads((folder / "encord.json").read_text(encoding="utf-8"))
    fleet = Fleet(store=store, exclude=["skip/*"], chunk_size={"images": 4, "pdfs": 2})
    fleet.time.sleep(encord["seconds"])
    fleet.encord.folders.update(encord["folders"])
    for held, items in encord["items"].items():
        fleet.encord.items[held] = [
            RemoteItem(**{**item, "created_at": datetime.fromisoformat(item["created_at"])}) for item in items
        ]
    for key, facts in encord["bucket"].items():
        fleet.objects[key] = {**facts, "last_modified": datetime.fromisoformat(facts["last_modified"])}
    return fleet
