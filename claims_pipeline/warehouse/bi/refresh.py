"""Makes reports: facts are counted in SQL, small groups merged, and the parts that may be told replace the old ones.

Belongs here: the transaction. Does not belong here: what is merged (disclosure.py), who asks for it
(`claims_pipeline.bi`).

All reports of a sender are made in one transaction on one snapshot: of two of one population that were made at two
times, the difference would tell what came between.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

import psycopg
from psycopg import IsolationLevel, sql
from psycopg.types.json import Jsonb

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Report, Sender
from claims_pipeline.warehouse.bi.disclosure import NOT_GIVEN, Cell, Part, Rules, protect, rounded
from claims_pipeline.warehouse.bi.views import definition

_LOCK = 526_000_010
SUMS_TO = Decimal(100)
"""Sums are rounded to it: an exact amount may be known to be one person's."""


@dataclass(frozen=True)
class Refreshed:
    """What the making of one report ended in.

    Attributes:
        report: its name.
        as_of: the date for which it was made, in the sender's time zone.
        made: False where it was up to date, and nothing was done.
        parts: rows that are published.
        merged: of these, that stand for several groups.
        least: the fewest persons of whom a row tells, at least; None without rows.
        seconds: wall time.
    """

    report: str
    as_of: dt.date
    made: bool
    parts: int
    merged: int
    least: int | None
    seconds: float


def today(sender: Sender) -> dt.date:
    """The date for which reports are made: today, in the sender's time zone."""
    return dt.datetime.now(ZoneInfo(sender.timezone)).date()


def refresh(
    connection: psycopg.Connection,
    sender: Sender,
    reports: Sequence[Report],
    *,
    as_of: dt.date | None = None,
    force: bool = False,
) -> list[Refreshed]:
    """Make a sender's reports, all or none.

    Args:
        connection: in autocommit, of the loader.
        sender: whose.
        reports: all of them.
        as_of: the date for which outcomes are computed; today in the sender's time zone where None.
        force: make them even though nothing was loaded since, for the same date.

    Raises:
        ClaimsPipelineError: the database does not know a report in this form (`claims-pipeline migrate`); or a part
            would tell of too few persons, or parts do not add up, a defect. Nothing is changed.
    """
    day = as_of or today(sender)
    connection.execute("select pg_advisory_lock(%s, hashtext(%s))", [_LOCK, sender.name])
    before = connection.isolation_level
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            connection.execute("set local work_mem = '128MB'")
            # Postgres expects as many groups as rows of computed columns, and sorts 10,000,000 rows on disk for 16,000.
            connection.execute("set local enable_sort = off")
            _known(connection, reports)
            state = _state(connection, sender, reports)
            if not force and _up_to_date(connection, reports, day, state):
                return [Refreshed(report.name, day, False, 0, 0, None, 0.0) for report in reports]
            seed = connection.execute("select seed from ops.report_seed").fetchone()
            assert seed is not None  # noqa: S101 - made by the migration
            return [_make(connection, report, day, state, seed[0]) for report in reports]
    finally:
        connection.isolation_level = before
        connection.execute("select pg_advisory_unlock(%s, hashtext(%s))", [_LOCK, sender.name])


def lacking(connection: psycopg.Connection, sender: Sender, reports: Sequence[Report]) -> str | None:
    """What a sender's reports are not made from yet: date, loads, erasures, definitions; None for nothing.

    A sender of whose feeds nothing was ever loaded lacks nothing.
    """
    day, state = today(sender), _state(connection, sender, reports)
    if not state or _up_to_date(connection, reports, day, state):
        return None
    return " ".join([sender.name, day.isoformat(), str(state), *(definition(report) for report in reports)])


