"""The asset `ops/rebuild_drill` and its schedule: tables of a sample, made again from the archive, are the live ones.

Belongs here: the face of `rebuild.drill` in Dagster. Does not belong here: the drill, and what tasks of upkeep have in
common (upkeep.py), such as that a failed one is told.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict

import dagster as dg

from claims_pipeline import checks
from claims_pipeline.errors import ClaimsPipelineError, Transient
from claims_pipeline.orchestration import liveness
from claims_pipeline.orchestration.assets import safe_failures
from claims_pipeline.orchestration.describe import check_result
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.orchestration.upkeep import upkeep_asset, upkeep_schedule
from claims_pipeline.rebuild import Drill, drill
from claims_pipeline.vocabulary import CheckName

REBUILD_DRILL = dg.AssetKey(["ops", "rebuild_drill"])


@upkeep_asset(
    REBUILD_DRILL,
    description="The tables of the feed that was not drilled for the longest time, and of its kin, made again from the "
    "raw archive alone in a scratch database, and compared with the live ones, histories included.",
    kinds={"postgres", "s3"},
    checked=[
        (CheckName.REBUILD_EQUALS_TABLE, "Tables made again from the raw archive equal the live ones, with histories.")
    ],
)
def rebuild_drill(
    context: dg.AssetExecutionContext, pipeline: PipelineResource
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    """Rebuild a sample beside the warehouse and compare; a drill that does not pass fails its run, and is told."""
    with safe_failures(context):
        run_id = context.run.run_id
        liveness.hold(run_id, pipeline.settings.run_locks)
        pipeline.flow(run_id).prepare([])
        try:
            done = drill(pipeline.services, run_id=run_id, each=_teller(context))
        except Transient:
            raise
        except ClaimsPipelineError as error:
            yield check_result(checks.rebuild_failed(str(error)))
            raise
        if done is None:
            yield check_result(checks.rebuild_equals_table(feeds=[], tables=0, rows=0, differences=""))
            yield dg.MaterializeResult(metadata={"feeds": "none: no dump is in effect yet"})
            return
        outcome = checks.rebuild_equals_table(
            feeds=done.rebuilt.feeds,
            tables=done.comparison.tables,
            rows=done.rebuilt.rows,
            differences=done.comparison.summary,
        )
        yield check_result(outcome)
        if not outcome.passed:
            raise ClaimsPipelineError(outcome.summary)
        yield dg.MaterializeResult(metadata=_figures(done))


def rebuild_drill_schedule() -> dg.ScheduleDefinition:
    """Weekly, an hour after the restore drill."""
    return upkeep_schedule(
        REBUILD_DRILL, cron="0 5 * * 0", description="Rebuilds a sample from the raw archive, weekly, to prove it."
    )


def _teller(context: dg.AssetExecutionContext) -> Callable[[int, int, str], None]:
    def tell(done: int, of: int, name: str) -> None:
        if done % max(1, of // 10) == 0:  # some ten lines, however many dumps
            context.log.info("%s of %s dumps are done; next %s", done, of, name)

    return tell


def _figures(done: Drill) -> dict[str, dg.MetadataValue]:
    differences = [dg.TableRecord(asdict(difference)) for difference in done.comparison.differences]
    return {
        "feeds": dg.MetadataValue.text(", ".join(done.rebuilt.feeds)),
        "dumps": dg.MetadataValue.int(done.rebuilt.dumps),
        "rows": dg.MetadataValue.int(done.rebuilt.rows),
        "tables": dg.MetadataValue.int(done.comparison.tables),
        "seconds": dg.MetadataValue.float(done.rebuilt.seconds),
        "differences": dg.MetadataValue.table(differences, schema=_DIFFERENCE),
    }


_DIFFERENCE = dg.TableSchema(
    [
        dg.TableColumn("table", "string"),
        *(dg.TableColumn(name, "int") for name in ("rows", "rows_other", "missing", "extra")),
    ]
)
