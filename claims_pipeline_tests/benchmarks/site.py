"""Where the benchmarks run: a folder with a Postgres and an S3 of its own, files, results and other tools' programs.

Belongs here: what a contender finds when it begins: an empty database, empty buckets, the environment that points
there. Does not belong here: contenders, measurement.

    <folder>/
      state/     the embedded Postgres (durable, as delivered) and S3, and Dagster's storage
      files/     dumps, made once
      venvs/     other tools, each in a virtual environment of its own
      results/   a JSON line for every measured load
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from claims_pipeline import local
from claims_pipeline.feeds import Feed
from claims_pipeline.frames import make_key_ring
from claims_pipeline.landing.s3 import ensure_bucket
from claims_pipeline.local import LocalServices
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.migrate import migrate
from claims_pipeline_tests.benchmarks import feeds

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKETS = ("bench-inbox", "bench-archive")


@dataclass(frozen=True)
class Site:
    """A benchmark's folder and its running services."""

    folder: Path
    services: LocalServices
    keys: dict[str, str] = field(repr=False)

    @property
    def state(self) -> Path:
        """The state folder of the embedded services."""
        return self.folder / "state"

    @property
    def files(self) -> Path:
        """The folder of the dumps."""
        return self.folder / "files"

    def venv(self, tool: str) -> Path:
        """The virtual environment of another tool, whether it is there or not."""
        return self.folder / "venvs" / tool

    @property
    def s3(self) -> S3Client:
        """A client of the S3 endpoint."""
        return local.s3_client(self.services.s3)

    # ------------------------------------------------------------------------------------------ databases

    def url(self, contender: str) -> str:
        """URL of a contender's database, password included: for environments, not for arguments or logs."""
        return f"{self.services.database_url.rpartition('/')[0]}/bench_{contender}"

    def empty_database(self, contender: str) -> str:
        """Make a contender's database anew; its URL."""
        name = sql.Identifier(f"bench_{contender}")
        with psycopg.connect(self.services.database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))
            connection.execute(sql.SQL("create database {}").format(name))
        return self.url(contender)

    def drop_database(self, contender: str) -> None:
        """Give a contender's disk space back."""
        name = sql.Identifier(f"bench_{contender}")
        with psycopg.connect(self.services.database_url, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))

    def settle_down(self) -> None:
        """Let Postgres write out what earlier loads left in memory, so that the next does not pay for it."""
        with psycopg.connect(self.services.database_url, autocommit=True) as connection:
            connection.execute("checkpoint")

    def libpq(self, contender: str) -> dict[str, str]:
        """The environment by which psql and other libpq clients reach a contender's database."""
        parts = psycopg.conninfo.conninfo_to_dict(self.url(contender))
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
        return {variable: str(parts[name]) for name, variable in names.items()}

    # ------------------------------------------------------------------------------------------ our own parts

    def empty_pipeline(self, contender: str) -> None:
        """Make an empty warehouse with the benchmark's feeds, and empty buckets."""
        with connect(self.empty_database(contender)) as connection:
            migrate(connection, feeds.FEEDS)
        for bucket in BUCKETS:
            ensure_bucket(self.s3, bucket)
            self._empty_bucket(bucket)

    def deliver(self, feed: Feed, number: int, file: Path) -> None:
        """Put a file into the inbox as the feed's n-th dump."""
        self.s3.upload_file(str(file), BUCKETS[0], feeds.inbox_key(feed, number))

    def settings(self, contender: str) -> dict[str, str]:
        """The environment that points the product to a contender's database and to the buckets, as to real ones."""
        s3 = self.services.s3
        return {
            **feeds.installed(self.folder / "feeds"),
            **self.keys,
            "CLAIMS_STATE_DIR": str(self.state),
            "CLAIMS_DATABASE_URL": self.url(contender),
            "CLAIMS_S3_ENDPOINT_URL": s3.url,
            "CLAIMS_S3_REGION": s3.region,
            "CLAIMS_S3_ACCESS_KEY_ID": s3.access_key_id,
            "CLAIMS_S3_SECRET_ACCESS_KEY": s3.secret_access_key,
            "CLAIMS_INBOX_BUCKET": BUCKETS[0],
            "CLAIMS_ARCHIVE_BUCKET": BUCKETS[1],
            "CLAIMS_SETTLE_SECONDS": "0",
        }

    def _empty_bucket(self, bucket: str) -> None:
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for item in page.get("Contents", ()):
                self.s3.delete_object(Bucket=bucket, Key=item["Key"])


def open_site(folder: Path) -> Site:
    """The site in this folder, made and started if need be; none of the caller's own settings take part."""
    for name in [name for name in os.environ if name.startswith(("CLAIMS_", "DAGSTER_", "AWS_", "PG"))]:
        del os.environ[name]
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    feeds.install_here(folder / "feeds")
    keys = {f"CLAIMS_{name}_KEYS": make_key_ring() for name in ("TOKEN", "QUARANTINE")}
    return Site(folder, local.ensure_up(folder / "state"), keys)