def cells_of(connection: psycopg.Connection, report: Report, as_of: dt.date) -> list[Cell]:
    """A report's facts, counted by month or day and groups: exact, and not for anybody's eyes.

    Most cells have so many persons that a sketch of them says enough (64 bits, one for each remainder of the persons'
    hashes: as many bits are set as there are persons, at most). Persons are named one by one for the others alone:
    10,000,000 submissions are grouped once, not once for each person.
    """
    if report.sums:  # whether one person makes most of an amount only persons tell
        return _exact(connection, report, as_of, None)
    sketched = sql.SQL(
        "select month, day, array[{groups}]::text[] as labels, count(*) as number,"
        " bit_count(bit_or(1::bigint << (person & 63)::int)::bit(64)) as people"
        " from ({facts}) f group by month, day {by}"
    ).format(groups=_groups(report), facts=_facts(report), by=_by(report))
    enough: list[Cell] = []
    unsure: list[tuple[str, str | None, list[str]]] = []
    for month, day, labels, number, people in connection.execute(sketched, {"as_of": as_of}):
        if people >= report.sender.smallest_cell:
            enough.append(Cell(month, day, tuple(labels), people, number))
        else:
            unsure.append((month.isoformat(), day and day.isoformat(), labels))
    return enough + _exact(connection, report, as_of, unsure) if unsure else enough


def _exact(
    connection: psycopg.Connection,
    report: Report,
    as_of: dt.date,
    only: Sequence[tuple[str, str | None, list[str]]] | None,
) -> list[Cell]:
    """Cells with their persons; `only` those of (month, day, labels), or all."""
    sums = [sql.Identifier(name) for name in report.sums]
    # Days compare as text, in which NULL is '': a join by "is not distinct from" cannot hash.
    chosen = sql.SQL(
        "join (select (c->>0)::date as m, coalesce(c->>1, '') as d,"
        "   array(select jsonb_array_elements_text(c->2)) as l from jsonb_array_elements(%(only)s) c) wanted"
        " on m = month and d = coalesce(day::text, '') and l = array[{groups}]::text[]"
    ).format(groups=_groups(report))
    query = sql.SQL(
        "select month, day, array[{groups}]::text[] as labels, count(*) as people, sum(number)::bigint as number,"
        " array[{totals}]::numeric[] as sums, array[{weights}]::numeric[] as weights,"
        " array[{peaks}]::numeric[] as peaks,"
        " case when count(*) < {smallest} then array_agg(person) end as persons,"
        " case when count(*) < {smallest} then jsonb_agg(array[{own}]::numeric[]) end as amounts"
        " from (select month, day, person, count(*) as number {by} {added} from ({facts}) f {chosen}"
        "  group by month, day, person {by}) f"
        " group by month, day {by}"
    ).format(
        groups=_groups(report),
        totals=sql.SQL(", ").join(sql.SQL("sum({})").format(name) for name in sums),
        weights=sql.SQL(", ").join(sql.SQL("sum({})").format(_weight(name)) for name in report.sums),
        peaks=sql.SQL(", ").join(sql.SQL("max({})").format(_weight(name)) for name in report.sums),
        own=sql.SQL(", ").join(_weight(name) for name in report.sums),
        smallest=sql.Literal(report.sender.smallest_cell),
        added=sql.SQL("").join(
            sql.SQL(", coalesce(sum({0}), 0) as {0}, coalesce(sum(abs({0})), 0) as {1}").format(name, _weight(plain))
            for name, plain in zip(sums, report.sums, strict=True)
        ),
        facts=_facts(report, of_months=only is not None),
        chosen=chosen if only is not None else sql.SQL(""),
        by=_by(report),
    )
    months = sorted({month for month, _, _ in only or ()})
    found = connection.execute(query, {"as_of": as_of, "only": Jsonb(only), "months": months})
    return [
        Cell(
            month, day, tuple(labels), people, number, tuple(totals),
            persons=None if persons is None else _persons(persons, amounts), weights=tuple(weights), peaks=tuple(peaks),
        )
        for month, day, labels, people, number, totals, weights, peaks, persons, amounts in found
    ]  # fmt: skip


def _facts(report: Report, *, of_months: bool = False) -> sql.Composed:
    """The report's facts with month, day, person as a number, groups without NULL, and sums; maybe of some months."""
    named = [
        sql.SQL(", coalesce({0}::text, {1}) as {0}").format(sql.Identifier(name), sql.Literal(NOT_GIVEN))
        for name in report.groups
    ]
    return sql.SQL(
        "select date_trunc('month', f.day)::date as month, {day} as day,"
        " hashtextextended(coalesce(person, ''), 0) as person {named} {sums}"
        " from ({facts}) f where f.day is not null {months}"
    ).format(
        months=sql.SQL("and date_trunc('month', f.day)::date = any(%(months)s::date[])" if of_months else ""),
        day=sql.SQL("f.day::date" if report.grain == "day" else "null::date"),
        named=sql.SQL("").join(named),
        sums=sql.SQL("").join(sql.SQL(", {}").format(sql.Identifier(name)) for name in report.sums),
        # A contract's own SQL, never composed of data.
        facts=sql.SQL(report.facts),
    )


