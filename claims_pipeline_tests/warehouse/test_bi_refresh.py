"""Reports as they come out of real tables: outcomes as of a day, protection in SQL, one transaction for all."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed, Report, all_senders, feed_named, feeds_of, reports_on
from claims_pipeline.warehouse.bi.refresh import Refreshed, cells_of, lacking, refresh
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.ddl import META_COLUMNS, table_of
from claims_pipeline.warehouse.migrate import migrate

AS_OF = dt.date(2026, 11, 22)
NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
VA, INDICI = (next(s for s in all_senders() if s.name == name) for name in ("va_form526", "indici"))
SUBMISSIONS = feed_named("va_form526/form526_submissions")
REMEDIATIONS = feed_named("va_form526/form526_submission_remediations")
JOBS = feed_named("va_form526/form526_job_statuses")
PATIENTS, INVOICES = feed_named("indici/patients"), feed_named("indici/invoices")
_numbers = itertools.count(1_000_000)

_ANY: dict[str, object] = {
    "int64": 1, "int32": 1, "int16": 1, "bool": False, "string": "x", "date32[day]": AS_OF,
    "timestamp[us, tz=UTC]": NOW, "timestamp[us]": NOW.replace(tzinfo=None), "decimal128(12, 2)": 1,
}  # fmt: skip
_META: dict[str, object] = {
    "_dump_id": 1, "_row_number": 1, "_dump_stamp": NOW, "_load_id": 1, "_loaded_at": NOW, "_row_hash": b"",
}  # fmt: skip


@pytest.fixture
def connection(warehouse_url: str) -> Iterator[psycopg.Connection]:
    """A migrated database of both senders, empty."""
    with connect(warehouse_url) as connection:
        yield connection


def put(connection: psycopg.Connection, feed: Feed, **values: object) -> int:
    """Put a row into a feed's table, with anything in the columns that must have a value; its number."""
    number = next(_numbers)
    needed: dict[str, object] = {c.name: _ANY[str(c.arrow)] for c in feed.stored if not c.nullable}
    unique = {name: number for name in (*feed.key, *feed.unique) if name in {c.name for c in feed.stored}}
    row = needed | {n: v for n, v in unique.items() if _ANY.get(_type(feed, n)) == 1} | _META | values
    assert set(_META) == {meta.name for meta in META_COLUMNS}
    connection.execute(
        sql.SQL("insert into {} ({}) values ({})").format(
            table_of(feed), sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(map(sql.Placeholder, row))
        ),
        row,
    )
    return number


def _type(feed: Feed, name: str) -> str:
    return next(str(c.arrow) for c in feed.stored if c.name == name)


def submit(connection: psycopg.Connection, *, days_ago: float = 1, person: str = "", **values: object) -> int:
    """A submission so many days before the day for which reports are asked."""
    at = dt.datetime.combine(AS_OF, dt.time(), dt.UTC) - dt.timedelta(days=days_ago)
    facts: dict[str, object] = {"submitted_claim_id": None, "created_at": at, "updated_at": at} | values
    return put(connection, SUBMISSIONS, person_key=person or f"v1_{next(_numbers)}", **facts)


def report(name: str, feeds: list[Feed] | None = None) -> Report:
    """A report by name."""
    return next(r for r in reports_on(feeds or [*feeds_of("va_form526"), *feeds_of("indici")]) if r.name == name)


def made(connection: psycopg.Connection, sender: Any, **how: Any) -> list[Refreshed]:
    """All reports of a sender, made as of the tests' day."""
    reports = [r for r in reports_on(feeds_of(sender.name)) if r.sender == sender]
    return refresh(connection, sender, reports, as_of=AS_OF, **how)


def shown(connection: psycopg.Connection, name: str) -> list[tuple[Any, ...]]:
    """Rows of a view."""
    query = sql.SQL("select * from {} order by 1, 2, 3").format(sql.Identifier("bi", name))
    return connection.execute(query).fetchall()


