"""Roles by what they may do: each connects with its own login and tries every action. Refused is refused by rights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import errors

from claims_pipeline.feeds import all_feeds
from claims_pipeline.local import LocalServices
from claims_pipeline.vocabulary import Role
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.grants import ensure_rights
from claims_pipeline.warehouse.migrate import migrate
from claims_pipeline.warehouse.roles import READERS, SETTINGS, login_statements
from claims_pipeline_tests.fix_services import as_role
from claims_pipeline_tests.fix_warehouse import new_database

OWNER, LOADER, ANALYST, BI = Role.OWNER, Role.LOADER, Role.ANALYST, Role.BI_READER
TABLE = "va_form526.form526_submissions"
HISTORY = "history.va_form526__form526_submissions"
VIEW = "analyst.va_form526__form526_submissions"


@dataclass(frozen=True)
class Action:
    """Something that is tried.

    Attributes:
        sql: it.
        may: roles that may do it.
        append_only: a trigger refuses it to those who have the right.
    """

    sql: str
    may: tuple[Role, ...] = ()
    append_only: bool = False


APPENDED = (
    "load", "backup", "upkeep", "quarantine_look", "decision", "rebuild", "erasure", "token_request", "audit_link",
)  # fmt: skip
ACTIONS = {
    # reading
    "read the ledger": Action("select * from ops.dump", (OWNER, LOADER)),
    "read the audit": Action("select * from ops.load", (OWNER, LOADER)),
    "read the quarantine": Action("select sealed from ops.quarantine", (OWNER, LOADER)),
    "read the state of feeds": Action("select * from ops.feed_status", (OWNER, LOADER)),
    "read a table": Action(f"select * from {TABLE}", (OWNER, LOADER)),
    "read only a key of a table": Action(f"select id from {TABLE}", (OWNER, LOADER)),
    "count a table": Action(f"select count(*) from {TABLE}", (OWNER, LOADER)),
    "read special data": Action(f"select has_form0781, homeless_or_at_risk from {TABLE}", (OWNER, LOADER)),
    "read history": Action(f"select * from {HISTORY}", (OWNER, LOADER)),
    "read all versions": Action(f"select * from {HISTORY}__versions", (OWNER, LOADER)),
    "read rows as an analyst": Action(f"select * from {VIEW}", (OWNER, ANALYST)),
    "read versions as an analyst": Action(f"select * from {VIEW}__versions", (OWNER, ANALYST)),
    "read reporting views": Action("select * from rpt.patients", (OWNER, ANALYST)),
    "read a report": Action("select * from bi.submissions_per_day", (OWNER, LOADER, BI)),
    "read which reports there are": Action("select * from bi.reports", (OWNER, LOADER, BI)),
    "read what reports are made of": Action("select people from ops.report_part", (OWNER, LOADER)),
    "read the seed of rounding": Action("select seed from ops.report_seed", (OWNER, LOADER)),
    "read who is withheld": Action("select * from ops.withheld", (OWNER, LOADER)),
    "read which migrations there are": Action("select * from public.claims_pipeline_migration", (OWNER, LOADER)),
    "read password hashes": Action("select rolpassword from pg_authid"),
    "read a file of the server": Action("select pg_read_file('PG_VERSION')"),
    "list files of the server": Action("select pg_ls_dir('.')"),
    # writing rows
    "note a contract": Action("insert into ops.contract values ('x', 'x', '{}')", (OWNER, LOADER)),
    "forget a contract": Action("delete from ops.contract where false", (OWNER,)),
    "change the ledger": Action("update ops.dump set reason = '' where false", (OWNER, LOADER)),
    "note what is due": Action("update ops.expectation set told_at = null where false", (OWNER, LOADER)),
    "forget what was due": Action("delete from ops.expectation where false", (OWNER,)),
    "delete from the ledger": Action("delete from ops.dump where false", (OWNER,)),
    "resolve a quarantined row": Action("update ops.quarantine set resolved_at = now() where false", (OWNER, LOADER)),
    "change links of the audit": Action("update ops.audit_head set entries = 0 where false", (OWNER,)),
    "insert into a table": Action(f"insert into {TABLE} select * from {TABLE} where false", (OWNER, LOADER)),
    "update a table": Action(f"update {TABLE} set form_id = '' where false", (OWNER, LOADER)),
    "delete from a table": Action(f"delete from {TABLE} where false", (OWNER, LOADER)),
    "delete from history": Action(f"delete from {HISTORY} where false", (OWNER, LOADER)),
    "update through a view": Action(f"update {VIEW} set form_id = '' where false", (OWNER,)),
    "delete through a view": Action(f"delete from {VIEW} where false", (OWNER,)),
    "take a number of a load": Action("select nextval('ops.load_load_id_seq')", (OWNER, LOADER)),
    "set the numbers of dumps back": Action("select setval('ops.dump_dump_id_seq', 1)", (OWNER,)),
    "lock a row of the ledger": Action("select from ops.dump for update", (OWNER, LOADER)),
    **{
        f"delete from ops.{name}": Action(f"delete from ops.{name} where false", (OWNER,), append_only=True)
        for name in APPENDED
    },
    "change the audit": Action("update ops.load set reason = '' where false", (OWNER,), append_only=True),
    "change a decision": Action("update ops.decision set reason = '' where false", (OWNER,), append_only=True),
    # truncating and defining
    "truncate a table": Action(f"truncate {TABLE}", (OWNER,)),
    "truncate history": Action(f"truncate {HISTORY}", (OWNER,)),
    "truncate the audit": Action("truncate ops.load", (OWNER,), append_only=True),
    "truncate the quarantine": Action("truncate ops.quarantine", (OWNER,)),
    "make a temporary table": Action("create temp table t (n int)", (OWNER, LOADER)),
    "make a temporary view": Action("create temp view v as select 1 as n", (OWNER, LOADER)),
    "make a schema": Action("create schema mine", (OWNER,)),
    **{
        f"make a table in {schema}": Action(f"create table {schema}.mine (n int)", (OWNER,))
        for schema in ("public", "ops", "history", "va_form526", "analyst", "rpt", "bi")
    },
    "make a view": Action("create view analyst.mine as select 1 as n", (OWNER,)),
    "make a function": Action("create function bi.f() returns int language sql as 'select 1'", (OWNER,)),
    "make an index": Action(f"create index on {TABLE} (form_id)", (OWNER,)),
    "add a column": Action(f"alter table {TABLE} add column mine int", (OWNER,)),
    "drop a table": Action(f"drop table {TABLE} cascade", (OWNER,)),
    "drop a view": Action(f"drop view {VIEW}", (OWNER,)),
    "drop a schema": Action("drop schema bi cascade", (OWNER,)),
    "comment on a table": Action(f"comment on table {TABLE} is 'x'", (OWNER,)),
    "make a trigger": Action(f"create trigger t after insert on {TABLE} execute function ops.append_only()", (OWNER,)),
    "disable the triggers of the audit": Action("alter table ops.load disable trigger user", (OWNER,)),
    "pass triggers by": Action("set session_replication_role = replica"),
    # functions, roles, the server
    "write a link of the audit": Action(
        "insert into ops.audit_link (chain, number, table_name, entry_id, columns, hash)"
        " values ('x', 1, 'x', 1, '{}', '')",
        (OWNER,),
    ),
    "become the owner": Action("set role claims_owner", (OWNER,)),
    "become the loader": Action("set role claims_loader", (LOADER,)),
    "become an analyst": Action("set role claims_analyst", (ANALYST,)),
    "become a BI reader": Action("set role bi_reader", (BI,)),
    "become another session's user": Action("set session authorization claims"),
    "make a role": Action("create role mine"),
    "make a database": Action("create database mine"),
    "take a role for oneself": Action("grant claims_owner to claims_loader"),
    "change the server": Action("alter system set work_mem = '1GB'"),
    "change a reader's settings": Action("alter role bi_reader set statement_timeout = 0", (BI,)),
    "copy to a program": Action("copy (select 1) to program 'cat'"),
    "copy from a program": Action("create temp table if not exists x (t text); copy x from program 'id'"),
    "copy to a file": Action("copy (select 1) to '/tmp/claims-copied'"),
    "import a file": Action("select lo_import('/etc/hostname')"),
}

TRIED = [(name, role) for name in ACTIONS for role in Role]


@pytest.fixture(scope="module")
def house(services: LocalServices) -> Iterator[str]:
    """URL of a database with all tables, user a superuser."""
    with new_database(services) as url:
        with connect(url) as connection:
            migrate(connection, all_feeds())
        yield url


@dataclass(frozen=True)
class Logins:
    """Connections as each role, without the settings by which readers are kept from writing by accident."""

    url: str

    def __getitem__(self, role: Role) -> psycopg.Connection:
        options = "-c default_transaction_read_only=off -c client_min_messages=error"
        return psycopg.connect(as_role(self.url, role), autocommit=True, options=options)


@pytest.fixture(scope="module")
def logins(house: str) -> Logins:
    return Logins(house)


@pytest.mark.parametrize(("name", "role"), TRIED, ids=[f"{role}: {name}" for name, role in TRIED])
def test_a_role_may_do_this_and_not_that(logins: Logins, name: str, role: Role) -> None:
    action = ACTIONS[name]
    with logins[role] as connection:
        if role not in action.may:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(action.sql.encode())
        elif action.append_only:
            with pytest.raises(errors.RaiseException, match="append-only"):
                connection.execute(action.sql.encode())
        else:
            with connection.transaction(force_rollback=True):
                connection.execute(action.sql.encode())


def test_a_loader_that_grants_its_rights_gives_none_away(logins: Logins, house: str) -> None:
    with logins[LOADER] as connection:
        connection.execute(f"grant select on {TABLE} to public".encode())  # Postgres only warns
    with connect(house) as connection:
        assert ensure_rights(connection, all_feeds()) == []


# ---------------------------------------------------------------------------------------------- logins


def test_who_is_no_member_of_a_role_cannot_connect(house: str) -> None:
    name = f"s_{house.rpartition('_')[2]}"
    with connect(house) as connection:
        connection.execute(f"create role {name} login password 'x'".encode())
        try:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(house, user=name, password="x")
        finally:
            connection.execute(f"drop role {name}".encode())


@pytest.mark.parametrize("role", list(Role))
def test_a_role_cannot_connect_to_another_database_that_shuts_everybody_out(
    services: LocalServices, house: str, role: Role
) -> None:
    with new_database(services) as other:
        name = other.rpartition("/")[2]
        with connect(house) as connection:
            connection.execute(f"revoke connect on database {name} from public".encode())
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(as_role(other, role))


def test_roles_of_a_migration_have_no_password_until_they_are_given_one(house: str) -> None:
    name = f"p_{house.rpartition('_')[2]}"
    with connect(house) as connection:
        connection.execute(f"create role {name} login in role claims_analyst".encode())
        try:
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(house, user=name, password="x")
        finally:
            connection.execute(f"drop role {name}".encode())


@pytest.mark.parametrize("role", READERS)
def test_a_reader_has_its_time_outs_and_reads_only(house: str, role: Role) -> None:
    with psycopg.connect(as_role(house, role)) as connection:
        found = {setting: connection.execute(f"show {setting}".encode()).fetchone() for setting in SETTINGS[role]}
    assert found == {setting: (value,) for setting, value in SETTINGS[role].items()}


@pytest.mark.parametrize("role", READERS)
def test_a_login_of_a_person_has_the_time_outs_of_its_role(house: str, role: Role) -> None:
    name = f"m_{house.rpartition('_')[2]}"
    with connect(house) as connection:
        for statement in login_statements(name, role, connection.info.dbname):
            connection.execute(statement)
        connection.execute(f"alter role {name} password 'x'".encode())
        try:
            with psycopg.connect(house, user=name, password="x") as login:
                found = {setting: login.execute(f"show {setting}".encode()).fetchone() for setting in SETTINGS[role]}
        finally:
            connection.execute(f"drop role {name}".encode())
    assert found == {setting: (value,) for setting, value in SETTINGS[role].items()}


def test_a_statement_that_takes_too_long_ends(house: str) -> None:
    with connect(house) as owner:
        name = owner.info.dbname
        owner.execute(f"alter role bi_reader in database {name} set statement_timeout = '10ms'".encode())
        try:
            with psycopg.connect(as_role(house, BI)) as reader, pytest.raises(errors.QueryCanceled):
                reader.execute("select pg_sleep(60)")
        finally:
            value = SETTINGS[BI]["statement_timeout"]
            owner.execute(f"alter role bi_reader in database {name} set statement_timeout = '{value}'".encode())
