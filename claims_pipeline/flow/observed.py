"""A step with eyes on it: what it made of a dump, told to structured logs, traces and lineage.

Belongs here: which line says what of a step, which data it reads and writes. Does not belong here: the steps, and how
lines, spans and events are written (telemetry).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from psycopg.conninfo import conninfo_to_dict

from claims_pipeline import telemetry
from claims_pipeline.arrival import Discovery
from claims_pipeline.errors import Transient, safe_text, whereabouts
from claims_pipeline.feeds import Feed, Sender
from claims_pipeline.flow.step import Step
from claims_pipeline.telemetry import lineage, logs, traces
from claims_pipeline.telemetry.lineage import Data
from claims_pipeline.telemetry.logs import Field, Level
from claims_pipeline.vocabulary import NO_ROWS_AS_USUAL, DumpStatus, DumpVerdict
from claims_pipeline.warehouse import reports
from claims_pipeline.warehouse.ddl import sql_type
from claims_pipeline.warehouse.ledger import Dump

Work = Callable[[Step, Dump, Feed], Dump]


def observed(step: Step, name: str, dump: Dump, feed: Feed, work: Work) -> Dump:
    """Do a step's work on a dump, and say how it went to whoever listens.

    Args:
        step: the run.
        name: archive, validate or load.
        dump: as the ledger has it.
        feed: its contract.
        work: the step.
    """
    if not (logs.is_on() or traces.is_on() or lineage.is_on()):
        return work(step, dump, feed)
    begun = time.perf_counter()
    ids: dict[str, Field] = {
        "run_id": step.run_id, "dump_id": dump.dump_id, "feed": feed.name, "file": dump.key,
        "delivery_day": dump.delivery_day.isoformat(), "step": name,
    }  # fmt: skip
    event = lineage.new_step(run_id=step.run_id, feed=feed.name, step=name)
    with traces.span(name, trace=f"{step.run_id}/{dump.dump_id}", attributes=_attributes(ids)) as tell:
        lineage.tell("START", event, inputs=_reads(step, name, dump))
        try:
            after = work(step, dump, feed)
        except Exception as error:
            told = safe_text(error)
            telemetry.event("step_failed", level="error", **ids, error=told, at=whereabouts(error))
            lineage.tell("FAIL", event, inputs=_reads(step, name, dump), error=told)
            raise
        known = _known(step, after)
        tell(_attributes(known))
    refused = after.status is DumpStatus.REFUSED
    lineage.tell(
        "FAIL" if refused else "COMPLETE",
        event,
        inputs=_reads(step, name, after),
        outputs=_writes(step, name, after, feed, known),
        error=after.reason if refused else "",
    )
    if after.status is not dump.status:
        level, said = _ended(after)
        telemetry.event(said, level=level, **ids, seconds=round(time.perf_counter() - begun, 3), **known)
    return after


def tell_found(step: Step, sender: Sender, found: Discovery) -> None:
    """Say what a look into an inbox found, if that is news."""
    if found.new:
        telemetry.event(
            "dumps_discovered", run_id=step.run_id, sender=sender.name, new=found.new, open=len(found.open),
            settling=found.settling, waiting=len(found.waiting), listed=found.listed,
        )  # fmt: skip
    for dump in found.strange:
        telemetry.event(
            f"dump_{dump.verdict or dump.status}", level="warning", run_id=step.run_id, dump_id=dump.dump_id,
            feed=dump.feed, file=dump.key, delivery_day=dump.delivery_day.isoformat(), reason=dump.reason,
        )  # fmt: skip


def figures(step: Step, dump: Dump) -> dict[str, Field]:
    """What is known of a dump after a step: verdict, reason, bytes, rows; names and counts alone."""
    found: dict[str, Field] = {
        "status": dump.status.value,
        "verdict": dump.verdict.value if dump.verdict else None,
        "reason": dump.reason or None,
        "bytes": dump.size_bytes,
    }
    if dump.status is DumpStatus.LOADED:
        with step.services.database() as connection:
            report, _ = reports.dump_report(connection, dump.dump_id)
        return found | {f"rows_{name}": rows for name, rows in report.rows.as_dict().items()}
    if dump.validation is not None:
        rules = {str(rule): int(rows) for rule, rows in dump.validation.get("rejects", {}).items()}
        counts = {f"rows_{name}": int(dump.validation.get(name, 0)) for name in ("read", "filtered", "quarantined")}
        return found | counts | {"rejects": rules or None}
    return found


def _known(step: Step, dump: Dump) -> dict[str, Field]:
    """The figures; without rows where the database is gone since: what is told of a step must not fail it."""
    try:
        return figures(step, dump)
    except Transient:
        return {"status": dump.status.value, "verdict": dump.verdict.value if dump.verdict else None}


def _ended(dump: Dump) -> tuple[Level, str]:
    if dump.status is DumpStatus.REFUSED:
        return "warning", "dump_held" if dump.verdict is DumpVerdict.HELD else "dump_refused"
    strange = dump.verdict is DumpVerdict.EMPTY and dump.reason != NO_ROWS_AS_USUAL
    return "warning" if strange else "info", f"dump_{dump.status.value}"


def _attributes(fields: dict[str, Field]) -> dict[str, traces.Value]:
    """Fields as a span takes them: counts by rule are attributes of their own."""
    flat: dict[str, traces.Value] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            flat |= {f"claims.{name}.{rule}": count for rule, count in value.items()}
        elif value is not None:
            flat[f"claims.{name}"] = value
    return flat


# ---------------------------------------------------------------------------------------------- lineage


def _reads(step: Step, name: str, dump: Dump) -> list[Data]:
    archive = f"s3://{step.archive_bucket}"
    if name == "archive":
        return [Data(f"s3://{dump.bucket}", dump.key)]
    key = dump.archive_key if name == "validate" else dump.validated_key or dump.loaded_key
    return [Data(archive, key)] if key else []


def _writes(step: Step, name: str, dump: Dump, feed: Feed, known: dict[str, Field]) -> list[Data]:
    """What a step wrote; nothing where it refused or passed over the dump."""
    archive = f"s3://{step.archive_bucket}"
    if name == "archive" and dump.archive_key:
        return [Data(archive, dump.archive_key, bytes=dump.size_bytes)]
    if name == "validate" and dump.status is DumpStatus.VALIDATED and dump.validated_key:
        columns = tuple((column.name, str(column.arrow)) for column in feed.stored)
        rows = _sum(known, "rows_read") - _sum(known, "rows_filtered", "rows_quarantined")
        return [Data(archive, dump.validated_key, columns, rows=rows)]
    if name == "load" and dump.status is DumpStatus.LOADED:
        columns = tuple((column.name, sql_type(column.arrow)) for column in feed.stored)
        namespace, database = _database(step)
        table = f"{database}.{feed.sender.name}.{feed.dataset}"
        return [Data(namespace, table, columns, rows=_sum(known, "rows_inserted", "rows_updated"))]
    return []


def _sum(known: dict[str, Field], *names: str) -> int:
    return sum(value for name in names if isinstance(value := known.get(name), int))


def _database(step: Step) -> tuple[str, str]:
    """The warehouse as OpenLineage names it: "postgres://host:port", and the database; no user, no password."""
    parts = conninfo_to_dict(step.services.database_url)
    host = str(parts.get("host") or "localhost")
    return f"postgres://{'localhost' if host.startswith('/') else host}:{parts.get('port') or 5432}", str(
        parts.get("dbname") or ""
    )
