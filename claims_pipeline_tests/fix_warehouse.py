"""Fixtures: a small laboratory's feeds, a migrated database for them, and a way to load rows into it.

Belongs here: contracts of the tests' own, with every trait that the warehouse treats differently, and a `Lab` that
registers and loads dumps of them as `flow` does. Does not belong here: bytes and S3 (see `test_flow`).
"""

from __future__ import annotations

import datetime as dt
import itertools
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pyarrow
import pytest
from psycopg import sql

from claims_pipeline.feeds.contract import (
    BigInt,
    Feed,
    FeedModel,
    ReplacedSet,
    Sender,
    SmallInt,
    Snapshot,
    Text,
    column,
)
from claims_pipeline.frames import KeyRing, make_key_ring, seal, unseal
from claims_pipeline.frames.batch import ROW_HASH, ROW_NUMBER, rows_schema
from claims_pipeline.frames.rowhash import row_hashes
from claims_pipeline.local import LocalServices
from claims_pipeline.vocabulary import Role
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.apart import Seal
from claims_pipeline.warehouse.connection import connect
from claims_pipeline.warehouse.ddl import history_of, table_of
from claims_pipeline.warehouse.ledger import Arrival, Dump
from claims_pipeline.warehouse.load import Loaded, Undone, load_dump, undo_dump
from claims_pipeline.warehouse.migrate import migrate
from claims_pipeline.warehouse.staging import Numbers
from claims_pipeline_tests.fix_services import as_role

Row = tuple[Any, ...]
"""Values of the stored columns, in the contract's order."""

LAB = Sender(name="lab", title="A laboratory", timezone="UTC", prefix="lab/", start=dt.date(2024, 1, 1))
FIRST_STAMP = dt.datetime(2026, 5, 1, 5, tzinfo=dt.UTC)


class Samples(FeedModel):
    """One row per sample, with a version and two numbers that belong to one sample each."""

    sample_id: BigInt = column("Sample", key=True)
    changed: BigInt = column("Version", required=True, nullable=False)
    findings: SmallInt = column("Number of findings", required=True, nullable=False)
    badge: BigInt = column("Badge of the sample")
    shelf: BigInt = column("Place of the sample")
    content: Text = column("Content")


class Findings(FeedModel):
    """One row per finding, replaced as a set with its sample."""

    sample_id: BigInt = column("Sample", key=True)
    ordinal: SmallInt = column("Place in the sample", key=True)
    content: Text = column("Content")


class Visits(FeedModel):
    """One row per visit, without a version: only the dump's stamp says which is newer."""

    visit_id: BigInt = column("Visit", key=True)
    content: Text = column("Content")
    read_at: BigInt = column("When the sender read it: no part of the content", hashed=False)


class Readings(FeedModel):
    """One row per reading, with a version."""

    reading_id: BigInt = column("Reading", key=True)
    changed: BigInt = column("Version", required=True, nullable=False)
    content: Text = column("Content")


class Members(FeedModel):
    """One row per member; every dump is the whole table."""

    member_id: BigInt = column("Member", key=True)
    content: Text = column("Content")


def _feed(dataset: str, model: type[FeedModel], **facts: Any) -> Feed:
    return Feed(LAB, dataset, model, (rf"^{dataset}_(?P<stamp>\d{{8}}T\d{{6}}Z)\.csv$",), **facts)


SAMPLES = _feed("samples", Samples, version="changed", unique=("badge", "shelf"))
FINDINGS = _feed(
    "findings",
    Findings,
    replaced_set=ReplacedSet(by="sample_id", parent="samples", parent_key="sample_id", count="findings"),
)
VISITS = _feed("visits", Visits)
READINGS = _feed("readings", Readings, version="changed")
MEMBERS = _feed("members", Members, snapshot=Snapshot(least_deleted=3))
LAB_FEEDS = (SAMPLES, FINDINGS, VISITS, READINGS, MEMBERS)