class TestTheStateOfASubmission:
    """By the VA's own scopes, as of a day."""

    @pytest.fixture
    def states(self, connection: psycopg.Connection) -> Any:
        """Asks for the state and outcome of the one submission there is."""

        def ask(as_of: dt.date = AS_OF) -> tuple[str, str]:
            (one,) = cells_of(connection, report("submissions_per_day"), as_of)
            return one.labels[2], one.labels[0]

        return ask

    @pytest.mark.parametrize(
        ("facts", "state", "outcome"),
        [
            ({"submitted_claim_id": 600_000_001, "submit_endpoint": "evss"}, "accepted_to_primary", "success"),
            ({"submitted_claim_id": 600_000_001, "submit_endpoint": None}, "accepted_to_primary", "success"),
            ({"submitted_claim_id": 600_000_001, "submit_endpoint": "claims_api"}, "pdf_missing", "failure"),
            ({"backup_submitted_claim_status": "accepted"}, "accepted_to_backup", "success"),
            ({"backup_submitted_claim_status": "rejected"}, "rejected_by_backup", "failure"),
            ({"backup_submitted_claim_status": "paranoid_success", "days_ago": 30}, "paranoid_success", "success"),
            ({"backup_submitted_claim_status": "paranoid_success", "days_ago": 400}, "success_by_age", "success"),
            ({"backup_submitted_claim_id_token": "v1_b", "days_ago": 20}, "pending_backup", "incomplete"),
            ({"backup_submitted_claim_id_token": "v1_b", "days_ago": 22}, "timed_out", "failure"),
            ({"days_ago": 20}, "in_process", "incomplete"),
            ({"days_ago": 21}, "timed_out", "failure"),
        ],
    )
    def test_follows_from_its_columns(
        self, connection: psycopg.Connection, states: Any, facts: dict[str, Any], state: str, outcome: str
    ) -> None:
        submit(connection, **facts)
        assert states() == (state, outcome)

    @pytest.mark.parametrize("status", ["success", "pdf_found_later", "pdf_manually_uploaded"])
    def test_with_lighthouse_needs_a_pdf(self, connection: psycopg.Connection, states: Any, status: str) -> None:
        number = submit(connection, submitted_claim_id=600_000_001, submit_endpoint="claims_api")
        put(connection, JOBS, form526_submission_id=number, job_class="PollForm526Pdf", status=status, job_id="j")
        assert states() == ("accepted_to_primary", "success")

    def test_is_failure_once_the_backup_job_gave_up(self, connection: psycopg.Connection, states: Any) -> None:
        number = submit(connection)
        put(
            connection, JOBS, form526_submission_id=number, job_class="BackupSubmission", status="exhausted", job_id="j"
        )
        assert states() == ("backup_exhausted", "failure")

    def test_is_success_once_it_was_remediated(self, connection: psycopg.Connection, states: Any) -> None:
        number = submit(connection, backup_submitted_claim_status="rejected")
        put(connection, REMEDIATIONS, form526_submission_id=number, success=True)
        assert states() == ("remediated", "success")

    def test_follows_the_latest_remediation(self, connection: psycopg.Connection, states: Any) -> None:
        number = submit(connection, backup_submitted_claim_status="rejected")
        put(connection, REMEDIATIONS, form526_submission_id=number, success=True, created_at=NOW)
        later = NOW + dt.timedelta(days=1)
        put(connection, REMEDIATIONS, form526_submission_id=number, success=False, created_at=later)
        assert states() == ("rejected_by_backup", "failure")

    def test_changes_with_time_alone(self, connection: psycopg.Connection, states: Any) -> None:
        submit(connection, days_ago=2)
        assert (states()[1], states(AS_OF + dt.timedelta(days=30))[1]) == ("incomplete", "failure")

    def test_is_counted_once_however_many_jobs_it_has(self, connection: psycopg.Connection) -> None:
        number = submit(connection, submitted_claim_id=600_000_001, submit_endpoint="claims_api")
        for job in range(3):
            facts = {"job_class": "PollForm526Pdf", "status": "success", "job_id": f"{job}"}
            put(connection, JOBS, form526_submission_id=number, **facts)
        (one,) = cells_of(connection, report("submissions_per_day"), AS_OF)
        assert (one.number, one.people) == (1, 1)


