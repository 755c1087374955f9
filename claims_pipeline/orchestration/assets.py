"""The three assets of a feed, raw -> validated -> table, made from its contract.

Belongs here: what each step takes, returns and shows. Does not belong here: the work (flow.py) and how a check decides
(checks.py).

Each step asks the ledger what is to be done, so that no data passes between steps through Dagster, and a step that is
run again does what is left.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import dagster as dg
import psycopg

from claims_pipeline import checks
from claims_pipeline.errors import ClaimsPipelineError, Transient, safe_text, whereabouts
from claims_pipeline.feeds import Feed, family
from claims_pipeline.feeds.contract import Csv, FixedWidth, Format, JsonLines, Parquet
from claims_pipeline.flow import Flow
from claims_pipeline.orchestration import describe, liveness
from claims_pipeline.orchestration.hooks import tell_of_failure, tell_of_success
from claims_pipeline.orchestration.keys import (
    REQUEST_TAG,
    freshness_of,
    partitions_of,
    raw_key,
    table_key,
    validated_key,
)
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.vocabulary import CheckName, CheckOutcome, DumpReport, DumpStatus
from claims_pipeline.warehouse import reports
from claims_pipeline.warehouse.ledger import Dump

TRANSIENT = dg.RetryPolicy(max_retries=4, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""2, 4, 8, 16 seconds, each give or take; only `Transient` gets this far, everything else is final at once."""

_KINDS: dict[type[Format], str] = {Csv: "csv", FixedWidth: "file", Parquet: "parquet", JsonLines: "json"}
"""What a format is called among the kinds that the UI has a picture for."""

Results = Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]
Reported = tuple[DumpReport, list[CheckOutcome]]


def feed_assets(feed: Feed) -> list[dg.AssetsDefinition]:
    """The assets of a feed, in the order of the data."""
    return [_raw(feed), _validated(feed), _table(feed)]


def _asset(
    feed: Feed,
    key: dg.AssetKey,
    *,
    upstream: dg.AssetKey | None,
    kinds: set[str],
    description: str,
    checked: Sequence[tuple[CheckName, str]],
    metadata: dict[str, object],
    freshness: dg.FreshnessPolicy | None = None,
) -> Callable[[Callable[..., Results]], dg.AssetsDefinition]:
    """What the three assets have in common."""
    return dg.asset(
        key=key,
        deps=[upstream] if upstream else None,
        partitions_def=partitions_of(feed.sender),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=feed.sender.name,
        kinds=kinds,
        owners=list(feed.sender.owners),
        description=description,
        check_specs=[dg.AssetCheckSpec(name.value, asset=key, description=text) for name, text in checked],
        retry_policy=TRANSIENT,
        pool=feed.sender.name,
        hooks={tell_of_success, tell_of_failure},
        code_version=feed.fingerprint[:12],
        metadata=metadata,
        freshness_policy=freshness,
        output_required=True,
    )