def children_of(feed: Feed) -> list[Feed]:
    """The sets that are replaced with rows of a feed."""
    return [f for f in LAB_FEEDS if f.replaced_set and f.replaced_set.parent == feed.dataset]


def sample(key: int, version: int = 1, content: str = "a", **others: int | None) -> Row:
    """A row of SAMPLES; `others` are findings, badge and shelf."""
    return (key, version, others.get("findings", 1), others.get("badge"), others.get("shelf"), content)


def batch_of(feed: Feed, rows: Sequence[Row], *, first_number: int = 1) -> pyarrow.RecordBatch:
    """Rows as `frames` writes them: stored columns, row number, row hash."""
    stored = [pyarrow.array([row[i] for row in rows], column.arrow) for i, column in enumerate(feed.stored)]
    numbers = pyarrow.array(range(first_number, first_number + len(rows)), pyarrow.int64())
    hashes = row_hashes([a for a, c in zip(stored, feed.stored, strict=True) if c.hashed])
    assert rows_schema(feed).names[-2:] == [ROW_NUMBER, ROW_HASH]
    return pyarrow.record_batch([*stored, numbers, hashes], schema=rows_schema(feed))


class InMemory:
    """Rows of a dump that are read when they are first asked for, and kept."""

    def __init__(self, batches: Iterable[pyarrow.RecordBatch]) -> None:
        self._coming = iter(batches)
        self._kept: list[pyarrow.RecordBatch] = []

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(batch.num_rows for batch in self._all())

    def batches(
        self, columns: Sequence[str] | None = None, numbers: Numbers | None = None
    ) -> Iterator[pyarrow.RecordBatch]:
        """See `staging.Rows`."""
        for batch in self._all():
            wanted = batch if columns is None else batch.select(list(columns))
            if numbers is not None:
                at = batch.column(ROW_NUMBER).to_pylist()
                wanted = wanted.filter(pyarrow.array([n < len(numbers) and bool(numbers[n]) for n in at]))
            yield wanted

    def _all(self) -> Iterator[pyarrow.RecordBatch]:
        yield from self._kept
        for batch in self._coming:
            self._kept.append(batch)
            yield batch