def _groups(report: Report) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, report.groups))


def _by(report: Report) -> sql.Composed:
    return sql.SQL("").join(sql.SQL(", {}").format(sql.Identifier(name)) for name in report.groups)


def _persons(persons: Sequence[int], amounts: Sequence[Sequence[float]]) -> dict[int, tuple[Decimal, ...]]:
    return {person: tuple(Decimal(str(amount)) for amount in own) for person, own in zip(persons, amounts, strict=True)}


def _weight(name: str) -> sql.Identifier:
    return sql.Identifier(f"weight of {name}")


def _known(connection: psycopg.Connection, reports: Sequence[Report]) -> None:
    found: dict[str, str] = dict(connection.execute("select report, definition from ops.report").fetchall())
    if strange := [report.name for report in reports if found.get(report.name) != definition(report)]:
        raise ClaimsPipelineError(
            f"the database does not know {', '.join(strange)} as this version of the code does; "
            "run `claims-pipeline migrate`"
        )


def _state(connection: psycopg.Connection, sender: Sender, reports: Sequence[Report]) -> int:
    """A number that grows with every load of the reports' feeds and every erasure; 0 before the first load."""
    feeds = sorted({f"{sender.name}/{dataset}" for report in reports for dataset in report.reads})
    row = connection.execute(
        "select max(load_id) + (select count(*) from ops.erasure where sender = %s) from ops.load where feed = any(%s)",
        [sender.name, feeds],
    ).fetchone()
    return int(row[0] or 0) if row else 0


def _up_to_date(connection: psycopg.Connection, reports: Sequence[Report], day: dt.date, state: int) -> bool:
    rows = connection.execute(
        "select count(*) from ops.report where as_of = %s and state = %s and report = any(%s)",
        [day, state, [report.name for report in reports]],
    )
    return rows.fetchone() == (len(reports),)


def _make(connection: psycopg.Connection, report: Report, day: dt.date, state: int, seed: bytes) -> Refreshed:
    begun = time.perf_counter()
    cells = cells_of(connection, report, day)
    population = f"{report.sender.name}/{report.population}"
    parts = protect(cells, Rules(report.sender.smallest_cell, seed, population, report.name))
    _examine(report, cells, parts)
    connection.execute("delete from ops.report_part where report = %s", [report.name])
    copy = "copy ops.report_part (report, grain, period, labels, people, number, sums) from stdin"
    with connection.cursor().copy(copy) as rows:
        for part in parts:
            # Not the seed's day: a count that stays has one answer on every day.
            name = "\x1f".join([report.name, part.grain, str(part.period), *part.labels])
            number = rounded(part.number, base=report.sender.rounding, seed=seed, name=name)
            sums = [None if one is None else (one / SUMS_TO).quantize(Decimal(1)) * SUMS_TO for one in part.sums]
            rows.write_row([report.name, part.grain, part.period, list(part.labels), part.people, number, sums])
    seconds = round(time.perf_counter() - begun, 3)
    connection.execute(
        "update ops.report set as_of = %s, refreshed_at = clock_timestamp(), state = %s, parts = %s, seconds = %s"
        " where report = %s",
        [day, state, len(parts), seconds, report.name],
    )
    merged = sum(1 for part in parts if len(part.cells) > 1)
    return Refreshed(
        report.name, day, True, len(parts), merged, min((part.people for part in parts), default=None), seconds
    )


def _examine(report: Report, cells: Sequence[Cell], parts: Sequence[Part]) -> None:
    """Nothing is published of which the rules do not hold: tried before it is written."""
    smallest = report.sender.smallest_cell
    if any(part.people < smallest for part in parts):
        raise ClaimsPipelineError(
            f"report {report.name}: a row would tell of fewer than {smallest} persons; the old rows stay. Report this"
        )
    if parts and sum(part.number for part in parts) != sum(cell.number for cell in cells):
        raise ClaimsPipelineError(f"report {report.name}: its rows do not add up; the old rows stay. Report this")
