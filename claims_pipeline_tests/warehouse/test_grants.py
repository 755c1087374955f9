"""What is granted follows the declaration, whoever migrates and whatever was there before."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed, all_feeds
from claims_pipeline.feeds.contract import Pii
from claims_pipeline.local import LocalServices
from claims_pipeline.vocabulary import Role
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.grants import all_grants, ensure_rights, memberships, undecided
from claims_pipeline.warehouse.migrate import migrate
from claims_pipeline_tests.fix_services import as_role
from claims_pipeline_tests.fix_warehouse import LAB_FEEDS, VISITS, new_database

READABLE = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and has_schema_privilege(%(role)s, n.oid, 'USAGE') and has_any_column_privilege(%(role)s, c.oid, 'SELECT')
"""
VIEWS = "select schemaname || '.' || viewname from pg_views where schemaname = any(%s)"
FOREIGN = """
select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any(%s) and c.relowner <> 'claims_owner'::regrole
"""


@pytest.fixture(scope="module")
def house(services: LocalServices) -> Iterator[psycopg.Connection]:
    """A database with all tables, as a superuser."""
    with new_database(services) as url, connect(url) as connection:
        migrate(connection, all_feeds())
        yield connection


def names(connection: psycopg.Connection, query: str, *parameters: object) -> set[str]:
    return {row[0] for row in connection.execute(query.encode(), parameters)}


def readable(connection: psycopg.Connection, role: Role) -> set[str]:
    return {row[0] for row in connection.execute(READABLE.encode(), {"role": role.value})}


def test_every_object_has_been_decided_about(house: psycopg.Connection) -> None:
    assert undecided(house, all_feeds()) == []


def test_a_bi_reader_reads_the_views_of_bi_and_nothing_else(house: psycopg.Connection) -> None:
    assert readable(house, Role.BI_READER) == names(house, VIEWS, ["bi"]) != set()


def test_an_analyst_reads_the_views_of_rows_and_nothing_else(house: psycopg.Connection) -> None:
    assert readable(house, Role.ANALYST) == names(house, VIEWS, ["analyst", "rpt"]) != set()


@pytest.mark.parametrize("role", [Role.LOADER, Role.ANALYST, Role.BI_READER])
def test_no_function_of_ours_can_be_called_by(house: psycopg.Connection, role: Role) -> None:
    query = (
        "select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
        " and has_function_privilege(%s, p.oid, 'EXECUTE')"
    )
    assert names(house, query, role.value) == set()


def test_nothing_is_granted_by_column_or_in_advance(house: psycopg.Connection) -> None:
    assert house.execute("select from pg_attribute where attacl is not null and attrelid > 16384").fetchall() == []
    assert house.execute("select from pg_default_acl").fetchall() == []


def test_every_view_for_readers_is_a_security_barrier(house: psycopg.Connection) -> None:
    query = (
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('analyst', 'rpt', 'bi')"
        " and not coalesce('security_barrier=true' = any(c.reloptions), false)"
    )
    assert names(house, query) == set()


@pytest.mark.parametrize("feed", all_feeds(), ids=lambda feed: feed.name)
def test_analysts_see_no_column_of_class_3_or_4_nor_the_hash_over_them(house: psycopg.Connection, feed: Feed) -> None:
    hidden = {column.name for column in feed.stored if column.pii >= Pii.DIRECT} | {"_row_hash"}
    views = [f"analyst.{feed.sender.name}__{feed.dataset}", f"analyst.{feed.sender.name}__{feed.dataset}__versions"]
    views += [f"rpt.{feed.dataset}"] if feed.sender.reporting_schema == "rpt" else []
    query = "select attname from pg_attribute where attnum > 0 and attrelid = %s::regclass"
    assert not hidden & set().union(*(names(house, query, view) for view in views))


def test_a_new_table_is_granted_to_nobody_and_named(house: psycopg.Connection) -> None:
    with house.transaction(force_rollback=True):
        house.execute("create table ops.new (n int)")
        house.execute("alter table ops.new owner to claims_owner")
        ensure_rights(house, all_feeds())
        assert undecided(house, all_feeds()) == ["table ops.new"]
        assert not any("ops.new" in readable(house, role) for role in (Role.LOADER, Role.ANALYST, Role.BI_READER))


def test_a_right_to_a_column_is_told_and_taken_away(house: psycopg.Connection) -> None:
    with house.transaction(force_rollback=True):
        house.execute("grant usage on schema ops to bi_reader; grant select (key) on ops.dump to bi_reader")
        told = [one for one in all_grants(house, all_feeds()) if (one.grantee, one.names) == ("bi_reader", ("dump",))]
        assert [one.privileges for one in told] == [("SELECT (some columns)",)]
        ensure_rights(house, all_feeds())
        assert "ops.dump" not in readable(house, Role.BI_READER)
        assert "ops.dump" in readable(house, Role.LOADER)
        assert ensure_rights(house, all_feeds()) == []


def test_what_a_role_may_as_a_member_of_another_is_told(house: psycopg.Connection) -> None:
    assert memberships(house) == {}
    with house.transaction(force_rollback=True):
        house.execute("grant pg_read_all_data to claims_analyst; grant claims_owner to claims_loader")
        assert memberships(house) == {"claims_analyst": ["pg_read_all_data"], "claims_loader": ["claims_owner"]}