@dataclass
class Lab:
    """The laboratory's database, and one connection to it: of claims_loader, but where tests migrate."""

    url: str = field(repr=False)
    connection: psycopg.Connection = field(repr=False)
    ring: KeyRing = field(default_factory=lambda: KeyRing.parse(make_key_ring()))
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    frames: dict[int, InMemory] = field(default_factory=dict)
    """Rows of dumps that were loaded, by dump number: what lies in S3 otherwise."""

    def dump(self, feed: Feed, *, hour: int = 0, name: str | None = None) -> Dump:
        """A new dump in the ledger, stamped so many hours after the first; under a name of its own, or a given one."""
        stamp, number = FIRST_STAMP + dt.timedelta(hours=hour), next(self._numbers)
        arrival = Arrival(
            sender=LAB.name,
            dataset=feed.dataset,
            bucket="inbox",
            key=f"{LAB.prefix}{feed.dataset}_{name or number}.csv",
            etag=f"etag{number}",
            size_bytes=1,
            last_modified=stamp,
            delivery_day=stamp.date(),
            stamp=stamp,
        )
        return ledger.register(self.connection, [arrival])[0]

    def load(self, feed: Feed, dump: Dump, rows: Sequence[Row]) -> Loaded:
        """Load rows as a dump's content."""
        return self.load_batches(feed, dump, [batch_of(feed, rows)], read=len(rows))

    def offer(self, feed: Feed, dump: Dump, rows: Sequence[Row]) -> Loaded | None:
        """Load rows as a dump's content, unless another dump stands for it."""
        return self.offer_batches(feed, dump, [batch_of(feed, rows)], read=len(rows))

    def load_batches(
        self,
        feed: Feed,
        dump: Dump,
        batches: Iterable[pyarrow.RecordBatch],
        *,
        read: int,
        filtered: int = 0,
        rejects: Iterable[pyarrow.RecordBatch] = (),
        seal: Seal | None = None,
        connection: psycopg.Connection | None = None,
    ) -> Loaded:
        """Load batches, with everything that a load takes."""
        loaded = self.offer_batches(
            feed, dump, batches, read=read, filtered=filtered, rejects=rejects, seal=seal, connection=connection
        )
        assert loaded is not None
        return loaded

    def offer_batches(
        self,
        feed: Feed,
        dump: Dump,
        batches: Iterable[pyarrow.RecordBatch],
        *,
        read: int,
        filtered: int = 0,
        rejects: Iterable[pyarrow.RecordBatch] = (),
        seal: Seal | None = None,
        connection: psycopg.Connection | None = None,
    ) -> Loaded | None:
        """Load batches, unless another dump stands for this one or it is no longer as it was."""
        rows = InMemory(batches)
        loaded = load_dump(
            connection or self.connection,
            feed,
            ledger.get(self.connection, dump.dump_id) if connection is None else dump,
            rows=rows,
            rejects=rejects,
            read=read,
            filtered=filtered,
            seal=seal or self.sealer(feed),
            frames=self.frames_of,
            children=children_of(feed),
            run_id="test",
        )
        if loaded is not None:
            self.frames[dump.dump_id] = rows
        return loaded

    def versions(self, feed: Feed) -> list[Row]:
        """Every version of every row by delivery: content, its dump and place there, and what ended it."""
        columns = sql.SQL(", ").join(sql.Identifier(c.name) for c in feed.stored)
        query = sql.SQL(
            "select {columns}, _dump_id, _row_number, null, null from {table} union all"
            " select {columns}, _dump_id, _row_number, _superseded_dump, _operation from {history}"
            " where _retracted_by is null"
        ).format(columns=columns, table=table_of(feed), history=history_of(feed))
        return sorted(self.connection.execute(query).fetchall(), key=repr)

    def undo(self, feed: Feed, dump: Dump) -> Undone:
        """Take a dump out."""
        return undo_dump(
            self.connection,
            feed,
            dump,
            seal=self.sealer(feed),
            frames=self.frames_of,
            children=children_of(feed),
            run_id="test",
            reason="a test",
        )

    def frames_of(self, feed: Feed, dump: Dump) -> InMemory:
        """Rows of a dump that was loaded."""
        assert dump.dataset == feed.dataset
        return self.frames[dump.dump_id]

    def sealer(self, feed: Feed) -> Seal:
        """Seals as `flow` does."""
        return lambda number, content: seal(content, ring=self.ring, context=f"{feed.name}:{number}")

    def opened(self, feed: Feed, dump: Dump) -> dict[int, tuple[list[str], bytes]]:
        """Open quarantined rows of a dump: rules and unsealed content by row number."""
        rows = self.connection.execute(
            "select row_number, rules, key_version, sealed from ops.quarantine"
            " where dump_id = %s and resolved_at is null",
            [dump.dump_id],
        )
        return {
            number: (rules, unseal(sealed, ring=self.ring, version=version, context=f"{feed.name}:{number}"))
            for number, rules, version, sealed in rows
        }

    def table(self, feed: Feed) -> list[Row]:
        """Stored columns of the table, by key."""
        return self._rows(feed, table_of(feed))

    def history(self, feed: Feed) -> list[Row]:
        """Stored columns of the superseded versions, sorted."""
        return self._rows(feed, history_of(feed))

    def count(self, query: str) -> int:
        """The one number that a query of a test gives."""
        row = self.connection.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def empty(self) -> None:
        """Forget all rows of all feeds; ledger and audit stay, and no dump is in effect."""
        with self.connection.transaction():
            self.connection.execute("update ops.dump set in_effect = false where in_effect")
            for feed in LAB_FEEDS:
                for table in (table_of(feed), history_of(feed)):
                    self.connection.execute(sql.SQL("delete from {}").format(table))

    def _rows(self, feed: Feed, table: sql.Identifier) -> list[Row]:
        names = sql.SQL(", ").join(sql.Identifier(c.name) for c in feed.stored)
        rows = self.connection.execute(sql.SQL("select {} from {}").format(names, table)).fetchall()
        return sorted(rows, key=repr)


