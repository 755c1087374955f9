"""Migrations: from nothing, again, two at once, and what they refuse."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed, all_feeds
from claims_pipeline.feeds.contract import BigInt, FeedModel, Text, column
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.migrate import migrate, pending
from claims_pipeline_tests.fix_warehouse import LAB, LAB_FEEDS, VISITS, Lab


class LongerVisits(FeedModel):
    """Visits with a column more, one that is not NULL."""

    visit_id: BigInt = column("Visit", key=True)
    content: Text = column("Content")
    read_at: BigInt = column("When the sender read it", hashed=False)
    ward: Text = column("Ward", required=True, nullable=False)


class ShorterVisits(FeedModel):
    """Visits without a column that the table has."""

    visit_id: BigInt = column("Visit", key=True)
    content: Text = column("Content")


class OtherVisits(FeedModel):
    """Visits whose content has become a number."""

    visit_id: BigInt = column("Visit", key=True)
    content: BigInt = column("Content")
    extra: Text = column("A column that would be added")


@pytest.fixture
def lab(own_lab: Lab) -> Lab:
    """A laboratory of the test's own, since migrations change it for good."""
    return own_lab


def visits(model: type[FeedModel]) -> Feed:
    return Feed(LAB, "visits", model, (r"^visits\.csv$",))


def columns_of_visits(lab: Lab) -> dict[str, tuple[str, bool]]:
    rows = lab.connection.execute(
        "select column_name, data_type, is_nullable = 'YES' from information_schema.columns"
        " where table_schema = 'lab' and table_name = 'visits' and column_name not like '\\_%'"
    )
    return {name: (type_, nullable) for name, type_, nullable in rows}


def test_an_empty_database_gets_a_table_per_feed_and_its_history(database_url: str) -> None:
    with connect(database_url) as connection:
        migrate(connection, all_feeds())
        found = connection.execute("select schemaname, tablename from pg_tables").fetchall()
    wanted = {(feed.sender.name, feed.dataset) for feed in all_feeds()}
    wanted |= {("history", f"{feed.sender.name}__{feed.dataset}") for feed in all_feeds()}
    assert wanted <= set(found)


def test_the_second_time_changes_nothing(lab: Lab) -> None:
    assert migrate(lab.connection, LAB_FEEDS) == []


def test_of_two_at_once_one_does_it_all(database_url: str) -> None:
    together = threading.Barrier(2)

    def run() -> list[str]:
        with connect(database_url) as connection:
            together.wait(60)
            return migrate(connection, LAB_FEEDS)

    with ThreadPoolExecutor(2) as threads:
        changes = [future.result() for future in [threads.submit(run), threads.submit(run)]]
    assert sorted(map(bool, changes)) == [False, True]


def test_a_migration_that_was_changed_after_it_was_applied_is_refused(lab: Lab) -> None:
    lab.connection.execute("update public.claims_pipeline_migration set sha256 = 'another'")
    with pytest.raises(ClaimsPipelineError, match=r"0001_ops\.sql"):
        migrate(lab.connection, LAB_FEEDS)


def test_a_new_column_is_added_and_the_rows_stay(lab: Lab) -> None:
    lab.load(VISITS, lab.dump(VISITS), [(1, "a", 0)])
    changes = migrate(lab.connection, [visits(LongerVisits)])
    assert [line for line in changes if line.startswith("added")] == [
        "added lab.visits.ward",
        "added history.lab__visits.ward",
    ]
    assert columns_of_visits(lab)["ward"] == ("text", True)  # the rows that are there have no value for it
    assert lab.table(VISITS) == [(1, "a", 0)]


def test_a_column_that_left_the_contract_stays(lab: Lab) -> None:
    migrate(lab.connection, [visits(LongerVisits)])
    migrate(lab.connection, [visits(ShorterVisits)])
    assert set(columns_of_visits(lab)) == {"visit_id", "content", "read_at", "ward"}


def test_a_column_that_left_the_contract_may_be_null(database_url: str) -> None:
    with connect(database_url) as connection:
        migrate(connection, [visits(LongerVisits)])
        before = columns_of_visits(Lab(database_url, connection))["ward"]
        migrate(connection, [VISITS])
        after = columns_of_visits(Lab(database_url, connection))["ward"]
    assert (before, after) == (("text", False), ("text", True))


def test_a_column_of_another_type_is_refused(lab: Lab) -> None:
    with pytest.raises(ClaimsPipelineError, match=r"lab\.visits\.content is text in the database and bigint"):
        migrate(lab.connection, [visits(OtherVisits)])


def test_a_migration_that_is_refused_changes_nothing(lab: Lab) -> None:
    before = columns_of_visits(lab)
    with pytest.raises(ClaimsPipelineError):
        migrate(lab.connection, [visits(LongerVisits), visits(OtherVisits)])
    assert columns_of_visits(lab) == before


def test_every_stored_column_is_explained_in_the_database(database_url: str) -> None:
    with connect(database_url) as connection:
        migrate(connection, all_feeds())
        for feed in all_feeds():
            found = dict(
                connection.execute(
                    "select attname, col_description(attrelid, attnum) from pg_attribute"
                    " where attrelid = to_regclass(%s) and attnum > 0",
                    [feed.name.replace("/", ".")],
                ).fetchall()
            )
            assert {c.name: c.description for c in feed.stored}.items() <= found.items()
            assert all(found.values())


def test_a_table_says_what_it_is(lab: Lab) -> None:
    found = lab.connection.execute("select obj_description('lab.visits'::regclass)").fetchone()
    assert found == (VISITS.title,)


def test_everything_is_pending_in_an_empty_database(database_url: str) -> None:
    with connect(database_url) as connection:
        assert pending(connection, LAB_FEEDS) == list(LAB_FEEDS)


def test_nothing_is_pending_after_a_migration(lab: Lab) -> None:
    assert pending(lab.connection, LAB_FEEDS) == []


def test_a_contract_that_changed_is_pending(lab: Lab) -> None:
    assert [feed.name for feed in pending(lab.connection, [VISITS, visits(LongerVisits)])] == ["lab/visits"]
