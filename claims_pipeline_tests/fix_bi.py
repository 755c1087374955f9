"""Fixtures: a database as a BI reader finds it after a while, every report's table filled by one SQL statement.

Belongs here: tables of the shape of `bi` reports, a ledger of that age, and the URL of bi_reader. Does not
belong here: how reports are computed (warehouse/bi), the dashboard itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import sql

from claims_pipeline.feeds import all_feeds
from claims_pipeline.local import LocalServices
from claims_pipeline.vocabulary import Role
from claims_pipeline.warehouse.bi.operations import ensure_operations
from claims_pipeline.warehouse.connection import connect
from claims_pipeline_tests.fix_services import as_role
from claims_pipeline_tests.fix_warehouse import new_database, template_of

DAYS = 400
"""Of what most tests need; a report is fullest at five years (e2e)."""
FORMULA = '=HYPERLINK("http://example.invalid","x")'
"""A group's name that a spreadsheet would run."""

_STATES = ("CA", "TX", "FL", "VA", "NY", "GA", "OH", "NC", "WA", "PA")
_GROUPS: dict[str, tuple[str, ...]] = {
    "outcome": ("successful", "failed", "in remediation", "unfinished", "(small groups)"),
    "endpoint": ("claims_api", "benefits_intake_api", "evss", "(not given)"),
    "state": ("finalized_as_successful", "unprocessed", "delivered_to_primary"),
    "mailing_state": (*_STATES, "(not given)", "(small groups)"),
    "action": ("NEW", "INCREASE", "SECONDARY", "(small groups)"),
    "classification": ("8989 Mental Disorders", "3140 Hearing", "8997 Knee", "(not given)", "(small groups)"),
    "remediation_type": ("manual", "email_notified", FORMULA),
    "time_taken": ("up to 1 day", "up to 7 days", "up to 30 days", "more than 30 days"),
    "repetition": ("first", "repeated"),
    "practice": ("535", "611", "724", "(small groups)"),
    "status": ("Completed", "Cancelled", "Did not attend", "(not given)"),
    "medicine": ("Paracetamol 500mg Tab", "Amoxicillin 500mg Cap", "Salbutamol 100mcg", "(small groups)"),
    "vaccine": ("MMR", "Influenza", "HPV", "(small groups)"),
    "transaction_type": ("Invoice", "Payment", "Credit note"),
    "payment_mode": ("EFTPOS", "Cash", "+64 transfer", "(not given)"),
    "ward": ("North", "South"),
}


@dataclass(frozen=True)
class FilledReport:
    """A report that the fixture makes."""

    name: str
    heading: str
    sender: str
    counted: str
    grain: str
    groups: tuple[str, ...]
    sums: tuple[str, ...] = ()


REPORTS = (
    FilledReport("submissions_per_day", "Submissions per day", "va_form526", "submissions", "day",
                 ("outcome", "endpoint", "state")),
    FilledReport("submissions_by_mailing_state", "Submissions by mailing state", "va_form526", "submissions", "month",
                 ("mailing_state",)),
    FilledReport("contentions_per_month", "Contentions per month", "va_form526", "contentions", "month",
                 ("action", "classification")),
    FilledReport("time_to_remediation", "Time to remediation", "va_form526", "remediations", "month",
                 ("remediation_type", "time_taken")),
    FilledReport("duplicate_submissions", "Duplicate submissions", "va_form526", "submissions", "month",
                 ("repetition",)),
    FilledReport("appointments_per_month", "Appointments per month", "indici", "appointments", "month",
                 ("practice", "status")),
    FilledReport("medications_per_month", "Medications per month", "indici", "medications", "month", ("medicine",)),
    FilledReport("immunisations_per_month", "Immunisations per month", "indici", "immunisations", "month",
                 ("vaccine", "status")),
    FilledReport("invoices_per_month", "Invoices per month", "indici", "invoices", "month",
                 ("practice", "transaction_type", "payment_mode"), ("total_amount", "unpaid_amount")),
    FilledReport("clinic_visits", "Visits", "clinic", "rows", "month", ("ward",)),
)  # fmt: skip


