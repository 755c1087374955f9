"""Rotating the token key: tables, histories and joins on the new key, nothing else changed, and readers never mixed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from claims_pipeline.catching_up import catch_up
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import all_senders, feed_named, feeds_of
from claims_pipeline.frames import make_key_ring
from claims_pipeline.landing.s3 import list_objects
from claims_pipeline.rebuild import compare_with, rebuild
from claims_pipeline.retokening import Retokened, retoken, uses
from claims_pipeline.services import Services
from claims_pipeline.undo import redo, undo
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline.warehouse import audit, ledger
from claims_pipeline.warehouse.ddl import history_of, table_of
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline_tests.fix_depot import installed_feeds
from claims_pipeline_tests.fix_pipeline import Pipeline, pipeline_of
from claims_pipeline_tests.fix_warehouse import new_database

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from claims_pipeline.local import LocalServices

SENDER = "gym"
CONTRACTS = '''
    import datetime as dt

    from claims_pipeline.feeds.contract import BigInt, Feed, FeedModel, Pii, Sender, Snapshot, Text, Token, column

    GYM = Sender(name="gym", title="A gym", timezone="UTC", prefix="gym/", start=dt.date(2024, 1, 1))


    class Members(FeedModel):
        """One row per membership."""

        number: BigInt = column("Membership", key=True)
        person: Text = column("Person number", pii=Pii.DIRECT, treatment=Token(family="person"))
        level: Text = column("Level", isin=["gold", "silver", "bronze", "basic"])


    class Visits(FeedModel):
        """One row per visit."""

        visit: BigInt = column("Visit", key=True)
        visitor: Text = column("Person number", pii=Pii.DIRECT, treatment=Token(family="person"))


    class Cards(FeedModel):
        """One row per person with a card; every dump is the whole table."""

        person: Text = column("Person number", key=True, pii=Pii.DIRECT, treatment=Token(family="person"))
        colour: Text = column("Colour", isin=["red", "blue"])


    def feed(dataset: str, model: type[FeedModel], **facts: object) -> Feed:
        return Feed(GYM, dataset, model, (rf"^{dataset}_(?P<stamp>[0-9]{{8}})[.]csv$",), **facts)


    FEEDS = (
        feed("members", Members), feed("visits", Visits),
        feed("cards", Cards, snapshot=Snapshot(least_deleted=10)), feed("lockers", Cards),
    )
'''
KEYS = {version: make_key_ring() for version in ("v1", "v2", "v3")}
Member = tuple[int, str]
"""Number and level of a membership; the person has the number, too."""


@dataclass
class Rotating:
    """A pipeline whose token ring grows and shrinks."""

    pipeline: Pipeline

    def ring(self, *versions: str) -> None:
        """Let these keys be the ring, the last one current; a version's key is always the same."""
        text = ",".join(f"{v}:{KEYS[v].partition(':')[2]}" for v in versions)
        services = self.pipeline.services
        settings = services.settings.model_copy(update={"token_keys": SecretStr(text)})
        self.pipeline.services = Services(settings, lambda: self.pipeline.s3)

    def deliver(self, dataset: str, day: int, header: str, lines: Sequence[str]) -> Dump:
        """Deliver a dump of a day in May 2024, and load it."""
        key = f"gym/{dataset}_202405{day + 1:02}.csv"
        self.pipeline.deliver({key: "\n".join([header, *lines, ""]).encode()})
        sender = next(sender for sender in all_senders() if sender.name == SENDER)
        return next(dump for dump in catch_up(self.pipeline.flow, sender) if dump.key == key)

    def load(self, day: int, *rows: Member) -> Dump:
        """Load memberships, each with its person."""
        return self.deliver("members", day, "number,person,level", [f"{n},person-{n},{level}" for n, level in rows])

    def members(self) -> list[tuple[Any, ...]]:
        """Number, level and dump of each membership."""
        return self.pipeline.rows("select number, level, _dump_id from gym.members order by 1")

    def retoken(self, *, dry_run: bool = False) -> Retokened:
        return retoken(self.pipeline.flow, SENDER, requested_by="ada", dry_run=dry_run)

    def versions_in_use(self) -> set[str]:
        return {use.version for use in uses(self.pipeline.services, feeds_of(SENDER)) if use.key == "token"}

    def everything(self) -> dict[str, list[str]]:
        """Every table and history with all columns, tokens as "v?" and no row hashes, sorted."""
        found = {}
        for feed in feeds_of(SENDER):
            for table in (table_of(feed), history_of(feed)):
                name = table.as_string(None)
                found[name] = [self._blind(row, feed.token_columns) for row in self._rows(name)]
                found[name].sort()
        return found

    def verdicts(self) -> list[tuple[Any, ...]]:
        """(kind, read, unchanged) of the last load."""
        return self.pipeline.rows("select kind, rows_read, rows_unchanged from ops.load order by load_id desc limit 1")

    def rebuilt_differs(self, url: str, name: str = "gym/members") -> str:
        """What differs between the live tables and a rebuild with the ring of now."""
        feeds = [feed_named(name)]
        rebuild(self.pipeline.services, url, run_id="test", feeds=feeds)
        return compare_with(self.pipeline.services, url, feeds=feeds).summary

    def _rows(self, table: str) -> list[dict[str, Any]]:
        return [row for (row,) in self.pipeline.rows(f"select to_jsonb(t) from {table} t")]

    def _blind(self, row: dict[str, Any], tokens: Sequence[str]) -> str:
        return json.dumps({k: "v?" if v and k in tokens else v for k, v in row.items() if k != "_row_hash"})