class TestDuplicates:
    """Submissions of one person shortly after another."""

    @pytest.mark.parametrize(
        ("days", "kind"), [(0.5, "again within 1 day"), (5, "again within 7 days"), (8, "no")]
    )  # fmt: skip
    def test_are_told_by_the_time_between(self, connection: psycopg.Connection, days: float, kind: str) -> None:
        submit(connection, days_ago=20, person="v1_a")
        submit(connection, days_ago=20 - days, person="v1_a")
        found = {one.labels[0]: one.number for one in cells_of(connection, report("duplicate_submissions"), AS_OF)}
        assert found == ({"no": 2} if kind == "no" else {"no": 1, kind: 1})

    def test_of_other_persons_are_none(self, connection: psycopg.Connection) -> None:
        submit(connection, person="v1_a")
        submit(connection, person="v1_b")
        assert [one.labels for one in cells_of(connection, report("duplicate_submissions"), AS_OF)] == [("no",)]

    def test_marked_as_such_are_told_so(self, connection: psycopg.Connection) -> None:
        submit(connection, aasm_state="ignorable_duplicate")
        (one,) = cells_of(connection, report("duplicate_submissions"), AS_OF)
        assert one.labels == ("marked as a duplicate",)


class TestRefresh:
    """From tables to what may be read."""

    def test_small_groups_are_merged_in_the_view(self, connection: psycopg.Connection) -> None:
        for state, count in (("CA", 15), ("AS", 6), ("GU", 6)):
            for _ in range(count):
                submit(connection, mailing_state=state)
        made(connection, VA)
        month = AS_OF.replace(day=1)
        assert shown(connection, "submissions_by_mailing_state") == [
            (month, "month", "(small groups)", 12),
            (month, "month", "CA", 15),
        ]

    def test_one_person_with_many_submissions_is_one_person(self, connection: psycopg.Connection) -> None:
        for _ in range(20):
            submit(connection, person="v1_a", mailing_state="GU")
        for _ in range(11):
            submit(connection, mailing_state="CA")
        made(connection, VA)
        assert [row[2:] for row in shown(connection, "submissions_by_mailing_state")] == [("(small groups)", 31)]

    def test_too_few_persons_in_all_are_not_told_of(self, connection: psycopg.Connection) -> None:
        for _ in range(10):
            submit(connection)
        assert {one.parts for one in made(connection, VA)} == {0}

    def test_null_is_told_as_not_given(self, connection: psycopg.Connection) -> None:
        for _ in range(11):
            submit(connection, mailing_state=None)
        made(connection, VA)
        assert [row[2:] for row in shown(connection, "submissions_by_mailing_state")] == [("(not given)", 11)]

    def test_reports_of_one_population_add_up_to_the_same(self, connection: psycopg.Connection) -> None:
        for number in range(60):
            submit(connection, days_ago=number, mailing_state="CA" if number % 3 else "TX")
        made(connection, VA)
        names = ("submissions_per_day", "submissions_by_mailing_state", "duplicate_submissions")
        assert {sum(row[-1] for row in shown(connection, name)) for name in names} == {60}

    def test_new_zealand_is_rounded_to_three_and_the_same_each_time(self, connection: psycopg.Connection) -> None:
        for practice, count in (("1", 7), ("2", 8), ("3", 10)):
            for _ in range(count):
                patient = put(connection, PATIENTS, practice_id=practice, nhi_token=f"v1_{next(_numbers)}")
                put(connection, INVOICES, practice_id=practice, patient_id=patient, ac_date=AS_OF, total_amount=100)
        rows = []
        for _ in range(2):
            made(connection, INDICI, force=True)
            rows.append(shown(connection, "invoices_per_month"))
        assert rows[0] == rows[1]
        assert [row[5] % 3 for row in rows[0]] == [0, 0, 0]
        assert all(abs(row[5] - count) <= 2 for row, count in zip(rows[0], (7, 8, 10), strict=True))

    def test_amounts_are_told_in_hundreds(self, connection: psycopg.Connection) -> None:
        for _ in range(12):
            patient = put(connection, PATIENTS, practice_id="1", nhi_token=f"v1_{next(_numbers)}")
            put(connection, INVOICES, practice_id="1", patient_id=patient, ac_date=AS_OF, total_amount=38)
        made(connection, INDICI)
        ((*_, total, unpaid),) = shown(connection, "invoices_per_month")
        assert (total, unpaid) == (500, 0)  # 456

    def test_test_patients_are_left_out(self, connection: psycopg.Connection) -> None:
        for number in range(24):
            patient = put(connection, PATIENTS, practice_id="1", is_test_record=number < 12)
            put(connection, INVOICES, practice_id="1", patient_id=patient, ac_date=AS_OF)
        assert sum(one.number for one in cells_of(connection, report("invoices_per_month"), AS_OF)) == 12

    def test_is_left_out_where_nothing_was_loaded_since(self, connection: psycopg.Connection) -> None:
        assert {one.made for one in made(connection, VA)} == {True}
        assert {one.made for one in made(connection, VA)} == {False}
        assert {one.made for one in made(connection, VA, force=True)} == {True}

    def test_is_due_after_a_load(self, connection: psycopg.Connection) -> None:
        reports = [r for r in reports_on(feeds_of("va_form526")) if r.sender == VA]
        refresh(connection, VA, reports)
        assert lacking(connection, VA, reports) is None
        _load(connection)
        before = lacking(connection, VA, reports)
        refresh(connection, VA, reports)
        assert before is not None
        assert lacking(connection, VA, reports) is None

    def test_is_due_after_an_erasure(self, connection: psycopg.Connection) -> None:
        reports = [r for r in reports_on(feeds_of("va_form526")) if r.sender == VA]
        _load(connection)
        refresh(connection, VA, reports)
        assert lacking(connection, VA, reports) is None
        connection.execute(
            "insert into ops.erasure (kind, sender, persons, rows, objects, not_searched, unread, note, requested_by,"
            " reason, run_id) values ('erase', 'va_form526', '{}', '{}', '[]', 0, 0, '', 'a', 'b', 'c')"
        )
        assert lacking(connection, VA, reports) is not None

    def test_readers_see_the_old_rows_until_all_are_there(
        self, connection: psycopg.Connection, warehouse_url: str
    ) -> None:
        for _ in range(11):
            submit(connection, mailing_state="CA")
        made(connection, VA)
        for _ in range(11):
            submit(connection, mailing_state="TX")
        with connect(warehouse_url) as reader, reader.transaction():
            reader.execute("set transaction isolation level repeatable read")
            before = shown(reader, "submissions_by_mailing_state")
            made(connection, VA, force=True)
            assert shown(reader, "submissions_by_mailing_state") == before
        assert len(shown(connection, "submissions_by_mailing_state")) == 2

    def test_a_report_that_the_database_does_not_know_is_refused(self, connection: psycopg.Connection) -> None:
        connection.execute("update ops.report set definition = 'old' where report = 'submissions_per_day'")
        with pytest.raises(ClaimsPipelineError, match=r"submissions_per_day.*migrate"):
            made(connection, VA)

    def test_the_catalogue_says_when_each_was_made(self, connection: psycopg.Connection) -> None:
        made(connection, VA)
        dates: dict[str, dt.date | None] = dict(connection.execute("select report, as_of from bi.reports").fetchall())
        assert (dates["submissions_per_day"], dates["invoices_per_month"]) == (AS_OF, None)


