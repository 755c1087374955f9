"""Sensors and schedules: new dumps, missing dumps, killed runs, the daily digest. On by default.

Belongs here: asking the rooms and turning their answers into run requests. Does not belong here: the decision which
runs (arrivals.py), the words (alerts).
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import dagster as dg

from claims_pipeline import checks, deliveries
from claims_pipeline.arrival import Discovery
from claims_pipeline.errors import safe_text, whereabouts
from claims_pipeline.extent import Round
from claims_pipeline.feeds import Feed, Sender, all_feeds, all_senders, feed_named, feeds_of
from claims_pipeline.orchestration import liveness
from claims_pipeline.orchestration.arrivals import Decision, RunPlan, decide
from claims_pipeline.orchestration.keys import REQUEST_TAG, SENDER_TAG, arrivals_name, crons_of, feed_keys, table_key
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.orchestration.ticks import Tick
from claims_pipeline.orchestration.upkeep import GROUP, tell_killed
from claims_pipeline.reporting import run_url
from claims_pipeline.vocabulary import CheckOutcome, DeliveryState, DumpReport, DumpStatus, RunReport
from claims_pipeline.warehouse import ledger, reports

NOT_ENDED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
KEPT_IN_A_TICK = 32 << 20
"""Bytes up to which a tick archives an unknown dump; larger ones stay in the inbox, or are kept by `catch-up`."""


# ---------------------------------------------------------------------------------------------- arrivals


def arrivals_sensor(sender: Sender, *, seconds: int = 15) -> dg.SensorDefinition:
    """Looks into the sender's inbox and asks for runs of what the ledger has not seen."""

    @dg.sensor(
        name=arrivals_name(sender),
        target=dg.AssetSelection.groups(sender.name),
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Looks into the inbox of {sender.title}, compares with the ledger, asks for runs of what is new.",
    )
    def arrivals(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SensorResult | dg.SkipReason:
        tick = Tick(Round.from_text(context.cursor))
        requests, found, decision = look(context.instance, pipeline, sender, tick)
        _watch(context, pipeline, sender)
        said = (
            f"listed {found.listed}, of these {found.ignored} no dumps; new {found.new}, settling {found.settling}, "
            f"waiting {len(found.waiting)}, strange {len(found.strange)}, in flight {len(decision.in_flight)}, "
            f"given up {len(decision.give_up)}{f'; {tick.said}' if tick.said else ''}"
        )
        context.log.info(said)
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=tick.cursor)
        context.update_cursor(tick.cursor)
        return dg.SkipReason(said)

    return arrivals


def _watch(context: dg.SensorEvaluationContext, pipeline: PipelineResource, sender: Sender) -> None:
    """Tell of late, early and surplus arrivals, and of what is missing when its grace has passed.

    After the look: an inbox that could not be listed is not an empty one.
    """
    try:
        with pipeline.services.database() as connection:
            now = dt.datetime.now(dt.UTC)
            deliveries.watch(connection, pipeline.alerts(), feeds_of(sender.name), now=now, begin=False)
    except Exception as error:  # broad on purpose: the ledger has the look's requests, and the tick must return them
        context.log.error("deliveries were not looked at: %s at %s", safe_text(error), whereabouts(error))


def look(
    instance: dg.DagsterInstance, pipeline: PipelineResource, sender: Sender, tick: Tick | None = None
) -> tuple[list[dg.RunRequest], Discovery, Decision]:
    """One look into an inbox: enter into the ledger, decide, tell of what no run will tell of.

    Args:
        instance: of Dagster.
        pipeline: everything that a step needs.
        sender: whose inbox.
        tick: where the way through a large inbox is; None to begin it.

    Raises:
        Transient, ClaimsPipelineError: the tick fails visibly; an inbox that cannot be listed is not an empty one.
    """
    liveness.report_dead_runs(instance, pipeline.settings.run_locks)
    flow = pipeline.flow(f"arrivals-{uuid.uuid4().hex[:12]}")
    flow.prepare([])
    found = flow.discover(sender, (tick or Tick()).extent(pipeline, sender))
    flow.keep_unknown(found.unkept, most_bytes=KEPT_IN_A_TICK)
    decision = decide(
        found.open,
        in_flight=_in_flight(instance, sender),
        max_attempts=pipeline.settings.max_attempts,
        today=dt.datetime.now(ZoneInfo(sender.timezone)).date(),
    )
    if not (decision.plans or decision.give_up or found.strange):
        return [], found, decision  # most ticks: no connection for nothing
    with pipeline.services.database() as connection:
        for plan in decision.plans:
            ledger.request(connection, plan.dump_ids, plan.request_id)
        for dump in decision.give_up:
            reason = f"{dump.attempts} runs did not finish it; `claims-pipeline retry {dump.dump_id}` tries again"
            ledger.settle(connection, dump.dump_id, DumpStatus.FAILED, reason=reason)
        told = [reports.dump_report(connection, d.dump_id)[0] for d in (*found.strange, *decision.give_up)]
    if told:
        pipeline.alerts().run_ended(_report_of_tick(flow.run_id, sender, told))
    return [run_request(sender, plan) for plan in decision.plans], found, decision


