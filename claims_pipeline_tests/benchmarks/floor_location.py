"""Dagster's own floor: the smallest code location that has what ours has, one asset and one sensor with nothing to do.

Belongs here: what the start-up benchmark sets ours beside. Does not belong here: anything of claims_pipeline.
"""

from pathlib import Path

import dagster as dg

MARKER_TAG = "benchmark/marker"
"""On runs: path of a file that the asset makes, as ours commits its first row."""


@dg.asset
def nothing(context: dg.AssetExecutionContext) -> None:
    """Does nothing, or makes the file that the run names."""
    marker = context.run.tags.get(MARKER_TAG)
    if marker is not None:
        Path(marker).touch()


@dg.sensor(target=dg.AssetSelection.assets(nothing))
def idle() -> dg.SkipReason:
    """Finds nothing."""
    return dg.SkipReason("nothing to do")


defs = dg.Definitions(assets=[nothing], sensors=[idle], executor=dg.in_process_executor)