def _copy_rights(connection: psycopg.Connection, template: str, copy: str) -> None:
    """What Postgres does not copy: who may enter a database, and what a role's sessions in it begin with."""
    connection.execute("set allow_system_table_mods = on")
    connection.execute(
        "update pg_database d set datacl = t.datacl from pg_database t where d.datname = %s and t.datname = %s",
        [copy, template],
    )
    connection.execute(
        "insert into pg_db_role_setting select d.oid, s.setrole, s.setconfig from pg_db_role_setting s"
        " join pg_database t on t.oid = s.setdatabase, pg_database d where d.datname = %s and t.datname = %s",
        [copy, template],
    )


@contextmanager
def new_database(services: LocalServices, *, template: str = "template1") -> Iterator[str]:
    """URL of an empty database, or of a copy of another one, for fixtures that outlive a test; see `database_url`."""
    name = f"t_{secrets.token_hex(8)}".encode()
    with psycopg.connect(services.database_url, autocommit=True) as connection:
        connection.execute(b"CREATE DATABASE " + name + b" TEMPLATE " + template.encode())
        _copy_rights(connection, template, name.decode())
    yield f"{services.database_url.rpartition('/')[0]}/{name.decode()}"
    with psycopg.connect(services.database_url, autocommit=True) as connection:
        connection.execute(b"DROP DATABASE " + name + b" WITH (FORCE)")


_templates: dict[object, str] = {}


def template_of(services: LocalServices, feeds: Sequence[Feed]) -> str:
    """Name of a database with the tables of these feeds, to be copied: that is faster than migrating anew.

    One process makes it once for the same contracts.
    """
    contracts = (services.database_url, *((feed.name, feed.fingerprint) for feed in feeds))
    if contracts not in _templates:
        name = f"m_{secrets.token_hex(8)}"
        with psycopg.connect(services.database_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        with connect(f"{services.database_url.rpartition('/')[0]}/{name}") as connection:
            migrate(connection, feeds)
        _templates[contracts] = name
    return _templates[contracts]


@contextmanager
def loading(url: str, *, first_number: int = 1) -> Iterator[Lab]:
    """A migrated laboratory, as what loads into it: claims_loader."""
    url = as_role(url, Role.LOADER)
    with connect(url) as connection:
        yield Lab(url, connection, _numbers=itertools.count(first_number))


@pytest.fixture(scope="session")
def lab_url(services: LocalServices) -> Iterator[str]:
    """URL of the laboratory's database, user a superuser: one for all tests."""
    with new_database(services, template=template_of(services, LAB_FEEDS)) as url:
        yield url


@pytest.fixture
def own_lab(services: LocalServices) -> Iterator[Lab]:
    """The laboratory in a database of the test's own, with a superuser's connection, which may migrate."""
    with new_database(services, template=template_of(services, LAB_FEEDS)) as url, connect(url) as connection:
        yield Lab(url, connection)


@pytest.fixture
def lab(lab_url: str) -> Iterator[Lab]:
    """The laboratory, with all tables empty."""
    with connect(lab_url) as connection:
        Lab(lab_url, connection).empty()
        with connection.transaction():
            connection.execute("set local session_replication_role = replica")  # the audit refuses to forget
            connection.execute("truncate ops.dump, ops.load, ops.quarantine, ops.message cascade")
    with loading(lab_url) as lab:
        yield lab


@pytest.fixture(scope="module")
def shared_lab(lab_url: str) -> Iterator[Lab]:
    """The laboratory for property tests, which empty its feeds between examples."""
    with loading(lab_url, first_number=1_000_000) as lab:
        yield lab
