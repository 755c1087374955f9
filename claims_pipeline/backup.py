"""Backup, restore and restore drill, composed from Postgres and S3. No Dagster.

Belongs here: the order of the steps, and what is recorded. Does not belong here: processes and SQL (warehouse), keys
and retention (landing.backups).

A backup is a pg_dump of one snapshot, streamed to S3, and a manifest written last, with the fingerprint of every table
as of the same snapshot. So a restore is proven by comparing with the manifest alone; nothing of the old database is
needed.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from claims_pipeline import telemetry
from claims_pipeline.errors import ClaimsPipelineError, safe_text
from claims_pipeline.landing import backups, s3
from claims_pipeline.landing.backups import Manifest, Stored, TableContent
from claims_pipeline.services import Services
from claims_pipeline.warehouse import backup_log, ledger, pgdump, roles
from claims_pipeline.warehouse.backup_log import Entry
from claims_pipeline.warehouse.connection import connect, transient_errors
from claims_pipeline.warehouse.fingerprint import fingerprint, user_tables
from claims_pipeline.warehouse.scratch import scratch_database, sole_drill

Progress = Callable[[str, int], None]
"""Told what goes on and how far it is: ("dumping", bytes), ("comparing", tables)..."""

LEFTOVER_AFTER = dt.timedelta(days=2)
"""A dump without a manifest is a leftover of a killed backup after this time; before, it may be on its way."""


NUMBERS_SKIPPED = 1_000_000
"""Dumps that may have arrived between the backup and the loss of the database; no sender delivers so many."""


@dataclass(frozen=True)
class Difference:
    """A table that is not as the manifest says. None for rows: the table is not there."""

    table: str
    rows_expected: int | None
    rows_found: int | None


@dataclass(frozen=True)
class Restored:
    """A backup that was restored and compared; equal where there are no differences."""

    manifest: Manifest
    differences: tuple[Difference, ...]
    seconds: float


@dataclass(frozen=True)
class Retention:
    """What is kept and what goes: old backups, and leftovers of killed ones."""

    kept: tuple[Stored, ...]
    old: tuple[Stored, ...]
    leftovers: tuple[Stored, ...]


class Backups:
    """The backups of the warehouse that the settings point to.

    Args:
        services: the database and S3.
        run_id: noted with all that is done.
        progress: told how far long steps are.
    """

    def __init__(self, services: Services, *, run_id: str, progress: Progress | None = None) -> None:
        self.services = services
        self.run_id = run_id
        self.bucket = services.settings.backup_bucket or services.settings.archive_bucket
        self._progress = progress or (lambda what, done: None)

    # ------------------------------------------------------------------------------------------ making

    def take(self) -> Manifest:
        """Make a backup now.

        Raises:
            SettingsError: pg_dump is missing, or older than the server.
            Transient, ClaimsPipelineError: it failed; nothing that looks like a backup stays.
        """
        stamp, begun = dt.datetime.now(dt.UTC).replace(microsecond=0), time.monotonic()
        with self._recorded("backup", stamp) as done:
            program = self.services.postgres_program("pg_dump")
            if any(item.stamp == stamp for item in self._stored()):
                raise ClaimsPipelineError(f"a backup of {backups.stamp_name(stamp)} was begun in this very second")
            url = self.services.owner_database_url
            with connect(url) as connection:
                version = pgdump.check_version(connection, program)
                with _snapshot(connection) as snapshot:
                    size = _database_bytes(connection)
                    with pgdump.dump_stream(program, url, snapshot=snapshot) as stream:
                        sent, sha256 = s3.upload_stream(
                            self.services.s3,
                            stream,
                            bucket=self.bucket,
                            key=backups.dump_key(stamp),
                            most_bytes=size,
                            progress=lambda done: self._progress("dumping", done),
                        )
                    tables = self._contents(connection)
                    migrations = _migrations(connection)
                server = connection.info.parameter_status("server_version") or "?"
            manifest = Manifest(
                stamp=stamp,
                bytes=sent,
                sha256=sha256,
                seconds=round(time.monotonic() - begun, 3),
                database_bytes=size,
                server_version=server,
                pg_dump_version=version,
                migrations=migrations,
                tables=tables,
            )
            backups.write_manifest(self.services.s3, self.bucket, manifest)
            done(manifest, "")
        return manifest

    # ------------------------------------------------------------------------------------------ looking

    def all(self) -> list[Manifest]:
        """The manifests of all backups, newest first.

        Raises:
            Transient, ClaimsPipelineError: S3 failed, or a manifest was damaged.
        """
        found = self._stored()
        return [backups.read_manifest(self.services.s3, self.bucket, item.stamp) for item in found if item.whole]

    def find(self, name: str) -> Manifest:
        """A backup by its stamp as `backup list` shows it, or "latest".

        Raises:
            ClaimsPipelineError: there is none.
        """
        found = self._stored()
        for item in found:
            if item.whole and name in ("latest", backups.stamp_name(item.stamp)):
                return backups.read_manifest(self.services.s3, self.bucket, item.stamp)
        raise ClaimsPipelineError(
            f"no backup {name!r} in s3://{self.bucket}/{backups.PREFIX}: `claims-pipeline backup list` shows all"
        )

    # ------------------------------------------------------------------------------------------ restoring

    def restore(self, manifest: Manifest, url: str, *, jobs: int | None = None, privileges: bool = True) -> Restored:
        """Restore a backup into an empty database and compare every table with the manifest.

        The dump is fetched into a temporary file (TMPDIR), since only a file can be restored by several processes at
        once, and because its SHA-256 must be right before the database is touched.

        Args:
            manifest: of the backup.
            url: of the database, empty.
            jobs: processes; None for one per core, 8 at most.
            privileges: restore grants, too; roles that the server lacks are made, without passwords.

        Raises:
            ClaimsPipelineError: the database is not empty, the dump is not as the manifest says, pg_restore failed, or
                the user may not make roles that are missing.
            Transient: S3 or Postgres was lost.
        """
        begun = time.monotonic()
        program = self.services.postgres_program("pg_restore")
        with connect(url) as connection:
            pgdump.check_version(connection, program)
            _refuse_unless_empty(connection)
            if privileges:
                roles.ensure_roles(connection)
        with tempfile.TemporaryDirectory(prefix="claims-restore-") as folder:
            dump = Path(folder) / "warehouse.dump"
            self._fetch(manifest, dump)
            self._progress("restoring", 0)
            pgdump.restore(program, url, dump, jobs=jobs or min(os.cpu_count() or 1, 8), privileges=privileges)
        with connect(url) as connection:
            connection.execute("analyze")
            found = {(t.schema, t.table): t for t in self._contents(connection)}
        differences = _differences(manifest, found)
        return Restored(manifest, differences, round(time.monotonic() - begun, 3))

    def restore_for_good(
        self, manifest: Manifest, url: str, *, jobs: int | None = None, privileges: bool = True
    ) -> Restored:
        """As `restore`, for a database that is to take the old one's place.

        Its record says where it came from, and its next dumps get numbers that the lost days cannot have used: those of
        the lost days stay in keys of the raw archive, which are read again by a rebuild.

        Raises:
            Transient, ClaimsPipelineError: see `restore`.
        """
        done = self.restore(manifest, url, jobs=jobs, privileges=privileges)
        with connect(url) as connection:
            backup_log.record(connection, self._entry("restore", done))
            ledger.skip_numbers(connection, NUMBERS_SKIPPED)
        return done

    def drill(self) -> Restored:
        """Restore the newest backup into a scratch database on the same server, compare, drop it.

        Raises:
            ClaimsPipelineError: there is no backup, or it cannot be restored.
            Transient: S3 or Postgres was lost.
        """
        with self._recorded("drill", None) as done:
            manifest = self.find("latest")
            here = self.services.owner_database_url
            with sole_drill(here, "restore") as label, scratch_database(here, label) as url:
                result = self.restore(manifest, url)
            done(manifest, describe(result.differences))
        return result

    # ------------------------------------------------------------------------------------------ retention

    def retention(self, *, now: dt.datetime | None = None) -> Retention:
        """What would be kept and deleted, by the settings. Deletes nothing.

        Raises:
            Transient, ClaimsPipelineError: S3 failed.
        """
        settings = self.services.settings
        found = self._stored()
        kept = backups.retained(
            (item.stamp for item in found if item.whole),
            days=settings.backup_keep_days,
            weeks=settings.backup_keep_weeks,
            months=settings.backup_keep_months,
        )
        before = (now or dt.datetime.now(dt.UTC)) - LEFTOVER_AFTER
        return Retention(
            kept=tuple(item for item in found if item.whole and item.stamp in kept),
            old=tuple(item for item in found if item.whole and item.stamp not in kept),
            leftovers=tuple(item for item in found if not item.whole and item.stamp < before),
        )

    def prune(self, plan: Retention) -> int:
        """Delete what a plan does not keep; returns the bytes.

        Raises:
            Transient, ClaimsPipelineError: S3 failed; what is left goes the next time.
        """
        gone = (*plan.old, *plan.leftovers)
        if not gone:
            return 0
        begun = time.monotonic()
        for item in gone:
            backups.delete(self.services.s3, self.bucket, item)
        bytes_ = sum(item.bytes for item in gone)
        entry = Entry(
            "prune",
            passed=True,
            run_id=self.run_id,
            location=f"s3://{self.bucket}/{backups.PREFIX}",
            bytes=bytes_,
            seconds=round(time.monotonic() - begun, 3),
            reason=f"deleted {', '.join(backups.stamp_name(item.stamp) for item in gone)}",
        )
        with self.services.database() as connection:
            backup_log.record(connection, entry)
        return bytes_

    # ------------------------------------------------------------------------------------------ parts

    def _stored(self) -> list[Stored]:
        if self.services.embedded_s3:
            s3.ensure_bucket(self.services.s3, self.bucket)
        return backups.stored(self.services.s3, self.bucket)

    def _contents(self, connection: psycopg.Connection) -> tuple[TableContent, ...]:
        found = []
        for schema, table in user_tables(connection):
            content = fingerprint(connection, schema, table)
            found.append(TableContent(schema, table, content.rows, content.digest))
            self._progress("comparing", len(found))
        return tuple(found)

    def _fetch(self, manifest: Manifest, path: Path) -> None:
        free = shutil.disk_usage(path.parent).free
        if free < manifest.bytes:
            raise ClaimsPipelineError(
                f"the dump of {manifest.bytes:,} bytes does not fit into {path.parent} ({free:,} free): "
                "set TMPDIR to a folder with room"
            )
        key = backups.dump_key(manifest.stamp)
        with path.open("wb") as file:
            size, sha256 = s3.fetch(
                self.services.s3, file, bucket=self.bucket, key=key, progress=lambda n: self._progress("fetching", n)
            )
        if (size, sha256) != (manifest.bytes, manifest.sha256):
            raise ClaimsPipelineError(
                f"s3://{self.bucket}/{key} is not what its manifest says (size or SHA-256): it was changed or damaged; "
                "nothing was restored. Take another backup (`claims-pipeline backup list`)"
            )

    def _entry(self, kind: backup_log.Kind, done: Restored) -> Entry:
        manifest = done.manifest
        return Entry(
            kind,
            passed=not done.differences,
            run_id=self.run_id,
            stamp=manifest.stamp,
            location=self._location(manifest),
            tables=len(manifest.tables),
            rows=manifest.rows,
            bytes=manifest.bytes,
            seconds=done.seconds,
            reason=describe(done.differences),
        )

    def _location(self, manifest: Manifest) -> str:
        return f"s3://{self.bucket}/{backups.dump_key(manifest.stamp)}"

    @contextmanager
    def _recorded(self, kind: backup_log.Kind, stamp: dt.datetime | None) -> Iterator[Callable[[Manifest, str], None]]:
        """Append what became of it to the record, however it ends; the caller says of what, and what was wrong."""
        begun = time.monotonic()
        result: list[tuple[Manifest, str]] = []
        error = ""
        try:
            yield lambda manifest, wrong: result.append((manifest, wrong))
        except BaseException as raised:  # recorded and raised again
            error = safe_text(raised)
            raise
        finally:
            manifest, wrong = result[0] if result else (None, error or "it was interrupted")
            entry = Entry(
                kind,
                passed=not wrong,
                run_id=self.run_id,
                stamp=manifest.stamp if manifest else stamp,
                location=self._location(manifest) if manifest else "",
                tables=len(manifest.tables) if manifest else 0,
                rows=manifest.rows if manifest else 0,
                bytes=manifest.bytes if manifest else 0,
                seconds=round(time.monotonic() - begun, 3),
                reason=wrong,
            )
            self._append(entry, quietly=bool(error))

    def _append(self, entry: Entry, *, quietly: bool) -> None:
        telemetry.event(
            f"{entry.kind}_{'made' if entry.kind == 'backup' else 'ended'}" if entry.passed else f"{entry.kind}_failed",
            level="info" if entry.passed else "error", run_id=entry.run_id, location=entry.location or None,
            tables=entry.tables, rows=entry.rows, bytes=entry.bytes, seconds=entry.seconds, reason=entry.reason or None,
        )  # fmt: skip
        try:
            with self.services.database() as connection:
                backup_log.record(connection, entry)
        except ClaimsPipelineError:
            if not quietly:  # the error that is on its way already says more
                raise


def describe(differences: tuple[Difference, ...]) -> str:
    """Differences in one line: names and counts; empty where there are none."""
    if not differences:
        return ""
    said = [f"{d.table} ({_rows(d.rows_expected)} in the backup, {_rows(d.rows_found)} restored)" for d in differences]
    more = f" and {len(said) - 5} more" if len(said) > 5 else ""
    return f"{len(said)} tables differ: {', '.join(said[:5])}{more}"


def _rows(rows: int | None) -> str:
    return "no table" if rows is None else f"{rows:,} rows"


def _differences(manifest: Manifest, found: dict[tuple[str, str], TableContent]) -> tuple[Difference, ...]:
    expected = {(t.schema, t.table): t for t in manifest.tables}
    different = []
    for schema, table in sorted(expected.keys() | found.keys()):
        before, after = expected.get((schema, table)), found.get((schema, table))
        if before != after:
            different.append(
                Difference(f"{schema}.{table}", before.rows if before else None, after.rows if after else None)
            )
    return tuple(different)


@contextmanager
def _snapshot(connection: psycopg.Connection) -> Iterator[str]:
    """A read-only transaction whose snapshot others can use by the name that is yielded.

    The tables are locked first (as by any query), since an ALTER TABLE that rewrites one would empty it for a snapshot
    that is older.
    """
    tables = user_tables(connection)
    with transient_errors(), connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute("set local idle_in_transaction_session_timeout = 0")  # idle while pg_dump works
        for schema, table in tables:
            connection.execute(sql.SQL("lock table {} in access share mode").format(sql.Identifier(schema, table)))
        row = connection.execute("select pg_export_snapshot()").fetchone()
        assert row is not None  # noqa: S101 - a function has a result
        yield row[0]


def _database_bytes(connection: psycopg.Connection) -> int:
    row = connection.execute("select pg_database_size(current_database())").fetchone()
    assert row is not None  # noqa: S101 - a function has a result
    return int(row[0])


def _migrations(connection: psycopg.Connection) -> tuple[str, ...]:
    rows = connection.execute("select name from public.claims_pipeline_migration order by name").fetchall()
    return tuple(name for (name,) in rows)


def _refuse_unless_empty(connection: psycopg.Connection) -> None:
    row = connection.execute(
        "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname <> 'information_schema' and n.nspname !~ '^pg_' and not exists ("
        " select 1 from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')"
    ).fetchone()
    if row != (0,):
        raise ClaimsPipelineError(
            f"the database {connection.info.dbname} is not empty: make a new one (`createdb`) and restore into that. "
            "A backup is never restored over tables"
        )