@pytest.fixture
def rotating(
    services: LocalServices, s3: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rotating]:
    """A pipeline of a gym's, whose token ring has v1 alone."""
    with (
        installed_feeds("gym", CONTRACTS, tmp_path, monkeypatch),
        pipeline_of(services, s3, tmp_path, feeds=feeds_of(SENDER)) as pipeline,
    ):
        rotating = Rotating(pipeline)
        rotating.ring("v1")
        yield rotating


@pytest.fixture
def loaded(rotating: Rotating) -> Rotating:
    """Three dumps of memberships under v1, with versions in history; v2 in the ring."""
    rotating.load(0, (1, "gold"), (2, "gold"), (3, "gold"))
    rotating.load(1, (1, "silver"), (2, "gold"))
    rotating.load(2, (1, "bronze"), (4, "gold"))
    rotating.ring("v1", "v2")
    return rotating


# ---------------------------------------------------------------------------------------------- what changes


def test_tokens_of_tables_and_histories_become_the_new_keys_and_nothing_else_changes(loaded: Rotating) -> None:
    before = loaded.everything()
    assert loaded.versions_in_use() == {"v1"}
    done = loaded.retoken()
    assert (done.was, done.to, done.dumps, done.rows) == (("v1",), "v2", 3, 6)
    assert loaded.versions_in_use() == {"v2"}
    assert loaded.everything() == before


def test_it_is_in_the_audit_and_the_audit_holds(loaded: Rotating) -> None:
    loaded.retoken()
    ((items, detail, by),) = loaded.pipeline.rows(
        "select items, detail, requested_by from ops.upkeep where kind = 'retoken'"
    )
    assert (items, detail["from"], detail["to"], detail["dumps"], by) == (6, ["v1"], "v2", 3, "ada")
    with loaded.pipeline.services.owner_database() as connection:
        assert audit.verify(connection).unbroken


def test_the_second_time_changes_nothing(loaded: Rotating) -> None:
    loaded.retoken()
    again = loaded.retoken()
    assert (again.rows, again.dumps) == (0, 0)
    assert loaded.pipeline.rows("select count(*) from ops.upkeep") == [(1,)]


def test_a_dry_run_counts_and_changes_nothing(loaded: Rotating) -> None:
    assert loaded.retoken(dry_run=True).rows == 6
    assert loaded.versions_in_use() == {"v1"}


def test_a_ring_without_a_new_key_has_nothing_to_do(loaded: Rotating) -> None:
    loaded.ring("v1")
    assert loaded.retoken().rows == 0


def test_a_feed_with_quarantined_rows_and_stays_that_were_no_versions_is_brought_too(loaded: Rotating) -> None:
    """An undone dump leaves rows in history that were no versions; their tokens go as well."""
    dump = loaded.load(3, (1, "basic"))
    loaded.ring("v1")
    undo(loaded.pipeline.flow, dump, feed_named("gym/members"), by="ada", reason="x")
    loaded.ring("v1", "v2")
    loaded.retoken()
    assert loaded.versions_in_use() == {"v2"}


# ---------------------------------------------------------------------------------------------- after v1 has left


def test_after_the_old_key_has_left_the_same_data_is_found_unchanged(loaded: Rotating) -> None:
    loaded.retoken()
    loaded.ring("v2")
    loaded.load(4, (1, "bronze"), (2, "gold"), (3, "gold"), (4, "gold"))
    assert loaded.verdicts() == [("load", 4, 4)]


def test_after_the_old_key_has_left_undo_and_redo_end_where_they_began(loaded: Rotating) -> None:
    loaded.retoken()
    loaded.ring("v2")
    before = loaded.pipeline.table(feed_named("gym/members"))
    with loaded.pipeline.services.database() as connection:
        second = ledger.select(connection, "true")[1]
    undo(loaded.pipeline.flow, second, feed_named("gym/members"), by="ada", reason="x")
    again = redo(loaded.pipeline.flow, second, feed_named("gym/members"), by="ada", reason="x")
    assert again.status is DumpStatus.LOADED
    assert (loaded.pipeline.table(feed_named("gym/members")), loaded.versions_in_use()) == (before, {"v2"})