def run_request(sender: Sender, plan: RunPlan) -> dg.RunRequest:
    """A plan as a Dagster run request: one run over a range of days."""
    feeds = [feed_named(f"{sender.name}/{dataset}") for dataset in plan.datasets]
    return dg.RunRequest(
        run_key=plan.request_id,
        asset_selection=[key for feed in feeds for key in feed_keys(feed)],
        tags={
            "dagster/asset_partition_range_start": plan.first.isoformat(),
            "dagster/asset_partition_range_end": plan.last.isoformat(),
            REQUEST_TAG: plan.request_id,
            SENDER_TAG: sender.name,
            # A crashed run is asked for again through the ledger, which counts attempts; not by the daemon as well.
            "dagster/max_retries": "0",
        },
    )


def _in_flight(instance: dg.DagsterInstance, sender: Sender) -> set[str]:
    runs = instance.get_runs(dg.RunsFilter(tags={SENDER_TAG: sender.name}, statuses=NOT_ENDED))
    return {run.tags[REQUEST_TAG] for run in runs if REQUEST_TAG in run.tags}


def _report_of_tick(run_id: str, sender: Sender, dumps: Sequence[DumpReport]) -> RunReport:
    return RunReport(
        run_id=run_id,
        run_url=None,
        outcome="attention",
        sender=sender.name,
        days=tuple(sorted({dump.delivery_day for dump in dumps})),
        dumps=tuple(dumps),
    )


# ---------------------------------------------------------------------------------------------- missing, fresh, digest


def missing_schedule(sender: Sender) -> dg.ScheduleDefinition:
    """When dumps may be missing: asks for what is open or failed, begins the watch, tells of what is absent."""
    crons = crons_of(sender)

    @dg.schedule(
        name=f"missing_{sender.name}",
        cron_schedule=crons[0] if len(crons) == 1 else crons,
        execution_timezone=sender.timezone,
        target=dg.AssetSelection.groups(sender.name),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Asks for what is missing of {sender.title}; tells which feeds delivered nothing, and what waits.",
    )
    def missing(
        context: dg.ScheduleEvaluationContext, pipeline: PipelineResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        now = context.scheduled_execution_time
        with pipeline.services.database() as connection:
            reopened = ledger.reopen_failed(connection, sender.name)
        requests, _, _ = look(context.instance, pipeline, sender)
        absent = tell_missing(context.instance, pipeline, sender, now)
        if requests:
            return requests
        return dg.SkipReason(
            f"nothing open; {reopened} failed dumps reopened; without a dump today: {absent or 'none'}"
        )

    return missing


def tell_missing(
    instance: dg.DagsterInstance, pipeline: PipelineResource, sender: Sender, now: dt.datetime
) -> list[str]:
    """Evaluate freshness of every feed of a sender, show it as a check, and tell of absent and of waiting dumps.

    Returns:
        Names of the feeds that should have delivered today and did not.
    """
    with pipeline.services.database() as connection:
        last = [(f, reports.last_loaded_day(connection, sender.name, f.dataset)) for f in feeds_of(sender.name)]
        today = deliveries.watch(connection, pipeline.alerts(), feeds_of(sender.name), now=now, begin=True)
        waiting = [(dump.key, dump.reason) for dump in ledger.waiting(connection, sender.name)]
    for feed, day in last:
        _report_fresh(instance, feed, checks.fresh(feed, now=now, last_loaded_day=day))
    if waiting:
        pipeline.alerts().waiting(day=now.astimezone(ZoneInfo(sender.timezone)).date(), waiting=waiting)
    return [delivery.feed for delivery in today if delivery.state is DeliveryState.MISSING]


def _report_fresh(instance: dg.DagsterInstance, feed: Feed, outcome: CheckOutcome) -> None:
    """Show freshness without a run: no run happens on a day without a dump, and that is the day that matters."""
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=table_key(feed),
            check_name=outcome.name.value,
            passed=outcome.passed,
            description=outcome.summary,
            metadata=dict(outcome.figures),
        )
    )