def _raw(feed: Feed) -> dg.AssetsDefinition:
    key = raw_key(feed)

    @_asset(
        feed,
        key,
        upstream=None,
        kinds={"s3", _KINDS[type(feed.format)]},
        description=f"{feed.title} The sender's dumps, archived byte for byte by delivery day.",
        checked=[(CheckName.INTACT, "The archive holds the bytes that were delivered (size and SHA-256).")],
        metadata={"dagster/column_schema": describe.raw_schema(feed)},
    )
    def raw(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> Results:
        with safe_failures(context):
            flow = _flow(context, pipeline)
            flow.prepare(family(feed))
            by_hand = _by_hand(context)
            if by_hand:
                flow.discover_twice(feed.sender)
            dumps = flow.dumps(feed, _days(context), everything=by_hand)
            if by_hand and not dumps:
                raise ClaimsPipelineError(
                    f"no dump of {feed.name} has arrived for {_span(context)}: nothing to process. "
                    f"Look into the inbox, s3://{flow.inbox}/{feed.sender.prefix}"
                )
            done = _each(context, dumps, lambda dump: flow.archive(dump, feed))
            with flow.services.database() as connection:
                reported = _report(connection, done)
            yield from _check_results(reported, [CheckName.INTACT])
            yield _materialized(context, flow, feed, key, reported, {})

    return raw


def _validated(feed: Feed) -> dg.AssetsDefinition:
    key = validated_key(feed)

    @_asset(
        feed,
        key,
        upstream=raw_key(feed),
        kinds={"pandas", "pandera", "parquet"},
        description=f"{feed.title} Typed and checked by the contract, personal data dropped, reduced or tokenised; "
        "rows that broke a rule are set apart, sealed.",
        checked=[
            (CheckName.CONTRACT, "The dump's columns are those of the contract; drift is told by name."),
            (CheckName.REJECTS_WITHIN_BUDGET, "The rows that broke a rule are within the feed's budget."),
            *_of_snapshots(feed, "The snapshot is not far shorter than its past."),
        ],
        metadata={
            "dagster/column_schema": describe.stored_schema(feed, table=False),
            "dagster/column_lineage": describe.column_lineage(feed, table=False),
        },
    )
    def validated(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> Results:
        with safe_failures(context):
            flow = _flow(context, pipeline)
            dumps = flow.dumps(feed, _days(context), everything=_by_hand(context))
            done = _each(context, dumps, lambda dump: flow.validate(dump, feed))
            with flow.services.database() as connection:
                reported = _report(connection, done)
            reports_ = [report for report, _ in reported]
            extra: describe.Metadata = {
                "rows_read": dg.MetadataValue.int(sum(r.rows.read for r in reports_)),
                "rejects_by_rule": describe.rules_table([r.rejects for r in reports_]),
                "issues_by_rule": describe.rules_table([r.issues for r in reports_]),
            }
            names = [CheckName.CONTRACT, CheckName.REJECTS_WITHIN_BUDGET]
            yield from _check_results(reported, [*names, *(name for name, _ in _of_snapshots(feed, ""))])
            refused = [report for report in reports_ if report.status is DumpStatus.REFUSED]
            if refused and len(refused) == len(reports_):
                raise ClaimsPipelineError(
                    f"every dump was refused: {refused[0].reason}. "
                    f"`claims-pipeline explain {refused[0].file.rpartition('/')[2]}` tells more"
                )
            yield _materialized(context, flow, feed, key, reported, extra)

    return validated


def _table(feed: Feed) -> dg.AssetsDefinition:
    key = table_key(feed)

    @_asset(
        feed,
        key,
        upstream=validated_key(feed),
        kinds={"postgres", "table"},
        description=f"{feed.title} The table that people query, each row in its latest version.",
        checked=[
            (CheckName.ROW_CONSERVATION, "Every row read got exactly one verdict."),
            (CheckName.KEY_UNIQUE, "The dump names each key once; no unique value belongs to two keys."),
            (CheckName.VOLUME_IN_RANGE, "The dump's rows are in the range of its own past."),
            (CheckName.FRESH, "The newest day that the feed's calendar expects is in the table."),
            *_of_snapshots(feed, "The snapshot does not delete more rows than its contract allows."),
        ],
        metadata={
            "dagster/column_schema": describe.stored_schema(feed, table=True),
            "dagster/column_lineage": describe.column_lineage(feed, table=True),
            "dagster/table_name": f"{feed.sender.name}.{feed.dataset}",
        },
        freshness=freshness_of(feed),
    )
    def table(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> Results:
        with safe_failures(context):
            flow = _flow(context, pipeline)
            dumps = flow.dumps(feed, _days(context), everything=_by_hand(context))
            ready = [dump for dump in dumps if dump.status is DumpStatus.VALIDATED]
            done = _each(context, ready, lambda dump: flow.load(dump, feed))
            with flow.services.database() as connection:
                reported = _report(connection, done)
                reports_ = [report for report, _ in reported]
                extra = _table_metadata(connection, feed, reports_, max(_days(context)))
                fresh = _fresh(connection, feed)
            names = [CheckName.ROW_CONSERVATION, CheckName.KEY_UNIQUE, CheckName.VOLUME_IN_RANGE]
            yield fresh
            yield from _check_results(reported, [*names, *(name for name, _ in _of_snapshots(feed, ""))])
            yield _materialized(context, flow, feed, key, reported, extra)

    return table


def _of_snapshots(feed: Feed, description: str) -> list[tuple[CheckName, str]]:
    """The check that only feeds have whose dumps are the whole table."""
    return [(CheckName.DELETIONS_WITHIN_BUDGET, description)] if feed.snapshot else []


# ---------------------------------------------------------------------------------------------- what steps share


@contextmanager
def safe_failures(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Iterator[None]:
    """Let only `Transient` through to the retry policy; everything else becomes a final `Failure` without values.

    Dagster stores the text of exceptions and their causes in its event log; those of pandas, Arrow and Postgres quote
    data. The place in our code is kept, the text is not.
    """
    try:
        yield
    except (Transient, dg.Failure):
        raise
    except ClaimsPipelineError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    except Exception as error:
        text = f"{safe_text(error)} at {whereabouts(error)}"
        context.log.error("the step met a defect: %s", text)
        raise dg.Failure(description=text, allow_retries=False) from None


def _flow(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> Flow:
    liveness.hold(context.run.run_id, pipeline.settings.run_locks)
    return pipeline.flow(context.run.run_id)


def _by_hand(context: dg.AssetExecutionContext) -> bool:
    return REQUEST_TAG not in context.run.tags


def _days(context: dg.AssetExecutionContext) -> list[dt.date]:
    return [dt.date.fromisoformat(key) for key in context.partition_keys]


def _span(context: dg.AssetExecutionContext) -> str:
    keys = context.partition_keys
    return keys[0] if len(keys) == 1 else f"{keys[0]} to {keys[-1]}"


def _each(context: dg.AssetExecutionContext, dumps: Sequence[Dump], work: Callable[[Dump], Dump]) -> list[Dump]:
    """Work on dumps one after another, saying where it stands."""
    done = []
    for number, dump in enumerate(dumps, 1):
        result = work(dump)
        said = f"{result.status}{f' ({result.verdict})' if result.verdict else ''}"
        context.log.info("%s of %s: dump %s %s: %s %s", number, len(dumps), dump.dump_id, dump.key, said, result.reason)
        done.append(result)
    return done


def _report(connection: psycopg.Connection, dumps: Sequence[Dump]) -> list[Reported]:
    return [reports.dump_report(connection, dump.dump_id) for dump in dumps]


def _check_results(reported: Sequence[Reported], names: Sequence[CheckName]) -> Iterator[dg.AssetCheckResult]:
    """Every declared check, over all dumps of the step."""
    for name in names:
        outcomes = [(r.file.rpartition("/")[2], c) for r, found in reported for c in found if c.name is name]
        yield describe.check_result(checks.combine(name, outcomes))


def _materialized(
    context: dg.AssetExecutionContext,
    flow: Flow,
    feed: Feed,
    key: dg.AssetKey,
    reported: Sequence[Reported],
    extra: describe.Metadata,
) -> dg.MaterializeResult[None]:
    """The materialization; days of a range get figures of their own."""
    for day in context.partition_keys:
        of_day = [report for report, _ in reported if report.delivery_day.isoformat() == day]
        figures: dict[str, object] = {
            "files": len(of_day),
            "bytes": sum(r.bytes for r in of_day),
            "seconds": round(sum(r.seconds for r in of_day), 3),
            "dumps": describe.dumps_table(of_day),
        }
        if key.path[0] != "raw":  # nobody has counted rows there yet
            figures["dagster/partition_row_count"] = sum(r.rows.read for r in of_day)
        context.add_asset_metadata(figures, asset_key=key, partition_key=day)
    stages = describe.stages_table([report for report, _ in reported])
    return dg.MaterializeResult(
        asset_key=key, metadata={"dagster/uri": _uri(flow, feed, key), "seconds_by_stage": stages, **extra}
    )


def _uri(flow: Flow, feed: Feed, key: dg.AssetKey) -> str:
    layer = key.path[0]
    if layer in ("raw", "validated"):
        return f"s3://{flow.archive_bucket}/{layer}/{feed.name}/"
    return f"postgresql://{feed.sender.name}/{feed.dataset}"


def _table_metadata(
    connection: psycopg.Connection, feed: Feed, dumps: Sequence[DumpReport], until: dt.date
) -> describe.Metadata:
    days = reports.daily_rows(connection, feed, until=until, days=30)
    rows = reports.table_rows(connection, feed)
    metadata: describe.Metadata = {
        f"rows_{name}": dg.MetadataValue.int(sum(d.rows.as_dict()[name] for d in dumps))
        for name in (
            "read",
            "inserted",
            "updated",
            "unchanged",
            "stale",
            "duplicate",
            "filtered",
            "quarantined",
            "deleted",
        )
    }
    metadata["dagster/row_count"] = dg.MetadataValue.int(rows)
    metadata["quarantined_by_rule"] = describe.rules_table([d.rejects for d in dumps])
    metadata["last_days"] = describe.history_markdown(days)
    return metadata


def _fresh(connection: psycopg.Connection, feed: Feed) -> dg.AssetCheckResult:
    last = reports.last_loaded_day(connection, feed.sender.name, feed.dataset)
    return describe.check_result(checks.fresh(feed, now=dt.datetime.now(dt.UTC), last_loaded_day=last))
