"""An asset of this team that is made from what is registered."""

import dagster as dg

REGISTRATION = dg.AssetKey(["drone-footage", "registration"])


@dg.asset(deps=[REGISTRATION], group_name="labelling")
def labelling_queue(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """How many chunks of footage are ready to be labelled."""
    ready = context.instance.get_materialized_partitions(REGISTRATION)
    return dg.MaterializeResult(metadata={"chunks": len(ready)})