def digest_schedule() -> dg.ScheduleDefinition:
    """Once a day, for channels that are set to quiet: what became of the last day's dumps, in one message."""

    @dg.schedule(
        name="digest",
        cron_schedule="0 16 * * *",
        # Dagster asks for a target; no run is ever asked for.
        target=dg.AssetSelection.groups(GROUP),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Sends the daily digest where CLAIMS_SLACK_QUIET is set; starts no run.",
    )
    def digest(context: dg.ScheduleEvaluationContext, pipeline: PipelineResource) -> dg.SkipReason:
        if not pipeline.settings.slack_quiet:
            return dg.SkipReason("every run has a message of its own (CLAIMS_SLACK_QUIET is off)")
        now = context.scheduled_execution_time
        with pipeline.services.database() as connection:
            settled = [dump for dump, _ in reports.settled_since(connection, now - dt.timedelta(days=1))]
            absent = [
                feed.name
                for feed in all_feeds()
                if (last := checks.days_due(feed, now=now, lookback=1))
                and not reports.days_with_dumps(connection, feed.sender.name, feed.dataset, last[0])
            ]
        pipeline.alerts().digest(day=now.date(), dumps=settled, missing=absent)
        return dg.SkipReason(f"digest sent: {len(settled)} dumps")

    return digest


# ---------------------------------------------------------------------------------------------- killed runs


def killed_runs_sensor() -> dg.SensorDefinition:
    """Tells of failed runs that could not tell themselves: killed, out of memory, never started."""

    @dg.run_failure_sensor(
        name="killed_runs",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=15,
        description="Tells of runs that ended without their own message (killed, out of memory, never started).",
    )
    def killed_runs(context: dg.RunFailureSensorContext, pipeline: PipelineResource) -> None:
        run = context.dagster_run
        sender = run.tags.get(SENDER_TAG) or _sender_of(run)
        if sender is None:
            if not _told_itself(context):
                tell_killed(pipeline, run)
            return
        with pipeline.services.database() as connection:
            if reports.message_of(connection, run.run_id) is not None:
                return
        if _told_itself(context):
            return
        stats = context.instance.get_run_step_stats(run.run_id)
        last = max(stats, key=lambda s: s.start_time or 0.0).step_key if stats else ""
        ends = sorted(dt.date.fromisoformat(run.tags[tag]) for tag in _DAY_TAGS if tag in run.tags)
        days = [ends[0] + dt.timedelta(days=n) for n in range((ends[-1] - ends[0]).days + 1)] if ends else []
        posted = pipeline.alerts().crashed(
            run_id=run.run_id,
            sender=sender,
            days=days,
            last_step=last,
            run_url=run_url(pipeline.settings.dagster_url, run.run_id),
        )
        if posted is not None:
            with pipeline.services.database() as connection:
                reports.remember_message(connection, run.run_id, channel=posted.channel, ts=posted.ts)

    return killed_runs


_DAY_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end", "dagster/partition")


def _told_itself(context: dg.RunFailureSensorContext) -> bool:
    """Whether a hook of the run ended after a failed step: then it told, or there is nobody to tell."""
    hooks = context.instance.get_records_for_run(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.HOOK_COMPLETED
    ).records
    return bool(hooks) and bool(context.get_step_failure_events())


def _sender_of(run: dg.DagsterRun) -> str | None:
    names = {part for key in run.asset_selection or () for part in key.path}
    return next((sender.name for sender in all_senders() if sender.name in names), None)
