"""Backup, restore and drill on real parts: what comes back is what was there, and what is wrong is noticed."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from claims_pipeline.backup import Backups, Restored
from claims_pipeline.catching_up import catch_up
from claims_pipeline.errors import ClaimsPipelineError, SettingsError, Transient
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.landing import backups as stored
from claims_pipeline.local import LocalServices, postgres_program
from claims_pipeline.services import Services
from claims_pipeline.settings import Settings
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline.warehouse import backup_log
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.fingerprint import user_tables
from claims_pipeline.warehouse.scratch import sole_drill
from claims_pipeline.warehouse.upkeep import SCRATCH
from claims_pipeline_tests.fix_pipeline import FIRST, UPLOADS, Pipeline, written
from claims_pipeline_tests.fix_proxy import Proxy
from claims_pipeline_tests.fix_warehouse import new_database, template_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

PROGRAMS = postgres_program("pg_dump").parent


def say(url: str, run_id: str) -> None:
    """Write a row into a table of the warehouse."""
    with connect(url) as connection:
        connection.execute("insert into ops.message (run_id, channel, ts) values (%s, '#claims', '1')", [run_id])


def log(url: str) -> list[tuple[str, bool, str]]:
    """The record: kind, passed, reason."""
    with connect(url) as connection:
        return connection.execute("select kind, passed, reason from ops.backup order by entry_id").fetchall()


def scratch_databases(url: str) -> int:
    """Scratch databases of this warehouse's restore drills."""
    with connect(url) as connection:
        row = connection.execute(
            "select count(*) from pg_database d, pg_database here where here.datname = current_database()"
            " and starts_with(d.datname::text, %s || here.oid || '_')",
            [f"{SCRATCH}restore_"],
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def warehouse_url(services: LocalServices) -> Iterator[str]:
    """A warehouse without feeds: its few tables are backed up and restored in a second."""
    with new_database(services, template=template_of(services, [])) as url:
        yield url


@pytest.fixture
def settings(services: LocalServices, s3: S3Client, bucket: str, warehouse_url: str, tmp_path: Path) -> Settings:
    say(warehouse_url, "first")
    return Settings(
        state_dir=tmp_path,
        database_url=SecretStr(warehouse_url),
        s3_endpoint_url=services.s3.url,
        archive_bucket=bucket,
        pg_bin=PROGRAMS,
    )


@pytest.fixture
def backups(settings: Settings, s3: S3Client) -> Backups:
    return Backups(Services(settings, lambda: s3), run_id="test")


@pytest.fixture
def empty_url(database_url: str) -> str:
    """A database to restore into."""
    return database_url


# ---------------------------------------------------------------------------------------------- backup


def test_the_manifest_names_every_table_with_its_rows(backups: Backups, warehouse_url: str) -> None:
    manifest = backups.take()
    with connect(warehouse_url) as connection:
        expected = user_tables(connection)
    found = {(table.schema, table.table): table.rows for table in manifest.tables}
    assert (sorted(found), found["ops", "message"]) == (expected, 1)


def test_the_manifest_is_read_as_it_was_written(backups: Backups) -> None:
    assert [backups.take()] == backups.all()


def test_the_dump_is_what_the_manifest_says(backups: Backups, s3: S3Client, bucket: str) -> None:
    manifest = backups.take()
    size = s3.head_object(Bucket=bucket, Key=stored.dump_key(manifest.stamp))["ContentLength"]
    assert size == manifest.bytes


def test_what_is_written_during_a_backup_is_in_neither_dump_nor_manifest(
    settings: Settings, s3: S3Client, warehouse_url: str
) -> None:
    written: list[int] = []

    def meanwhile(what: str, done: int) -> None:
        say(warehouse_url, f"{what}-{done}-{len(written)}")
        written.append(done)

    backups = Backups(Services(settings, lambda: s3), run_id="test", progress=meanwhile)
    manifest = backups.take()
    rows = {table.table: table.rows for table in manifest.tables if table.schema == "ops"}
    assert (rows["message"], bool(written)) == (1, True)
    assert not Backups(Services(settings, lambda: s3), run_id="test").drill().differences


def test_a_backup_is_recorded(backups: Backups, warehouse_url: str) -> None:
    backups.take()
    assert log(warehouse_url) == [("backup", True, "")]


def test_a_pg_dump_that_is_missing_is_told(settings: Settings, s3: S3Client, tmp_path: Path) -> None:
    services = Services(settings.model_copy(update={"pg_bin": tmp_path}), lambda: s3)
    with pytest.raises(SettingsError, match="CLAIMS_PG_BIN"):
        Backups(services, run_id="test").take()


@pytest.mark.parametrize("after", [0, 60_000])
def test_a_backup_whose_database_is_lost_does_not_exist(
    settings: Settings, s3: S3Client, bucket: str, warehouse_url: str, proxy_to: Callable[[str], Proxy], after: int
) -> None:
    proxy = proxy_to(warehouse_url)
    url = SecretStr(proxy.in_place_of(warehouse_url))
    proxy.cut_after(after)
    with pytest.raises(Transient):
        Backups(Services(settings.model_copy(update={"database_url": url}), lambda: s3), run_id="test").take()
    assert [item for item in stored.stored(s3, bucket) if item.whole] == []


def test_a_failed_backup_is_recorded_with_its_reason(settings: Settings, s3: S3Client, warehouse_url: str) -> None:
    services = Services(settings.model_copy(update={"backup_bucket": "no-such-bucket"}), lambda: s3)
    with pytest.raises(ClaimsPipelineError):
        Backups(services, run_id="test").take()
    ((kind, passed, reason),) = log(warehouse_url)
    assert (kind, passed, "no-such-bucket" in reason) == ("backup", False, True)


def test_the_record_is_append_only(backups: Backups, warehouse_url: str) -> None:
    backups.take()
    with connect(warehouse_url) as connection, pytest.raises(errors.RaiseException):
        connection.execute("update ops.backup set passed = true")


# ---------------------------------------------------------------------------------------------- restore


def test_a_restored_database_is_as_it_was(backups: Backups, empty_url: str) -> None:
    assert backups.restore(backups.take(), empty_url).differences == ()


def test_a_load_goes_on_in_the_restored_database(pipeline: Pipeline, empty_url: str) -> None:
    """Identity sequences, deferred constraints and triggers are there as before. Takes about 5 s: two real loads."""
    _, delivery = written(UPLOADS, days=2)
    days = sorted(delivery)
    pipeline.deliver({days[0]: delivery[days[0]]})
    pipeline.catch_up()
    backups = Backups(_with(pipeline.services, pg_bin=PROGRAMS), run_id="test")
    backups.restore(backups.take(), empty_url)
    restored = Pipeline(_with(pipeline.services, database_url=SecretStr(empty_url)), pipeline.s3)
    restored.deliver({days[1]: delivery[days[1]]})
    done = catch_up(restored.flow, SENDER)
    assert [(dump.status, dump.delivery_day) for dump in done] == [
        (DumpStatus.LOADED, FIRST + dt.timedelta(days=1)),
    ]


def _with(services: Services, **changes: object) -> Services:
    return Services(services.settings.model_copy(update=changes), lambda: services.s3)


def test_the_audit_of_a_restored_database_is_append_only(backups: Backups, empty_url: str) -> None:
    backups.restore(backups.take(), empty_url)
    with connect(empty_url) as connection, pytest.raises(errors.RaiseException):
        connection.execute("delete from ops.load")


def test_a_database_that_has_tables_is_refused(backups: Backups, empty_url: str) -> None:
    manifest = backups.take()
    with connect(empty_url) as connection:
        connection.execute("create table precious (a int)")
    with pytest.raises(ClaimsPipelineError, match="not empty"):
        backups.restore(manifest, empty_url)


def test_a_damaged_dump_touches_no_database(backups: Backups, s3: S3Client, bucket: str, empty_url: str) -> None:
    manifest = backups.take()
    key = stored.dump_key(manifest.stamp)
    body = bytearray(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    body[len(body) // 2] ^= 1
    s3.put_object(Bucket=bucket, Key=key, Body=bytes(body))
    with pytest.raises(ClaimsPipelineError, match="SHA-256"):
        backups.restore(manifest, empty_url)
    with connect(empty_url) as connection:
        assert user_tables(connection) == []


def test_a_restored_database_says_where_it_came_from(backups: Backups, empty_url: str) -> None:
    backups.restore_for_good(backups.take(), empty_url)
    assert log(empty_url) == [("restore", True, "")]


def test_a_restored_database_uses_no_number_of_a_lost_dump_again(backups: Backups, empty_url: str) -> None:
    backups.restore_for_good(backups.take(), empty_url)
    with connect(empty_url) as connection:
        row = connection.execute("select nextval(pg_get_serial_sequence('ops.dump', 'dump_id'))").fetchone()
    assert row is not None
    assert row[0] > 1_000_000


def test_a_url_without_a_database_is_told(backups: Backups, empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = backups.take()
    server, _, name = empty_url.rpartition("/")
    monkeypatch.setenv("PGDATABASE", name)
    with pytest.raises(SettingsError, match="names no database"):
        backups.restore(manifest, server)


def test_a_backup_that_is_not_there_is_told(backups: Backups) -> None:
    with pytest.raises(ClaimsPipelineError, match="backup list"):
        backups.find("latest")


# ---------------------------------------------------------------------------------------------- drill


def test_a_drill_proves_the_newest_backup(backups: Backups, warehouse_url: str) -> None:
    backups.take()
    assert backups.drill().differences == ()
    assert log(warehouse_url)[-1] == ("drill", True, "")


def _drill_of_another_manifest(backups: Backups, rows: int) -> Restored:
    """A drill whose manifest says that ops.message has so many rows, and another digest."""
    manifest = backups.take()
    tables = tuple(
        dataclasses.replace(table, rows=rows, digest="0" * 64) if table.table == "message" else table
        for table in manifest.tables
    )
    stored.write_manifest(backups.services.s3, backups.bucket, dataclasses.replace(manifest, tables=tables))
    return backups.drill()


@pytest.mark.parametrize("rows", [1, 2])
def test_a_drill_notices_a_table_that_differs(backups: Backups, rows: int) -> None:
    (difference,) = _drill_of_another_manifest(backups, rows).differences
    assert (difference.table, difference.rows_expected, difference.rows_found) == ("ops.message", rows, 1)


def test_a_drill_that_found_a_difference_is_recorded(backups: Backups, warehouse_url: str) -> None:
    _drill_of_another_manifest(backups, 2)
    kind, passed, reason = log(warehouse_url)[-1]
    assert (kind, passed, "ops.message (2 rows in the backup, 1 rows restored)" in reason) == ("drill", False, True)


def test_a_drill_leaves_no_database(backups: Backups, warehouse_url: str) -> None:
    backups.take()
    backups.drill()
    assert scratch_databases(warehouse_url) == 0


def test_a_drill_drops_what_a_killed_one_left(backups: Backups, warehouse_url: str) -> None:
    with sole_drill(warehouse_url, "restore") as label, connect(warehouse_url) as connection:
        connection.execute(f"create database {SCRATCH}{label}_0123456789ab".encode())
    left = scratch_databases(warehouse_url)
    backups.take()
    backups.drill()
    assert (left, scratch_databases(warehouse_url)) == (1, 0)


def test_two_drills_do_not_disturb_each_other(backups: Backups, warehouse_url: str) -> None:
    backups.take()
    with sole_drill(warehouse_url, "restore"), pytest.raises(ClaimsPipelineError, match="another restore drill"):
        backups.drill()


def test_without_rights_to_make_a_database_the_drill_says_so(
    settings: Settings, s3: S3Client, backups: Backups, warehouse_url: str
) -> None:
    backups.take()
    role = f"r_{warehouse_url.rpartition('_')[2]}"
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        roles = "pg_read_all_data, claims_loader"
        connection.execute(f"create role {role} login password 'x' in role {roles}".encode())
    try:
        url = SecretStr(make_conninfo(warehouse_url, user=role, password="x"))
        services = Services(settings.model_copy(update={"database_url": url}), lambda: s3)
        with pytest.raises(ClaimsPipelineError, match="createdb"):
            Backups(services, run_id="test").drill()
    finally:
        with psycopg.connect(warehouse_url, autocommit=True) as connection:
            connection.execute(f"drop owned by {role}; drop role {role}".encode())


# ---------------------------------------------------------------------------------------------- retention, age


def _copies(backups: Backups, days: int) -> list[dt.datetime]:
    """A backup of each of so many days up to now, all of the same content."""
    manifest = backups.take()
    stamps = [manifest.stamp - dt.timedelta(days=back) for back in range(days)]
    for stamp in stamps[1:]:
        backups.services.s3.put_object(Bucket=backups.bucket, Key=stored.dump_key(stamp), Body=b"x")
        stored.write_manifest(backups.services.s3, backups.bucket, dataclasses.replace(manifest, stamp=stamp))
    return stamps


def test_a_plan_deletes_nothing(backups: Backups) -> None:
    _copies(backups, 9)
    backups.retention()
    assert len(backups.all()) == 9


def test_pruning_keeps_what_the_plan_keeps(settings: Settings, s3: S3Client) -> None:
    few = settings.model_copy(update={"backup_keep_days": 2, "backup_keep_weeks": 0, "backup_keep_months": 0})
    backups = Backups(Services(few, lambda: s3), run_id="test")
    stamps = _copies(backups, 5)
    backups.prune(backups.retention())
    assert [manifest.stamp for manifest in backups.all()] == stamps[:2]


def test_pruning_is_recorded(settings: Settings, s3: S3Client, warehouse_url: str) -> None:
    few = settings.model_copy(update={"backup_keep_days": 1, "backup_keep_weeks": 0, "backup_keep_months": 0})
    backups = Backups(Services(few, lambda: s3), run_id="test")
    _, old = _copies(backups, 2)
    backups.prune(backups.retention())
    assert log(warehouse_url)[-1] == ("prune", True, f"deleted {stored.stamp_name(old)}")


@pytest.mark.parametrize(("days", "goes"), [(1, 0), (3, 1)])
def test_a_leftover_goes_once_it_cannot_be_on_its_way(backups: Backups, days: int, goes: int) -> None:
    stamp = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(days=days)
    backups.services.s3.put_object(Bucket=backups.bucket, Key=stored.dump_key(stamp), Body=b"x")
    assert len(backups.retention().leftovers) == goes


def test_a_leftover_is_no_backup(backups: Backups) -> None:
    stamp = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    backups.services.s3.put_object(Bucket=backups.bucket, Key=stored.dump_key(stamp), Body=b"x")
    assert backups.all() == []


def test_without_any_backup_the_age_is_that_of_the_database(warehouse_url: str) -> None:
    with connect(warehouse_url) as connection:
        found = backup_log.standing(connection)
    assert (found.backup_age > 0, found.backup_age == found.drill_age, found.backup_bytes) == (True, True, None)


def test_a_failed_drill_does_not_make_the_age_smaller(backups: Backups, warehouse_url: str) -> None:
    with connect(warehouse_url) as connection:
        before = backup_log.standing(connection)
        _drill_of_another_manifest(backups, 2)
        assert backup_log.standing(connection).drill_age > before.drill_age


def test_a_good_drill_makes_the_age_smaller(backups: Backups, warehouse_url: str) -> None:
    backups.take()
    with connect(warehouse_url) as connection:
        backups.drill()
        found = backup_log.standing(connection)
    assert found.drill_age < found.backup_age
