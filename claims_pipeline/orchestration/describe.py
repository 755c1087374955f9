"""What the UI shows of a contract and of a load: column schema, lineage, tables and sparklines. Pure.

Belongs here: turning our values into Dagster metadata. No value of a record gets here: names, counts and rule ids only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import dagster as dg

from claims_pipeline.feeds import Feed
from claims_pipeline.feeds.contract import treatment_text
from claims_pipeline.orchestration.keys import raw_key, validated_key
from claims_pipeline.vocabulary import CheckOutcome, DumpReport, RowCounts
from claims_pipeline.warehouse.ddl import META_COLUMNS, sql_type

_BARS = "▁▂▃▄▅▆▇█"
Metadata = dict[str, dg.MetadataValue]


def raw_schema(feed: Feed) -> dg.TableSchema:
    """The columns of the contract as delivered, with class of personal data and treatment as tags."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=c.name,
                type=str(c.arrow),
                description=c.description,
                constraints=dg.TableColumnConstraints(
                    nullable=c.nullable, unique=False, other=[str(check) for check in c.checks]
                ),
                tags={
                    "pii": c.facts.pii.name.lower(),
                    "treatment": treatment_text(c.facts.treatment).replace(" ", "_"),
                },
            )
            for c in feed.columns
        ]
    )


def stored_schema(feed: Feed, *, table: bool) -> dg.TableSchema:
    """The columns as stored, after treatment; with the loader's own columns for the table."""
    treatments = {c.name: c.facts for c in feed.columns}
    columns = [
        dg.TableColumn(
            name=c.name,
            type=sql_type(c.arrow) if table else str(c.arrow),
            description=c.description,
            constraints=dg.TableColumnConstraints(nullable=c.nullable, unique=len(feed.key) == 1 and c.key),
            tags={
                "pii": treatments[c.source].pii.name.lower(),
                "treatment": treatment_text(treatments[c.source].treatment).replace(" ", "_"),
            },
        )
        for c in feed.stored
    ]
    if table:
        columns += [dg.TableColumn(name=m.name, type=m.type, description=m.description) for m in META_COLUMNS]
    return dg.TableSchema(columns=columns)


def column_lineage(feed: Feed, *, table: bool) -> dg.TableColumnLineage:
    """Which column each stored one comes from, one layer up."""
    upstream = validated_key(feed) if table else raw_key(feed)
    return dg.TableColumnLineage(
        {
            c.name: [dg.TableColumnDep(asset_key=upstream, column_name=c.name if table else c.source)]
            for c in feed.stored
        }
    )


def sparkline(values: Sequence[int]) -> str:
    """Bars for a series; empty for none."""
    top = max(values, default=0)
    return "".join(_BARS[round(value / top * (len(_BARS) - 1)) if top else 0] for value in values)


def history_markdown(days: Sequence[tuple[dt.date, RowCounts]]) -> dg.MetadataValue:
    """Rows of the last days by verdict, a sparkline each."""
    if not days:
        return dg.MetadataValue.md("no load yet")
    lines = [f"{days[0][0]} to {days[-1][0]}", "", "| verdict | trend | last | sum |", "| --- | --- | ---: | ---: |"]
    for name in RowCounts().as_dict():
        series = [rows.as_dict()[name] for _, rows in days]
        if any(series):
            lines.append(f"| {name} | {sparkline(series)} | {series[-1]:,} | {sum(series):,} |")
    return dg.MetadataValue.md("\n".join(lines))


def dumps_table(dumps: Sequence[DumpReport]) -> dg.MetadataValue:
    """One line a dump: what it was and what became of it."""
    lines = ["| file | verdict | status | bytes | rows | reason |", "| --- | --- | --- | ---: | ---: | --- |"]
    lines += [
        f"| `{d.file.rpartition('/')[2].replace('|', '¦').replace('`', '')}` | {d.verdict or ''} | {d.status} "
        f"| {d.bytes:,} | {d.rows.read:,} | {d.reason.replace('|', '¦')} |"
        for d in dumps
    ]
    return dg.MetadataValue.md("\n".join(lines))


def stages_table(dumps: Sequence[DumpReport]) -> dg.MetadataValue:
    """Seconds by stage, over all dumps of a step; see `DumpReport.stages`."""
    names = list(dict.fromkeys(name for dump in dumps for name in dump.stages))
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord({"stage": name, "seconds": round(sum(d.stages.get(name, 0.0) for d in dumps), 3)})
            for name in names
        ],
        schema=dg.TableSchema([dg.TableColumn("stage", "string"), dg.TableColumn("seconds", "float")]),
    )


def rules_table(counts: Sequence[Mapping[str, int]]) -> dg.MetadataValue:
    """Rows by rule, most first, over several dumps."""
    total: dict[str, int] = {}
    for part in counts:
        for rule, count in part.items():
            total[rule] = total.get(rule, 0) + count
    if not total:
        return dg.MetadataValue.md("none")
    lines = ["| rule | rows |", "| --- | ---: |"]
    lines += [
        f"| `{rule}` | {count:,} |" for rule, count in sorted(total.items(), key=lambda item: (-item[1], item[0]))
    ]
    return dg.MetadataValue.md("\n".join(lines))


def check_result(outcome: CheckOutcome, asset_key: dg.AssetKey | None = None) -> dg.AssetCheckResult:
    """A check's outcome for Dagster, with its figures; of a step with several assets it says which."""
    severity = dg.AssetCheckSeverity.ERROR if outcome.severity == "error" else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=outcome.name.value,
        asset_key=asset_key,
        passed=outcome.passed,
        severity=severity,
        description=outcome.summary,
        metadata=dict(outcome.figures),
    )
