"""Reports in Dagster: an asset `bi/<report>` for each, made together for a sender, and the sensor that asks for it.

Belongs here: the face. Does not belong here: when a report is out of date, and how it is made (`claims_pipeline.bi`).

They are no part of the runs that load: a backlog would make them again for every run, and one refused dataset would
keep them from being made at all.
"""

import datetime as dt
from collections.abc import Iterable, Iterator

import dagster as dg

from claims_pipeline import bi, checks
from claims_pipeline.feeds import Report, Sender
from claims_pipeline.orchestration import liveness
from claims_pipeline.orchestration.assets import TRANSIENT, safe_failures
from claims_pipeline.orchestration.describe import check_result
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.orchestration.upkeep import tell_of_failed_upkeep
from claims_pipeline.vocabulary import CheckName
from claims_pipeline.warehouse.bi.refresh import Refreshed
from claims_pipeline.warehouse.bi.views import definition

GROUP = "bi"
REPORTS_TAG = "claims_pipeline/reports"
"""On runs that make reports: whose."""


def report_key(report: Report) -> dg.AssetKey:
    """The report's view."""
    return dg.AssetKey(["bi", report.name])


def report_assets(senders: Iterable[Sender]) -> list[dg.AssetsDefinition]:
    """The reports of those senders that have some."""
    return [_assets(sender) for sender in senders if bi.reports_of(sender)]


def _assets(sender: Sender) -> dg.AssetsDefinition:
    reports = bi.reports_of(sender)

    @dg.multi_asset(
        name=f"reports_{sender.name}",
        specs=[_spec(report) for report in reports],
        check_specs=[
            dg.AssetCheckSpec(
                CheckName.SMALL_GROUPS_MERGED.value,
                asset=report_key(report),
                description=f"Every row tells of at least {sender.smallest_cell} persons, and rows add up.",
            )
            for report in reports
        ],
        retry_policy=TRANSIENT,
        pool=f"reports_{sender.name}",
        hooks={tell_of_failed_upkeep},
    )
    def made(
        context: dg.AssetExecutionContext, pipeline: PipelineResource
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
        with safe_failures(context):
            liveness.hold(context.run.run_id, pipeline.settings.run_locks)
            pipeline.flow(context.run.run_id).prepare([])
            # By hand they are made anew, also where nothing was loaded since.
            done = bi.refresh(pipeline.services, [sender], force=REPORTS_TAG not in context.run.tags)
            for report, one in zip(reports, done, strict=True):
                yield dg.MaterializeResult(asset_key=report_key(report), metadata=_figures(one))
                outcome = checks.small_groups_merged(
                    parts=one.parts, merged=one.merged, least=one.least, smallest=sender.smallest_cell
                )
                yield check_result(outcome, asset_key=report_key(report))

    return made


def _spec(report: Report) -> dg.AssetSpec:
    sender = report.sender
    counted = dg.TableColumn(report.counted, "bigint", description="How many")
    columns = [
        dg.TableColumn("period", "date", description="First day of the day, month or year; empty: of all time"),
        dg.TableColumn("grain", "text", description="day, month, year or all"),
        *(dg.TableColumn(name, "text") for name in report.groups),
        counted,
        *(dg.TableColumn(name, "numeric") for name in report.sums),
    ]
    return dg.AssetSpec(
        key=report_key(report),
        deps=[dg.AssetKey([sender.name, dataset]) for dataset in report.reads],
        group_name=GROUP,
        kinds={"postgres", "view"},
        owners=list(sender.owners),
        description=f"{report.title} Counts for everybody who may read `bi`: each row tells of at least "
        f"{sender.smallest_cell} persons.",
        code_version=definition(report)[:12],
        metadata={"dagster/column_schema": dg.TableSchema(columns), "dagster/table_name": f"bi.{report.name}"},
    )


def _figures(done: Refreshed) -> dict[str, dg.MetadataValue]:
    return {
        "as_of": dg.MetadataValue.text(done.as_of.isoformat()),
        "dagster/row_count": dg.MetadataValue.int(done.parts),
        "merged": dg.MetadataValue.int(done.merged),
        "seconds": dg.MetadataValue.float(done.seconds),
    }


def reports_sensors(senders: Iterable[Sender], *, seconds: int = 30) -> list[dg.SensorDefinition]:
    """Asks for reports of senders whose tables have changed since, and once a day, since outcomes change with time.

    Returns:
        One sensor; none where no sender has reports.
    """
    with_reports = [sender for sender in senders if bi.reports_of(sender)]
    if not with_reports:
        return []

    @dg.sensor(
        name="reports",
        target=dg.AssetSelection.assets(
            *(report_key(report) for sender in with_reports for report in bi.reports_of(sender))
        ),
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run where the tables behind reports have changed, or the date has.",
    )
    def reports(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SensorResult | dg.SkipReason:
        pipeline.flow("reports-sensor").prepare([])
        # A request that failed is made again within the hour, not with every tick.
        hour = f"{dt.datetime.now(dt.UTC):%Y%m%d%H}"
        requests = [
            dg.RunRequest(
                run_key=f"{state}-{hour}",
                asset_selection=[report_key(report) for report in bi.reports_of(sender)],
                tags={REPORTS_TAG: sender.name},
            )
            for sender in with_reports
            if (state := bi.due(pipeline.services, sender))
        ]
        return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("all reports are up to date")

    return [reports]