def test_a_dump_without_a_row_in_any_table_is_merged_again_with_the_new_key(rotating: Rotating) -> None:
    """Its rows were unchanged; they are in effect when the dump that brought them first is undone."""
    first = rotating.load(0, (1, "gold"))
    rotating.load(1, (1, "gold"), (2, "gold"))
    rotating.ring("v1", "v2")
    rotating.retoken()
    rotating.ring("v2")
    undo(rotating.pipeline.flow, first, feed_named("gym/members"), by="ada", reason="x")
    assert rotating.versions_in_use() == {"v2"}
    assert rotating.pipeline.rows("select count(*) from gym.members") == [(2,)]


def test_a_dump_that_was_validated_with_the_old_key_is_loaded_with_the_new_one(loaded: Rotating) -> None:
    loaded.ring("v1")
    flow = loaded.pipeline.flow
    loaded.pipeline.deliver({"gym/members_20240520.csv": b"number,person,level\n9,person-9,gold\n"})
    (dump,) = flow.discover(next(sender for sender in all_senders() if sender.name == SENDER)).open
    dump = flow.validate(flow.archive(dump, feed_named("gym/members")), feed_named("gym/members"))
    loaded.ring("v1", "v2")
    loaded.retoken()
    assert loaded.pipeline.flow.load(dump, feed_named("gym/members")).status is DumpStatus.LOADED
    assert loaded.versions_in_use() == {"v2"}


def test_no_frames_of_the_old_key_are_named_by_the_ledger(loaded: Rotating) -> None:
    loaded.retoken()
    named = loaded.pipeline.rows("select distinct right(loaded_key, 4), right(validated_key, 4) from ops.dump")
    assert [(a.rpartition("-")[2], b.rpartition("-")[2]) for a, b in named] == [("kv2", "kv2")]


def test_joins_across_datasets_hold(loaded: Rotating) -> None:
    """All datasets of a sender change in one transaction; tokens of one family stay equal where they were."""
    loaded.ring("v1")
    loaded.deliver("visits", 3, "visit,visitor", ["10,person-1", "11,person-1", "12,person-4", "13,stranger"])
    join = "select number, visit from gym.members m join gym.visits v on v.visitor_token = m.person_token order by 1, 2"
    before = loaded.pipeline.rows(join)
    loaded.ring("v1", "v2")
    loaded.retoken()
    assert (loaded.pipeline.rows(join), loaded.versions_in_use()) == (before, {"v2"})
    assert before == [(1, 10), (1, 11), (4, 12)]


def test_a_key_that_is_a_token_changes_and_snapshots_go_on(rotating: Rotating) -> None:
    rotating.deliver("cards", 0, "person,colour", ["a,red", "b,red", "c,red"])
    rotating.deliver("cards", 1, "person,colour", ["a,red", "b,blue", "c,green"])  # c is set apart, and stays
    rotating.ring("v1", "v2")
    rotating.retoken()
    rotating.ring("v2")
    assert rotating.pipeline.rows("select split_part(row_key[1], '_', 1) from ops.quarantine") == [("v2",)]
    rotating.deliver("cards", 2, "person,colour", ["a,red", "b,blue", "c,green"])
    kinds = "select rows_read, rows_unchanged, rows_quarantined, rows_deleted from ops.load order by load_id desc"
    assert rotating.pipeline.rows(kinds)[0] == (3, 2, 1, 0)


# ---------------------------------------------------------------------------------------------- dumps in between


def test_dumps_that_came_under_the_new_key_before_leave_no_second_versions(loaded: Rotating) -> None:
    """They bring rows under other tokens, which look changed; after it the tables are what a rebuild makes."""
    loaded.load(3, (1, "bronze"), (2, "gold"), (3, "silver"))
    loaded.load(4, (1, "bronze"), (2, "silver"))
    assert loaded.versions_in_use() == {"v1", "v2"}
    done = loaded.retoken()
    assert done.feeds["gym/members"].joined == 2
    assert loaded.members() == [(1, "bronze", 3), (2, "silver", 5), (3, "silver", 4), (4, "gold", 3)]


def test_what_stands_after_it_is_what_a_rebuild_with_the_new_key_makes(
    loaded: Rotating, services: LocalServices
) -> None:
    loaded.load(3, (1, "bronze"), (2, "gold"), (3, "silver"))
    loaded.retoken()
    loaded.ring("v2")
    with new_database(services) as url:
        assert loaded.rebuilt_differs(url) == ""