def test_a_function_sees_no_row_that_a_view_hides(house: psycopg.Connection) -> None:
    """The rows of other reports: ops.report_part holds those of all."""
    with house.transaction(force_rollback=True):
        reports = house.execute("select report from ops.report where grain = 'day' order by 1").fetchall()
        ((shown,), (hidden,)) = (reports[0], house.execute("select min(report) from ops.report").fetchone() or ("",))
        assert shown != hidden
        house.execute(
            "insert into ops.report_part select report, 'day', '2026-05-01', array_fill('x'::text, array[9]), 11,"
            " case report when %s then 1 else 666 end, '{}' from ops.report where report in (%s, %s)",
            [shown, shown, hidden],
        )
        house.execute(
            "create function public.tell(bigint) returns boolean language plpgsql cost 0.0001 as"
            " $$begin if $1 = 666 then raise exception 'seen'; end if; return true; end$$"
        )
        house.execute("grant usage on schema public to bi_reader; grant execute on function public.tell to bi_reader")
        counted = house.execute("select counted from ops.report where report = %s", [shown]).fetchone() or ("",)
        open_view = f"create view bi.open as select number from ops.report_part where report = '{shown}'"
        house.execute(open_view.encode())
        house.execute("grant select on bi.open to bi_reader")
        house.execute("set local enable_indexscan = off; set local enable_bitmapscan = off")
        house.execute("set local role bi_reader")
        rows = house.execute(f"select 1 from bi.{shown} where public.tell({counted[0]})".encode()).fetchall()
        assert rows == [(1,)]
        with pytest.raises(errors.RaiseException, match="seen"):  # a view without the barrier would tell
            house.execute("select 1 from bi.open where public.tell(number)")


# ---------------------------------------------------------------------------------------------- whoever migrates


def test_what_a_superuser_made_before_there_were_roles_is_handed_over(database_url: str) -> None:
    schemas = ["ops", "history", "analyst", "bi", "lab"]
    with connect(database_url) as connection:
        migrate(connection, LAB_FEEDS)
        connection.execute("insert into lab.visits values (1, 'a', 1, 1, 1, now(), 1, now(), '')")
        connection.execute("reassign owned by claims_owner to current_user")
        migrate(connection, LAB_FEEDS)
        assert connection.execute(FOREIGN.encode(), [schemas]).fetchall() == []
        assert migrate(connection, LAB_FEEDS) == []
    with connect(as_role(database_url, Role.LOADER)) as connection:
        assert connection.execute("select visit_id from lab.visits").fetchall() == [(1,)]


def test_rights_that_somebody_changed_are_as_declared_again(database_url: str) -> None:
    with connect(database_url) as connection:
        migrate(connection, LAB_FEEDS)
        connection.execute("grant all on ops.load to claims_loader; grant usage on schema ops to bi_reader")
        connection.execute("grant select on lab.visits to public; revoke select on ops.dump from claims_loader")
        (change,) = migrate(connection, LAB_FEEDS)
        assert change == "changed rights: 4 statements"
        assert migrate(connection, LAB_FEEDS) == []


def test_the_owner_alone_migrates_a_database_that_was_prepared(database_url: str) -> None:
    with connect(database_url) as connection:
        migrate(connection, [VISITS])
    with connect(as_role(database_url, Role.OWNER)) as connection:
        assert "created lab.samples" in migrate(connection, LAB_FEEDS)
        assert migrate(connection, LAB_FEEDS) == []


@pytest.fixture
def administrator(database_url: str) -> Iterator[str]:
    """URL of an administrator who owns the database and may make roles, but is no superuser: as on RDS."""
    name = f"a_{secrets.token_hex(6)}"
    with connect(database_url) as connection:
        connection.execute(f"create role {name} login createrole password 'x'".encode())
        connection.execute(f"alter database {connection.info.dbname} owner to {name}".encode())
    parts = conninfo_to_dict(database_url)
    yield f"postgresql://{name}:x@{parts['host']}:{parts['port']}/{parts['dbname']}"
    with connect(database_url) as connection:
        connection.execute(f"reassign owned by {name} to current_user; drop owned by {name}; drop role {name}".encode())


def test_who_may_not_become_the_owner_is_told_the_sql(administrator: str) -> None:
    with connect(administrator) as connection, pytest.raises(ClaimsPipelineError, match='grant "claims_owner" to'):
        migrate(connection, LAB_FEEDS)


def test_an_administrator_who_is_no_superuser_migrates(administrator: str, database_url: str) -> None:
    with connect(database_url) as connection:
        name = administrator.partition("//")[2].partition(":")[0]
        connection.execute(f"grant {', '.join(Role)} to {name} with admin option".encode())
    with connect(administrator) as connection:
        migrate(connection, LAB_FEEDS)
        assert migrate(connection, LAB_FEEDS) == []


def test_who_can_change_rights_only_in_part_is_told_the_sql_for_the_rest(database_url: str) -> None:
    with connect(database_url) as connection:
        migrate(connection, LAB_FEEDS)
        connection.execute(f"grant temporary on database {connection.info.dbname} to public".encode())
    owner = connect(as_role(database_url, Role.OWNER))
    with owner as connection, pytest.raises(ClaimsPipelineError, match="revoke TEMPORARY on database"):
        migrate(connection, LAB_FEEDS)
