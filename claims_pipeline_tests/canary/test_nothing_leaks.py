"""No value of a record is anywhere but where the contract keeps it: one round of everything, each place searched.

`CANARY_ROWS` makes the round larger (`make canary`); what was planted and searched is told at the end.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pyarrow
import pytest
from psycopg.conninfo import conninfo_to_dict

from claims_pipeline.feeds import Feed, all_feeds
from claims_pipeline.feeds.contract import Drop, Keep, Parquet
from claims_pipeline_tests.canary.breaking import FEW, UPLOADS, round_of_everything
from claims_pipeline_tests.canary.conftest import FIGURES
from claims_pipeline_tests.canary.dumps import key_of
from claims_pipeline_tests.canary.needles import Hit, search
from claims_pipeline_tests.canary.places import MAY_HOLD_KEPT, PLACES
from claims_pipeline_tests.canary.scene import Scene
from claims_pipeline_tests.canary.values import HIDDEN, KEPT, STEMS
from claims_pipeline_tests.fix_proxy import Proxy

pytestmark = pytest.mark.timeout(1800)


@dataclass
class Aftermath:
    """What is left of the round, read once.

    Attributes:
        scene: where it was played.
        places: what can be read, by place.
    """

    scene: Scene
    places: dict[str, list[tuple[str, bytes]]] = field(repr=False)

    def hits(self, place: str) -> list[Hit]:
        """Canaries that a place holds and may not."""
        stems = (HIDDEN,) if place in MAY_HOLD_KEPT else STEMS
        return search(self.places[place], stems, self.scene.planted)

    def bytes_of(self, place: str) -> int:
        """How much a place holds."""
        return sum(len(content) for _, content in self.places[place])


@pytest.fixture(scope="module")
def aftermath(stage: Scene, request: pytest.FixtureRequest) -> Aftermath:
    """The round, played; and every place, read."""
    proxies: list[Proxy] = []

    def proxy_to(url: str) -> Proxy:
        address = conninfo_to_dict(url) if url.startswith("postgresql") else _address(url)
        proxies.append(Proxy(str(address["host"]), int(str(address["port"]))))
        return proxies[-1]

    try:
        round_of_everything(stage, proxy_to, rows=int(os.environ.get("CANARY_ROWS", FEW)))
        places = {name: list(read(stage)) for name, read in PLACES.items()}
    finally:
        for proxy in proxies:
            proxy.stop()
    made = Aftermath(stage, places)
    columns, contents = sum(len(feed.columns) for feed in all_feeds()), sum(map(len, places.values()))
    request.config.stash[FIGURES] = (
        f"{len(stage.planted):,} canaries in {columns:,} columns; {len(places)} kinds of places, {contents:,} contents,"
        f" {sum(map(made.bytes_of, places)):,} bytes searched"
    )
    return made


def _address(url: str) -> dict[str, object]:
    host, _, port = url.rpartition("/")[2].partition(":")
    return {"host": host, "port": port}


# ---------------------------------------------------------------------------------------------- nothing leaks


@pytest.mark.parametrize("place", PLACES)
def test_no_value_of_a_record_is_in(aftermath: Aftermath, place: str) -> None:
    assert [str(hit) for hit in aftermath.hits(place)] == []


# ---------------------------------------------------------------------------------------------- the round is one


@pytest.mark.parametrize("place", PLACES)
def test_there_is_something_to_search_in(aftermath: Aftermath, place: str) -> None:
    assert aftermath.bytes_of(place) > 0


@pytest.mark.parametrize("feed", all_feeds(), ids=lambda feed: feed.name)
def test_every_column_of_a_feed_holds_a_canary(aftermath: Aftermath, feed: Feed) -> None:
    planted = aftermath.scene.planted.cells()
    assert [column.name for column in feed.columns if (feed.name, column.name) not in planted] == []


def test_thousands_are_planted(aftermath: Aftermath) -> None:
    assert len(aftermath.scene.planted) > 5_000


@pytest.mark.parametrize("feed", all_feeds(), ids=lambda feed: feed.name)
def test_a_value_of_the_wrong_type_was_noticed_in_every_column_of(aftermath: Aftermath, feed: Feed) -> None:
    with aftermath.scene.database() as connection:
        rows = connection.execute(
            "select validation -> 'rejects' || (validation -> 'issues') from ops.dump where key = %s",
            [key_of(feed, hour=3)],
        ).fetchall()
    noticed = {rule.partition(".")[0] for (rules,) in rows for rule in rules}
    read = [column for column in feed.columns if not isinstance(column.facts.treatment, Drop)]
    typed = {column.name for column in read if not pyarrow.types.is_string(column.arrow)}
    assert typed - noticed == set()


@pytest.mark.parametrize("place", ["tables", "validated frames", "a dump of the database"])
def test_the_search_finds_what_a_contract_keeps_in(aftermath: Aftermath, place: str) -> None:
    found = {hit.canary.partition(" ")[0] for hit in search(aftermath.places[place], [KEPT], aftermath.scene.planted)}
    assert found >= {feed.name for feed in all_feeds()}


@pytest.mark.parametrize("feed", [f for f in all_feeds() if not isinstance(f.format, Parquet)], ids=lambda f: f.name)
def test_the_search_finds_what_a_contract_does_not_keep_in_the_dumps_of(aftermath: Aftermath, feed: Feed) -> None:
    dumps = [(dump.key, dump.body) for dump in aftermath.scene.delivered if dump.feed is feed]
    found = {hit.canary for hit in search(dumps, [HIDDEN], aftermath.scene.planted)}
    hidden = [c for c in feed.columns if not isinstance(c.facts.treatment, Keep) and not pyarrow.types.is_date(c.arrow)]
    assert [c.name for c in hidden if not any(f" {c.name}, " in canary for canary in found)] == []


def test_the_one_command_that_prints_values_prints_them(aftermath: Aftermath) -> None:
    file = key_of(UPLOADS, hour=3).rpartition("/")[2]
    aftermath.scene.call("quarantine", "show", file, "--reason", "a test", "--yes-print-values")
    assert search([("standard output", aftermath.scene.said[-1][1].encode(errors="surrogatepass"))], [HIDDEN])