def test_snapshots_in_between_whose_key_is_a_token_are_what_a_rebuild_makes(
    rotating: Rotating, services: LocalServices
) -> None:
    """Every person looked deleted, and another one new."""
    rotating.deliver("cards", 0, "person,colour", ["a,red", "b,red", "c,red", "d,red"])
    rotating.ring("v1", "v2")
    rotating.deliver("cards", 1, "person,colour", ["a,red", "b,blue", "d,red"])
    rotating.deliver("cards", 2, "person,colour", ["a,blue", "b,blue", "d,red"])
    rotating.retoken()
    rotating.ring("v2")
    with new_database(services) as url:
        assert rotating.rebuilt_differs(url, "gym/cards") == ""


def test_two_rows_of_one_person_are_refused_where_the_token_is_the_key_until_one_dump_is_undone(
    rotating: Rotating,
) -> None:
    rotating.deliver("lockers", 0, "person,colour", ["a,red"])
    rotating.ring("v1", "v2")
    second = rotating.deliver("lockers", 1, "person,colour", ["a,blue"])
    with pytest.raises(ClaimsPipelineError, match=r"gym/lockers .* rows of one identifier under two keys"):
        rotating.retoken()
    feed = feed_named("gym/lockers")
    undo(rotating.pipeline.flow, second, feed, by="ada", reason="x")
    rotating.retoken()
    redo(rotating.pipeline.flow, second, feed, by="ada", reason="x")
    assert rotating.pipeline.rows("select colour from gym.lockers") == [("blue",)]


def test_two_rotations_at_once_and_one_after_the_other(loaded: Rotating) -> None:
    loaded.load(3, (5, "gold"))  # under v2
    loaded.ring("v1", "v2", "v3")
    assert loaded.retoken().was == ("v1", "v2")
    assert loaded.versions_in_use() == {"v3"}


# ---------------------------------------------------------------------------------------------- readers


def test_a_reader_is_not_blocked_and_never_sees_both(loaded: Rotating) -> None:
    look = "select distinct split_part(person_token, '_', 1) from gym.members"
    seen: list[list[tuple[Any, ...]]] = []
    with loaded.pipeline.services.database() as reader, reader.transaction():
        reader.execute("set transaction isolation level repeatable read")
        seen.append(reader.execute(look.encode()).fetchall())

        def each(place: int, of: int, name: str) -> None:
            seen.append(loaded.pipeline.rows(look))

        retoken(loaded.pipeline.flow, SENDER, requested_by="ada", each=each)
        seen.append(reader.execute(look.encode()).fetchall())
    assert (seen, loaded.pipeline.rows(look)) == ([[("v1",)]] * 5, [("v2",)])


# ---------------------------------------------------------------------------------------------- refusals


def test_where_raw_bytes_were_pruned_it_refuses_and_names_the_dump(loaded: Rotating) -> None:
    loaded.pipeline.rows("update ops.dump set raw_pruned_at = now() where dump_id = 2 returning 1")
    with pytest.raises(ClaimsPipelineError, match=r"dump 2 \(gym/members, 2024-05-02\).*pruned"):
        loaded.retoken()
    assert loaded.versions_in_use() == {"v1"}


def test_a_dump_that_does_not_bring_its_rows_any_more_is_named_and_nothing_changes(loaded: Rotating) -> None:
    """As after a change of the contract: the stored row is not what the dump says now."""
    loaded.pipeline.rows("update gym.members set _row_hash = 'x' where _dump_id = 3 returning 1")
    with pytest.raises(ClaimsPipelineError, match=r"dump 3 .*do not bring the rows"):
        loaded.retoken()
    assert loaded.versions_in_use() == {"v1"}


def test_without_the_old_key_it_refuses_and_says_which(loaded: Rotating) -> None:
    loaded.ring("v2")
    with pytest.raises(ClaimsPipelineError, match="tokens of key v1, which the token ring lacks"):
        loaded.retoken()


def test_broken_off_it_changes_nothing_and_goes_on_the_next_time(loaded: Rotating) -> None:
    def broken(place: int, of: int, name: str) -> None:
        if place == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        retoken(loaded.pipeline.flow, SENDER, requested_by="ada", each=broken)
    assert loaded.versions_in_use() == {"v1"}
    loaded.retoken()
    assert loaded.versions_in_use() == {"v2"}


def test_old_frames_are_left_for_the_prune(loaded: Rotating) -> None:
    loaded.retoken()
    bucket = loaded.pipeline.services.settings.archive_bucket
    keys = [i.key for page in list_objects(loaded.pipeline.s3, bucket, "validated/") for i in page]
    with loaded.pipeline.services.database() as connection:
        named = {dump.loaded_key for dump in ledger.select(connection, "true")}
    assert {key.rpartition("/")[0] for key in keys if "-kv2/" in key} == named