class TestMigration:
    """Views follow the declarations."""

    def test_a_report_that_is_no_longer_declared_goes(self, connection: psycopg.Connection) -> None:
        connection.execute("update ops.report set report = 'gone' where report = 'invoices_per_month'")
        connection.execute("alter view bi.invoices_per_month rename to gone")
        changes = migrate(connection, feeds_of("indici"))
        assert "removed report bi.gone" in changes
        assert connection.execute("select to_regclass('bi.gone')").fetchone() == (None,)

    def test_reports_of_other_senders_stay(self, connection: psycopg.Connection) -> None:
        assert migrate(connection, feeds_of("indici")) == []
        assert connection.execute("select to_regclass('bi.submissions_per_day') is null").fetchone() == (False,)


def _load(connection: psycopg.Connection) -> None:
    connection.execute(
        "insert into ops.dump"
        " (sender, dataset, bucket, key, etag, size_bytes, last_modified, delivery_day, stamp, status)"
        " values ('va_form526', 'form526_submissions', 'b', 'k', 'e', 1, now(), current_date, now(), 'loaded')"
    )
    contract = connection.execute("select fingerprint from ops.contract limit 1").fetchone()
    assert contract is not None
    connection.execute(
        "insert into ops.load (kind, dump_id, feed, run_id, contract, seconds, started_at, rows_read)"
        " select 'load', dump_id, 'va_form526/form526_submissions', 'r', %s, %s, now(), 0 from ops.dump",
        [contract[0], Jsonb({})],
    )