@dataclass(frozen=True)
class Bi:
    """A filled database, for its owner and for a reader of `bi`."""

    owner_url: str = field(repr=False)
    reader_url: str = field(repr=False)

    def owner(self) -> psycopg.Connection:
        """A connection that may change it."""
        return psycopg.connect(self.owner_url, autocommit=True)


def fill_reports(connection: psycopg.Connection, *, as_of: dt.date, days: int = DAYS) -> None:
    """Make `bi` anew: views of operations, the catalogue and every report's table."""
    connection.execute("drop schema if exists bi cascade")
    ensure_operations(connection)
    connection.execute(
        "create table bi.reports (report text, title text, sender text, counted text, grain text, groups text[],"
        " smallest_cell int, rounding int, as_of date, refreshed_at timestamptz)"
    )
    for report in REPORTS:
        _fill(connection, report, as_of=as_of, days=days)


def _fill(connection: psycopg.Connection, report: FilledReport, *, as_of: dt.date, days: int) -> None:
    table = sql.Identifier("bi", report.name)
    names = [sql.Identifier(name) for name in (*report.groups, report.counted, *report.sums)]
    columns = [sql.SQL("{} text").format(sql.Identifier(name)) for name in report.groups]
    columns += [sql.SQL("{} bigint").format(sql.Identifier(report.counted))]
    columns += [sql.SQL("{} numeric(14,2)").format(sql.Identifier(name)) for name in report.sums]
    connection.execute(
        sql.SQL("create table {} (period date, grain text, {})").format(table, sql.SQL(", ").join(columns))
    )
    ways = sql.SQL(" cross join ").join(
        sql.SQL("unnest({}::text[]) as {}").format(sql.Literal(list(_GROUPS[name])), sql.Identifier(f"g_{name}"))
        for name in report.groups
    )
    count = sql.SQL("12 + (hashtext(p::text || {}) & 1023) / 8").format(
        sql.SQL(" || ").join(sql.Identifier(f"g_{name}") for name in report.groups)
    )
    values = [sql.Identifier(f"g_{name}") for name in report.groups]
    sums = [sql.SQL("({}) * 18.5").format(count) for _ in report.sums]
    connection.execute(
        sql.SQL(
            "insert into {table} (period, grain, {names}) select date_trunc({grain}, p)::date, {grain}, {values}"
            " from generate_series(0, {count}) as n"
            " cross join lateral (select {last}::date - n * {step}::interval as p) t cross join {ways}"
        ).format(
            table=table,
            names=sql.SQL(", ").join(names),
            grain=sql.Literal(report.grain),
            values=sql.SQL(", ").join([*values, count, *sums]),
            last=sql.Literal(as_of),
            count=sql.Literal(days if report.grain == "day" else days // 31),
            step=sql.Literal(f"1 {report.grain}"),
            ways=ways,
        )
    )
    merged = [sql.Literal("(small groups)")] * len(report.groups)
    tail = sql.SQL(", ").join([*merged, sql.Literal(37), *(sql.Literal(100) for _ in report.sums)])
    for period, grain in ((as_of.replace(day=1), "month"), (None, "all")):
        if grain != report.grain:
            connection.execute(
                sql.SQL("insert into {} (period, grain, {}) values ({}, {}, {})").format(
                    table, sql.SQL(", ").join(names), sql.Literal(period), sql.Literal(grain), tail
                )
            )
    connection.execute(
        "insert into bi.reports values (%s, %s, %s, %s, %s, %s, %s, %s, %s, now())",
        [
            report.name, f"{report.heading}, in a sentence.", report.sender, report.counted, report.grain,
            list(report.groups),
            6 if report.sender == "indici" else 11, 3 if report.sender == "indici" else 1, as_of,
        ],
    )  # fmt: skip


def fill_ledger(connection: psycopg.Connection, *, days: int = DAYS) -> None:
    """A dump of every feed on nearly every day up to its sender's today, most loaded; some quarantined rows."""
    contract = connection.execute("select fingerprint from ops.contract limit 1").fetchone()
    assert contract is not None
    for feed in all_feeds():
        today = dt.datetime.now(ZoneInfo(feed.sender.timezone)).date()
        connection.execute(
            "insert into ops.dump (sender, dataset, bucket, key, etag, size_bytes, last_modified, delivery_day, stamp,"
            " status, verdict, in_effect, settled_at, validation, checks) select %(sender)s, %(dataset)s, 'inbox',"
            " %(dataset)s || p::date, 'e', 90000 + h %% 9000, p, p::date, p,"
            " case when h %% 97 = 0 then 'refused' when h %% 89 = 0 then 'skipped' else 'loaded' end,"
            " case when h %% 194 = 0 then 'held' when h %% 97 = 0 then 'unreadable' when h %% 89 = 0 then 'empty'"
            "  else 'new' end, not (h %% 97 = 0 or h %% 89 = 0), p + interval '7 hours',"
            " jsonb_build_object('elapsed', 0.5 + (h %% 50) / 100.0, 'read', 2000),"
            """ '{"intact": {"passed": true, "figures": {"seconds": 0.12}}}'"""
            " from (select p, hashtext(p::text || %(dataset)s) & 65535 as h from generate_series("
            "  %(until)s::date - %(days)s::int, %(until)s::date, interval '1 day') as p) d"
            " where h %% 83 <> 0 or p::date >= %(until)s::date - 1",
            {"sender": feed.sender.name, "dataset": feed.dataset, "until": today, "days": days},
        )
    connection.execute(
        "insert into ops.load (kind, dump_id, feed, run_id, contract, rows_read, rows_inserted, rows_updated,"
        " rows_unchanged, rows_quarantined, seconds, started_at, finished_at)"
        " select 'load', dump_id, sender || '/' || dataset, 'r', %s, 2000 + q, 1500, 200, 300, q,"
        """ '{"load": 0.61, "merge": 0.3}', settled_at - interval '2 s', settled_at"""
        " from (select *, (dump_id %% 40)::int as q from ops.dump where status = 'loaded') d",
        [contract[0]],
    )
    connection.execute(
        "insert into ops.quarantine (dump_id, feed, row_number, columns, rules, contract, load_id, key_version, sealed)"
        " select d.dump_id, d.sender || '/' || d.dataset, n, '{}',"
        " array[(array['cast.created_at', 'nullable.submission_id', 'isin.aasm_state', 'unique.submitted_claim_id'])"
        "  [1 + (d.dump_id + n) %% 4]], %s, 1, 'v1', ''"
        " from (select * from ops.dump where status = 'loaded' order by dump_id desc limit 400) d,"
        "  generate_series(1, (d.dump_id %% 9)::int) as n",
        [contract[0]],
    )
    connection.execute("analyze ops.dump, ops.load, ops.quarantine")


def let_read(connection: psycopg.Connection) -> None:
    """Grant bi_reader what a migration grants it: `bi` was made anew since."""
    connection.execute("grant usage on schema bi to bi_reader")
    connection.execute("grant select on all tables in schema bi to bi_reader")


@contextmanager
def filled(services: LocalServices, *, days: int = DAYS) -> Iterator[Bi]:
    """A database filled up to today."""
    today = dt.datetime.now(dt.UTC).date()
    with new_database(services, template=template_of(services, all_feeds())) as owner_url:
        with connect(owner_url) as connection:
            fill_reports(connection, as_of=today, days=days)
            fill_ledger(connection, days=days)
            let_read(connection)
        yield Bi(owner_url, as_role(owner_url, Role.BI_READER))


@pytest.fixture(scope="module")
def bi(services: LocalServices) -> Iterator[Bi]:
    """A year and more of everything."""
    with filled(services) as made:
        yield made


@pytest.fixture
def empty_bi(services: LocalServices) -> Iterator[Bi]:
    """A migrated database to which nothing was ever delivered, and whose `bi` has no report."""
    with new_database(services, template=template_of(services, all_feeds())) as owner_url:
        with connect(owner_url) as connection:
            connection.execute("drop schema bi cascade")
            ensure_operations(connection)
            let_read(connection)
        yield Bi(owner_url, as_role(owner_url, Role.BI_READER))
