"""pg_dump and pg_restore as processes: secrets stay out of their arguments, data out of their errors."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from claims_pipeline.errors import ClaimsPipelineError, SettingsError
from claims_pipeline.local import LocalServices, postgres_program
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.pgdump import check_version, dump_stream, environment, program_version, restore
from claims_pipeline_tests.fix_warehouse import new_database

PG_DUMP, PG_RESTORE = postgres_program("pg_dump"), postgres_program("pg_restore")


@pytest.fixture
def another_url(services: LocalServices) -> Iterator[str]:
    """A second empty database."""
    with new_database(services) as url:
        yield url


def dump_of(url: str, path: Path) -> Path:
    """A dump of a database, in a file."""
    with connect(url) as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        row = connection.execute("select pg_export_snapshot()").fetchone()
        assert row is not None
        with dump_stream(PG_DUMP, url, snapshot=row[0]) as stream:
            path.write_bytes(stream.read())
    return path


def program(folder: Path, says: str) -> Path:
    """A program that says it is another version."""
    path = folder / "pg_dump"
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_the_password_is_in_the_environment() -> None:
    env = environment("postgresql://ada:secret@db.example:5433/claims?sslmode=require")
    names = ("PGUSER", "PGPASSWORD", "PGHOST", "PGPORT", "PGDATABASE", "PGSSLMODE")
    assert [env[name] for name in names] == ["ada", "secret", "db.example", "5433", "claims", "require"]


def test_our_own_secrets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAIMS_TOKEN_KEYS", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert "secret" not in environment("postgresql://db.example/claims").values()


def test_a_parameter_that_pg_dump_cannot_be_given_is_told() -> None:
    with pytest.raises(SettingsError, match="keepalives"):
        environment("postgresql://db.example/claims?keepalives=0")


@pytest.mark.parametrize("says", ["pg_dump (PostgreSQL) 9.6.24", "pg_dump (PostgreSQL) 15.8 (Debian 15.8-0+deb12u1)"])
def test_a_program_older_than_the_server_is_refused(tmp_path: Path, database_url: str, says: str) -> None:
    with connect(database_url) as connection, pytest.raises(SettingsError, match="CLAIMS_PG_BIN"):
        check_version(connection, program(tmp_path, says))


def test_a_newer_program_is_fine(tmp_path: Path, database_url: str) -> None:
    with connect(database_url) as connection:
        assert "99.1" in check_version(connection, program(tmp_path, "pg_dump (PostgreSQL) 99.1"))


def test_the_version_of_the_embedded_program_is_read() -> None:
    assert program_version(PG_DUMP)[0] >= 18


def test_a_dump_of_a_snapshot_that_is_gone_fails_instead_of_ending(database_url: str) -> None:
    with (
        dump_stream(PG_DUMP, database_url, snapshot="00000003-0000001B-1") as stream,
        pytest.raises(ClaimsPipelineError, match="pg_dump failed"),
    ):
        stream.read(100)


def test_leaving_the_stream_early_ends_the_process(database_url: str) -> None:
    with connect(database_url) as connection:
        connection.execute("create table big as select repeat('x', 1000) || i as t from generate_series(1, 20000) i")
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read")
            row = connection.execute("select pg_export_snapshot()").fetchone()
            assert row is not None
            with dump_stream(PG_DUMP, database_url, snapshot=row[0]) as stream:
                stream.read(10)
        query = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        give_up = time.monotonic() + 60
        while connection.execute(query).fetchone() != (0,) and time.monotonic() < give_up:
            time.sleep(0.1)
        assert connection.execute(query).fetchone() == (0,)


def test_an_error_of_pg_restore_quotes_no_data(database_url: str, another_url: str, tmp_path: Path) -> None:
    """A key that is there twice: Postgres' own message has it in DETAIL."""
    with connect(database_url) as connection:
        connection.execute("create table t (name text); insert into t values ('canary-4711'), ('canary-4711')")
    dump = dump_of(database_url, tmp_path / "dump")
    with connect(another_url) as connection:
        connection.execute("create table t (name text unique)")
    with pytest.raises(ClaimsPipelineError) as caught:
        restore(PG_RESTORE, another_url, dump, jobs=1)
    assert ("canary" in str(caught.value), "already exists" in str(caught.value)) == (False, True)


def test_grants_to_a_role_that_is_missing_can_be_left_out(database_url: str, another_url: str, tmp_path: Path) -> None:
    role = f"r_{database_url.rpartition('_')[2]}"
    with connect(database_url) as connection:
        connection.execute("create table granted (a int)")
        connection.execute(f"create role {role}; grant select on granted to {role}".encode())
        dump = dump_of(database_url, tmp_path / "dump")
        connection.execute(f"drop owned by {role}; drop role {role}".encode())
    restore(PG_RESTORE, another_url, dump, jobs=1, privileges=False)
    with connect(another_url) as connection:
        assert connection.execute("select count(*) from granted").fetchone() == (0,)


def test_no_secret_is_among_the_arguments(database_url: str) -> None:
    password = database_url.partition("@")[0].rpartition(":")[2]
    with connect(database_url) as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        row = connection.execute("select pg_export_snapshot()").fetchone()
        assert row is not None
        with dump_stream(PG_DUMP, database_url, snapshot=row[0]):
            listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert password not in listed
