"""Jobs that a person launches in the UI: replay the quarantine, decide about a held dump.

Belongs here: their configuration, what they show, whom they tell. Does not belong here: the work (`replay`,
`decisions`). The commands `quarantine replay`, `approve` and `reject` do the same.
"""

import datetime as dt
from collections.abc import Sequence
from enum import Enum
from typing import Literal

import dagster as dg
from pydantic import Field

from claims_pipeline import decisions
from claims_pipeline.errors import ClaimsPipelineError, Transient, safe_text
from claims_pipeline.orchestration import describe, liveness
from claims_pipeline.orchestration.assets import TRANSIENT, safe_failures
from claims_pipeline.orchestration.resources import PipelineResource
from claims_pipeline.orchestration.tell import tell_run
from claims_pipeline.replay import Replayed, replay
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.quarantine import Selection


class ReplayConfig(dg.Config):
    """Which quarantined rows to replay; all where nothing is said."""

    feed: str | None = Field(None, description='Only this feed, "sender/dataset".')
    rule: str | None = Field(None, description='Only rows that broke this rule, such as "state.isin".')
    day: str | None = Field(None, description="Only this delivery day, YYYY-MM-DD.")
    dump: int | None = Field(None, description="Only this dump, by its number in the ledger.")
    dry_run: bool = Field(False, description="Only tell how many rows would pass; write nothing.")


class Choice(Enum):
    """What can be decided about a held dump."""

    approve = "approve"
    reject = "reject"


class DecideConfig(dg.Config):
    """A person's decision about a held dump."""

    dump: int = Field(description="Number of the dump in the ledger.")
    decision: Choice = Field(description="approve: the next run loads it. reject: it is refused for good.")
    by: str = Field(min_length=1, description="Who decides: Dagster does not know who launched a run.")
    reason: str = Field(min_length=1, description="Why, in a sentence; never a value of a record.")


@dg.op(retry_policy=TRANSIENT, description="Reads dumps with quarantined rows again and loads what passes now.")
def replay_rows(context: dg.OpExecutionContext, config: ReplayConfig, pipeline: PipelineResource) -> None:
    """Replay, show what came of each dump, tell, and fail where a dump was not loaded."""
    with safe_failures(context):
        liveness.hold(context.run_id, pipeline.settings.run_locks)
        which = Selection(feed=config.feed, rule=config.rule, day=_day(config.day), dump_id=config.dump)
        done = replay(
            pipeline.flow(context.run_id),
            which,
            dry_run=config.dry_run,
            each=lambda dump: context.log.info("dump %s %s", dump.dump_id, dump.key),
        )
        context.add_output_metadata(
            {
                "dumps": len(done),
                "rows_open_by_rule": describe.rules_table([one.open for one in done]),
                "rows_passed_by_rule": describe.rules_table([one.passed for one in done]),
                "rows_that_only_a_load_can_judge": describe.rules_table([one.undecided for one in done]),
                "rows_newly_set_apart": sum(one.newly for one in done),
                "by_dump": _table(done),
                "dry_run": config.dry_run,
            }
        )
        troubled = [one for one in done if one.trouble]
        for one in troubled:
            context.log.warning("dump %s %s: %s", one.dump_id, one.file, one.trouble)
        again = [one for one in troubled if one.passing]
        if again:
            raise Transient(f"{len(again)} of {len(done)} dumps were not replayed; the first: {again[0].trouble}")
        error = ""
        if troubled:
            error = f"{len(troubled)} of {len(done)} dumps were not replayed; the first: {troubled[0].trouble}"
        if done and not config.dry_run:
            _tell(context, pipeline, done, error)
        if error:
            raise ClaimsPipelineError(error)


@dg.op(retry_policy=TRANSIENT, description="Approves or rejects a dump that is held, and keeps who and why.")
def decide_dump(context: dg.OpExecutionContext, config: DecideConfig, pipeline: PipelineResource) -> None:
    """Decide. An approved dump is loaded by the next run that the arrivals sensor asks for."""
    with safe_failures(context):
        services = pipeline.services
        with services.database() as connection:
            found = ledger.find(connection, str(config.dump))
        if not found:
            raise ClaimsPipelineError(f"the ledger has no dump {config.dump}")
        what: Literal["approve", "reject"] = "approve" if config.decision is Choice.approve else "reject"
        after = decisions.decide(services, found[0], what, by=config.by, reason=config.reason)
        context.log.info("dump %s %s: %s %s", after.dump_id, after.key, after.status, after.reason)
        context.add_output_metadata({"file": after.key, "status": after.status.value})


@dg.job(description="After a contract or rule was mended: reads dumps with quarantined rows again, loads what passes.")
def replay_quarantine() -> None:
    """`claims-pipeline quarantine replay`, from the UI."""
    replay_rows()


@dg.job(description="Approves or rejects a dump that waits for a person; keeps who and why.")
def decide_held() -> None:
    """`claims-pipeline approve|reject`, from the UI."""
    decide_dump()


def _day(text: str | None) -> dt.date | None:
    if text is None:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ClaimsPipelineError(f"{text!r} is no day: write YYYY-MM-DD") from None


def _table(done: Sequence[Replayed]) -> dg.MetadataValue:
    lines = ["| dump | file | rule | open | passed | trouble |", "| ---: | --- | --- | ---: | ---: | --- |"]
    for one in done:
        name = one.file.rpartition("/")[2].replace("|", "¦").replace("`", "")
        lines += [
            f"| {one.dump_id} | `{name}` | {rule} | {count:,} | {one.passed.get(rule, 0):,} "
            f"| {one.trouble.replace('|', '¦')} |"
            for rule, count in (one.open or {"": 0}).items()
        ]
    return dg.MetadataValue.md("\n".join(lines))


def _tell(context: dg.OpExecutionContext, pipeline: PipelineResource, done: Sequence[Replayed], error: str) -> None:
    senders = ", ".join(dict.fromkeys(one.feed.partition("/")[0] for one in done))
    try:
        tell_run(pipeline, context.instance, run_id=context.run_id, sender=senders, error=error)
    except Exception as trouble:  # telling can fail without failing the replay
        context.log.error("the run's message was not sent: %s", safe_text(trouble))
