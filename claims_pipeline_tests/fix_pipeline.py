"""Fixtures: a migrated database, an inbox and an archive of a test's own, and what the fake sender would deliver.

Belongs here: the parts that `flow` needs, and short ways to deliver, catch up and look. Without Dagster (see
`fix_dagster`). Does not belong here: what is expected.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest
from psycopg import sql
from pydantic import SecretStr

from claims_pipeline.catching_up import catch_up
from claims_pipeline.feeds import Feed, all_feeds, feeds_of
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.flow import Flow
from claims_pipeline.frames import make_key_ring
from claims_pipeline.landing import s3 as landing
from claims_pipeline.local import LocalServices
from claims_pipeline.local.fake_sender import Dialect, Manifest, Plan, generate
from claims_pipeline.local.process import wait_until
from claims_pipeline.services import Services
from claims_pipeline.settings import Settings
from claims_pipeline.vocabulary import Role
from claims_pipeline.warehouse.ddl import table_of
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline_tests.fix_services import as_role
from claims_pipeline_tests.fix_warehouse import new_database, template_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

FIRST = dt.date(2024, 5, 6)
FEEDS = {feed.dataset: feed for feed in feeds_of(SENDER.name)}
SUBMISSIONS, JOBS, UPLOADS = "form526_submissions", "form526_job_statuses", "form526_uploads"
KEYS = {"token_keys": SecretStr(make_key_ring()), "quarantine_keys": SecretStr(make_key_ring())}

Delivery = dict[str, bytes]
"""Dumps by key."""


def written(
    *datasets: str, days: int = 1, rows: int = 40, dirt: float = 0.0, seed: int = 526
) -> tuple[Manifest, Delivery]:
    """What the fake sender would deliver, as canonical CSV."""
    dumps: Delivery = {}

    @contextmanager
    def kept(key: str) -> Iterator[BinaryIO]:
        body = io.BytesIO()
        yield body
        dumps[key] = body.getvalue()

    plan = Plan(FIRST, days=days, rows=rows, dirt=dirt, seed=seed, dialect=Dialect())
    return generate(plan, kept, datasets=datasets or None), dumps


def only(delivery: Delivery) -> tuple[str, bytes]:
    ((key, body),) = delivery.items()
    return key, body


@dataclass
class Pipeline:
    """A migrated database, an inbox and an archive of a test's own."""

    services: Services
    s3: S3Client
    runs: int = field(default=0)

    @property
    def flow(self) -> Flow:
        self.runs += 1
        return Flow(self.services, run_id=f"test-{self.runs}")

    @property
    def inbox(self) -> str:
        return self.services.settings.inbox_bucket

    def deliver(self, delivery: Delivery) -> None:
        for key, body in delivery.items():
            self.s3.put_object(Bucket=self.inbox, Key=key, Body=body)

    def deliver_again(self, key: str, body: bytes) -> None:
        """Write an object over an earlier one, at a moment that can be told from the earlier one's."""
        before = self.modified(key)

        def newer() -> bool:
            self.deliver({key: body})
            return self.modified(key) != before

        assert wait_until(newer, seconds=30)

    def modified(self, key: str) -> dt.datetime:
        return next(item.last_modified for page in landing.list_objects(self.s3, self.inbox, key) for item in page)

    def catch_up(self) -> list[Dump]:
        return catch_up(self.flow, SENDER)

    def arrive(self, delivery: Delivery) -> Dump:
        """Deliver one dump, and list it."""
        self.deliver(delivery)
        return self.flow.discover(SENDER).open[-1]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.services.database() as connection:
            return connection.execute(query.encode()).fetchall()

    def table(self, feed: Feed) -> list[str]:
        """Stored columns of the feed's table as text, sorted."""
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in feed.stored)
        with self.services.database() as connection:
            rows = connection.execute(sql.SQL("select {} from {}").format(names, table_of(feed))).fetchall()
        return sorted(map(repr, rows))

    def tables(self) -> dict[str, list[str]]:
        return {name: self.table(feed) for name, feed in FEEDS.items()}

    def settle(self, decide: Callable[..., object], dump: Dump) -> None:
        """Let a person decide about a dump."""
        with self.services.database() as connection:
            decide(connection, dump.dump_id, "ada")


@contextmanager
def pipeline_of(
    services: LocalServices,
    s3: S3Client,
    folder: Path,
    *,
    feeds: Sequence[Feed] | None = None,
) -> Iterator[Pipeline]:
    """Parts of a test's own, with the tables of these feeds, or of all."""
    with new_database(services, template=template_of(services, all_feeds() if feeds is None else feeds)) as url:
        name = url.rpartition("/")[2].replace("_", "-")
        settings = Settings(
            state_dir=folder,
            database_url=SecretStr(as_role(url, Role.LOADER)),
            owner_database_url=SecretStr(url),
            s3_endpoint_url=services.s3.url,
            inbox_bucket=f"{name}-inbox",
            archive_bucket=f"{name}-archive",
            settle_seconds=0,
            **KEYS,  # type: ignore[arg-type]  # of any kind
        )
        pipeline = Pipeline(Services(settings, lambda: s3), s3)
        for bucket in (settings.inbox_bucket, settings.archive_bucket):
            landing.ensure_bucket(s3, bucket)
        yield pipeline


@pytest.fixture
def pipeline(services: LocalServices, s3: S3Client, tmp_path: Path) -> Iterator[Pipeline]:
    with pipeline_of(services, s3, tmp_path) as pipeline:
        yield pipeline
