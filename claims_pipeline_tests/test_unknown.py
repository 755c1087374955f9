"""A dump that no contract knows is kept, told about, and loaded by itself once a contract appears."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from claims_pipeline.catching_up import catch_up
from claims_pipeline.feeds import feeds_of
from claims_pipeline.feeds.registry import all_feeds
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.flow import Flow
from claims_pipeline.vocabulary import DumpStatus, DumpVerdict
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.migrate import migrate
from claims_pipeline_tests.fix_depot import forget_registry
from claims_pipeline_tests.fix_pipeline import Pipeline

KEY = "526/form526_hearings/hearings_20260504T050000Z.csv"
BODY = b"id,held_on\n1,2026-05-01\n2,2026-05-02\n"
CONTRACT = '''
    from claims_pipeline.feeds.contract import BigInt, Date, Feed, FeedModel, Keep, Pii, column
    from claims_pipeline.feeds.va_form526 import SENDER


    class Hearings(FeedModel):
        """One row per hearing."""

        id: BigInt = column("Number", key=True)
        held_on: Date = column("Held on", pii=Pii.QUASI, treatment=Keep())


    FEEDS = (Feed(SENDER, "form526_hearings", Hearings, (r"^form526_hearings/hearings_(?P<stamp>[0-9TZ]+)[.]csv$",)),)
'''


@pytest.fixture
def contract_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A contract of the VA's that a package of one's own brings, once the registry looks again."""
    all_feeds()
    (tmp_path / "hearings_feed.py").write_text(textwrap.dedent(CONTRACT))
    info = tmp_path / "hearings_feed-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hearings-feed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[claims_pipeline.feeds]\nhearings = hearings_feed\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    forget_registry()


def test_it_is_kept_and_loaded_from_where_it_was_kept(pipeline: Pipeline, contract_appears: None) -> None:
    services = pipeline.services
    services.s3.put_object(Bucket=pipeline.flow.inbox, Key=KEY, Body=BODY)
    (dump,) = catch_up(Flow(services, run_id="before"), SENDER)
    with services.database() as connection:
        dump = ledger.get(connection, dump.dump_id)
    assert (dump.verdict, dump.status) == (DumpVerdict.UNKNOWN, DumpStatus.SKIPPED)
    assert dump.archive_key is not None
    kept = services.s3.get_object(Bucket=pipeline.flow.archive_bucket, Key=dump.archive_key)["Body"].read()
    assert kept == BODY

    services.s3.delete_object(Bucket=pipeline.flow.inbox, Key=KEY)
    forget_registry()
    with services.owner_database() as connection:
        migrate(connection, feeds_of(SENDER.name))
    assert any(feed.dataset == "form526_hearings" for feed in feeds_of(SENDER.name))
    (dump,) = catch_up(Flow(services, run_id="after"), SENDER)
    assert (dump.verdict, dump.status, dump.dataset) == (DumpVerdict.NEW, DumpStatus.LOADED, "form526_hearings")
    with services.database() as connection:
        rows = connection.execute("select id, held_on::text from va_form526.form526_hearings order by 1").fetchall()
    assert rows == [(1, "2026-05-01"), (2, "2026-05-02")]
