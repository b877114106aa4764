"""Reads facts of a source with ``key_ranges`` in dynamic steps: a step for each key range, before the one that commits them.

What a step has read is kept in the state as the progress of a reading, from which the commit takes it. So a step that is
repeated reads only the rest, and what no step has read is read by the commit. What does not belong here: reading
(``facts/reading``), and the step that commits (``facts.py``).
"""

from collections.abc import Iterator, Mapping

import dagster as dg

from registration_pipeline.orchestration.hosted import hosted
from registration_pipeline.orchestration.key_ranges import CRASHES
from registration_pipeline.orchestration.names import SourceNames
from registration_pipeline.orchestration.resources import load_source
from registration_pipeline.orchestration.runs.listener import errors_as_failures
from registration_pipeline.stages.reading import FactStage, KeyRangeOfInventory, divide_reading, read_key_range


def divide_op(own: SourceNames, stage: str, name: str, ins: Mapping[str, dg.In]) -> dg.OpDefinition:
    """Return the step that says in which key ranges facts are read.

    Args:
        own: the names of the source.
        stage: of the facts.
        name: of the step, behind the source's.
        ins: what it waits for.
    """

    @dg.op(
        name=f"{own.ident}_{name}",
        description="Divides the newest inventory into key ranges that hold equally many objects.",
        ins=ins,
        out=dg.DynamicOut(dg.Nothing),
        required_resource_keys=own.resources,
        retry_policy=CRASHES,
        tags=own.op_tags,
    )
    @hosted(own, stage)
    def divide(context: dg.OpExecutionContext) -> Iterator[dg.DynamicOutput[None]]:
        with errors_as_failures():
            inventory_id, ranges = divide_reading(*load_source(context, own))
        for number in range(ranges):
            yield dg.DynamicOutput(None, mapping_key=f"{inventory_id}_{number:05d}_of_{ranges}")

    return divide


def range_op(own: SourceNames, stage: FactStage, name: str, *, again: bool) -> dg.OpDefinition:
    """Return the step that reads the facts of one key range.

    Args:
        own: the names of the source.
        stage: which facts.
        name: of the step, behind the source's.
        again: also if they were read for the latest inventory.
    """

    @dg.op(
        name=f"{own.ident}_{name}",
        description=f"Reads {stage.name} of the objects of one key range. What is known is not read again.",
        ins={"key_range": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        required_resource_keys=own.resources,
        retry_policy=CRASHES,
        tags=own.op_tags,
    )
    @hosted(own, stage.name)
    def read(context: dg.OpExecutionContext) -> Iterator[dg.AssetMaterialization]:
        inventory_id, number, _, ranges = (context.get_mapping_key() or "").split("_")
        part = KeyRangeOfInventory(inventory_id, int(number), int(ranges))
        with errors_as_failures():
            read_key_range(stage, *load_source(context, own), part, context.log.info, again=again)
        yield from ()

    return read
