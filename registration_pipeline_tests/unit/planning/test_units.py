from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from registration_pipeline.objects import MediaKind
from registration_pipeline.planning.units import ChunkUnits, PlannedObject, PlannedUnit

if TYPE_CHECKING:
    from random import Random


@given(st.lists(st.integers(1, 3), max_size=8), st.integers(0, 9), st.randoms())
def test_units_are_the_same_as_columns_and_as_tuples(sizes: list[int], cut: int, spread: Random) -> None:
    units = [
        PlannedUnit(
            unit_id=f"id-{index}",
            kind=MediaKind.IMAGE,
            title=f"t{index}",
            objects=tuple(
                PlannedObject(f"k{index}-{number}", f"s3://b/{index}-{number}", number) for number in range(size)
            ),
            unit_index=index,
            client_metadata=f'{{"a":{index}}}' if size == 2 else None,
        )
        for index, size in enumerate(sizes)
    ]
    shuffled = list(units)
    spread.shuffle(shuffled)

    made = ChunkUnits.of(shuffled)

    assert list(made) == units
    assert (len(made), made.objects, made.is_single) == (len(units), sum(sizes), set(sizes) <= {1})
    assert made.has_client_metadata == (2 in sizes)
    assert made.values("key") == [entry.key for unit in units for entry in unit.objects]
    for part, expected in ((made[:cut], units[:cut]), (made[cut:], units[cut:])):
        assert list(part) == expected
        assert part.values("object_url") == [entry.object_url for unit in expected for entry in unit.objects]
