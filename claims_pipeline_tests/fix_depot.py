"""Fixtures: a depot, whose feeds lay sidecars beside their dumps, brought by a package of its own.

Belongs here: one feed for each kind of sidecar, and a short way to deliver and look. Does not belong here: what is
expected.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from claims_pipeline.arrival import Discovery
from claims_pipeline.catching_up import catch_up
from claims_pipeline.feeds import Sender, all_senders, feeds_of
from claims_pipeline.feeds.registry import all_feeds, all_reports
from claims_pipeline.flow.archiving import note_of
from claims_pipeline.local import LocalServices
from claims_pipeline.services import Services
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline_tests.fix_pipeline import Pipeline, pipeline_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CONTRACTS = '''
    import datetime as dt

    from claims_pipeline.feeds.contract import (
        BigInt, Csv, Feed, FeedModel, Manifest, Money, Parquet, Sender, Sidecars, Trailer, column
    )

    DEPOT = Sender(name="depot", title="A depot", timezone="UTC", prefix="depot/", start=dt.date(2026, 1, 1))


    class Parcels(FeedModel):
        """One row per parcel."""

        parcel: BigInt = column("Parcel", key=True)
        fee: Money = column("Fee")


    def feed(dataset: str, **facts: object) -> Feed:
        return Feed(DEPOT, dataset, Parcels, (rf"^{dataset}/.*_(?P<stamp>[0-9]{{8}})[.]csv$",), **facts)


    FEEDS = (
        feed("plain"),
        feed("marked", sidecars=Sidecars(marker="_SUCCESS")),
        feed("summed", sidecars=Sidecars(checksum="required")),
        feed("listed", sidecars=Sidecars(manifest=Manifest("manifest.json"))),
        feed("daily", sidecars=Sidecars(manifest=Manifest("/manifests/%Y-%m-%d.json"))),
        feed("boxed", format=Parquet()),
        feed("ended", format=Csv(trailer=Trailer("END", totals=(("fee", 3),)))),
    )
'''
BODY = b"parcel,fee\n1,1.50\n2,2.25\n3,\n"
"""Three parcels, whose fees are 3.75 in all."""


def key_of(dataset: str, day: int = 4) -> str:
    """Key of a dump of a feed, of a day in May 2026."""
    return f"depot/{dataset}/parcels_202605{day:02}.csv"


@dataclass
class Depot:
    """The depot, and a pipeline that reads what it delivers."""

    pipeline: Pipeline

    @property
    def sender(self) -> Sender:
        """As the registry has it."""
        return next(sender for sender in all_senders() if sender.name == "depot")

    def put(self, key: str, body: bytes = BODY) -> str:
        """Deliver an object."""
        self.pipeline.deliver({key: body})
        return key

    def take_back(self, key: str) -> None:
        """Delete an object from the inbox."""
        self.pipeline.s3.delete_object(Bucket=self.pipeline.inbox, Key=key)

    def settling_for(self, seconds: float) -> None:
        """Let dumps settle for so long from now on."""
        services = self.pipeline.services
        settings = services.settings.model_copy(update={"settle_seconds": seconds})
        self.pipeline.services = Services(settings, lambda: self.pipeline.s3)

    def look(self) -> Discovery:
        """Look into the inbox once."""
        return self.pipeline.flow.discover(self.sender)

    def let_time_pass(self) -> None:
        """Make all dumps as old as if they had been seen a day ago."""
        with self.pipeline.services.database() as connection:
            connection.execute("update ops.dump set seen_since = seen_since - interval '1 day'")

    def catch_up(self) -> list[Dump]:
        """Read and load all that may be."""
        return catch_up(self.pipeline.flow, self.sender)

    def ledger(self) -> list[Dump]:
        """All dumps of the depot."""
        with self.pipeline.services.database() as connection:
            return ledger.select(connection, "sender = 'depot'")

    def dump(self) -> Dump:
        """The only dump."""
        (dump,) = self.ledger()
        return dump

    def retry(self, dump: Dump) -> None:
        """As `claims-pipeline retry` does."""
        with self.pipeline.services.database() as connection:
            ledger.reopen(connection, dump.dump_id)

    def note(self, dump: Dump) -> Mapping[str, object]:
        """What the archive notes beside a dump."""
        return note_of(self.pipeline.flow, dump)


def forget_registry() -> None:
    """Let the registry look for contracts again."""
    all_feeds.cache_clear()
    all_reports.cache_clear()


@contextmanager
def installed_feeds(name: str, contracts: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Contracts of a sender, installed in a folder as a package that the project does not know."""
    (folder / f"{name}_feeds.py").write_text(textwrap.dedent(contracts))
    info = folder / f"{name}_feeds-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-feeds\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[claims_pipeline.feeds]\n{name} = {name}_feeds\n")
    monkeypatch.syspath_prepend(str(folder))
    forget_registry()
    yield
    forget_registry()


@pytest.fixture
def depot_feeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The depot's contracts, as those of a package."""
    with installed_feeds("depot", CONTRACTS, tmp_path, monkeypatch):
        yield


@pytest.fixture
def depot(depot_feeds: None, services: LocalServices, s3: S3Client, tmp_path: Path) -> Iterator[Depot]:
    """The depot, and a pipeline of the test's own. Dumps need not settle."""
    with pipeline_of(services, s3, tmp_path, feeds=feeds_of("depot")) as pipeline:
        yield Depot(pipeline)
