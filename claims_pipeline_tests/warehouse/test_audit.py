"""The hash chains of the audit: every kind of tampering is found and named, and loads do not wait for each other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import errors

from claims_pipeline.warehouse import audit, backup_log, upkeep
from claims_pipeline.warehouse.audit import HEADS, LINKS, Break, Damage
from claims_pipeline.warehouse.backup_log import Entry
from claims_pipeline.warehouse.connection import connect
from claims_pipeline_tests.fix_warehouse import FINDINGS, READINGS, SAMPLES, VISITS, Lab, sample

UPKEEP = "ops.upkeep"


@pytest.fixture
def lab(own_lab: Lab) -> Lab:
    """A laboratory of the test's own, whose audit begins with it."""
    return own_lab


def note(lab: Lab, items: int) -> None:
    """Append an entry to the audit of upkeep."""
    upkeep.record(
        lab.connection, kind="test", dry_run=False, items=items, bytes_=None, oldest=None, detail={"of": "a test"},
        error="", run_id="test", requested_by="ada", started_at=dt.datetime(2026, 5, 1, tzinfo=dt.UTC),
    )  # fmt: skip


@pytest.fixture
def noted(lab: Lab) -> Lab:
    """A laboratory with five entries in the audit of upkeep, 1 to 5."""
    for items in range(5):
        note(lab, items)
    return lab


@contextmanager
def unguarded(lab: Lab) -> Iterator[psycopg.Connection]:
    """As a superuser who has switched off all triggers."""
    with lab.connection.transaction():
        lab.connection.execute("set local session_replication_role = replica")
        yield lab.connection


def breaks(lab: Lab) -> list[tuple[Damage, str, int | None, int | None]]:
    return [(b.what, b.table, b.entry_id, b.number) for b in audit.verify(lab.connection).breaks]


# ---------------------------------------------------------------------------------------------- what is linked


def test_every_audit_table_is_chained(lab: Lab) -> None:
    tables = lab.connection.execute(
        "select c.oid::regclass::text from pg_trigger t join pg_class c on c.oid = t.tgrelid"
        " where t.tgname like '%append_only'"
    )
    chained = lab.connection.execute("select tgrelid::regclass::text from pg_trigger where tgname = 'audit_chained'")
    assert set(tables) - set(chained) == {(LINKS,), (HEADS,)}


def test_loads_undos_and_backups_are_linked_and_unbroken(lab: Lab) -> None:
    first, second = lab.dump(SAMPLES, hour=0), lab.dump(SAMPLES, hour=2)
    lab.load(SAMPLES, first, [sample(1)])
    lab.load(SAMPLES, second, [sample(1, 2, "b")])
    lab.load(FINDINGS, lab.dump(FINDINGS, hour=3), [(1, 1, "x")])
    lab.load(SAMPLES, lab.dump(SAMPLES, hour=1), [sample(1, 3, "c", findings=0)])  # replays the second, and its sets
    lab.undo(SAMPLES, first)
    backup_log.record(lab.connection, Entry("backup", True, "test", seconds=0.1 + 0.2))
    found = audit.verify(lab.connection)
    kinds = {kind for (kind,) in lab.connection.execute("select kind from ops.load")}
    assert (found.breaks, kinds >= {"load", "replay", "undo"}) == ((), True)
    assert found.entries == lab.count("select (select count(*) from ops.load) + (select count(*) from ops.backup)")
    assert set(found.heads) == {"ops.load lab/samples", "ops.load lab/findings", "ops.backup"}


def test_a_load_that_is_rolled_back_leaves_no_link(lab: Lab) -> None:
    with lab.connection.transaction() as begun:
        lab.load(VISITS, lab.dump(VISITS), [(1, "a", 0)])
        raise psycopg.Rollback(begun)
    assert audit.verify(lab.connection).heads == {}


def test_entries_of_before_the_chains_are_linked_by_the_migration(noted: Lab) -> None:
    with noted.connection.transaction():
        noted.connection.execute("drop trigger audit_chained on ops.upkeep")
        noted.connection.execute("set local session_replication_role = replica")
        noted.connection.execute("delete from ops.audit_link")
        noted.connection.execute("delete from ops.audit_head")
    noted.connection.execute("select ops.chain_audit('ops.upkeep')")
    note(noted, 6)
    found = audit.verify(noted.connection)
    assert (found.breaks, found.heads[UPKEEP].entries) == ((), 6)


def test_loads_of_before_the_chains_are_a_chain_for_each_feed(lab: Lab) -> None:
    for number in range(2):
        lab.load(VISITS, lab.dump(VISITS), [(number, "a", 0)])
        lab.load(READINGS, lab.dump(READINGS), [(number, 1, "a")])
    before = audit.heads(lab.connection)
    with lab.connection.transaction():
        lab.connection.execute("drop trigger audit_chained on ops.load")
        lab.connection.execute("set local session_replication_role = replica")
        lab.connection.execute("delete from ops.audit_link")
        lab.connection.execute("delete from ops.audit_head")
    lab.connection.execute("select ops.chain_audit('ops.load', 'feed')")
    assert (audit.verify(lab.connection).breaks, audit.heads(lab.connection)) == ((), before)


def test_a_column_that_is_added_later_leaves_old_links_valid(noted: Lab) -> None:
    noted.connection.execute("alter table ops.upkeep add column ticket text not null default 'none'")
    note(noted, 6)
    assert audit.verify(noted.connection).breaks == ()


def test_what_a_later_column_holds_is_covered_from_then_on(noted: Lab) -> None:
    noted.connection.execute("alter table ops.upkeep add column ticket text")
    note(noted, 6)
    with unguarded(noted) as connection:
        connection.execute("update ops.upkeep set ticket = 'x' where upkeep_id = 6")
    assert breaks(noted) == [(Damage.CHANGED, UPKEEP, 6, 6)]


def test_the_hash_does_not_depend_on_the_session(lab: Lab) -> None:
    with connect(lab.url) as other:
        other.execute("set timezone = 'Pacific/Auckland'")
        other.execute("set extra_float_digits = -3")
        backup_log.record(other, Entry("backup", True, "test", stamp=dt.datetime.now(dt.UTC), seconds=0.1 + 0.2))
    lab.connection.execute("set timezone = 'America/New_York'")
    assert audit.verify(lab.connection).breaks == ()


# ---------------------------------------------------------------------------------------------- tampering


def test_a_changed_entry_is_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("update ops.upkeep set items = 7 where upkeep_id = 3")
    assert breaks(noted) == [(Damage.CHANGED, UPKEEP, 3, 3)]


def test_a_deleted_entry_is_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("delete from ops.upkeep where upkeep_id = 3")
    assert breaks(noted) == [(Damage.MISSING, UPKEEP, 3, 3)]


def test_an_entry_deleted_with_its_link_is_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("delete from ops.upkeep where upkeep_id = 3")
        connection.execute("delete from ops.audit_link where number = 3")
    assert breaks(noted) == [(Damage.MISSING, LINKS, None, 3)]


def test_an_entry_deleted_with_its_link_and_later_links_numbered_anew_is_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("delete from ops.upkeep where upkeep_id = 3")
        connection.execute("delete from ops.audit_link where number = 3")
        connection.execute("update ops.audit_link set number = number - 1 where number > 3")
    assert breaks(noted) == [(Damage.CHANGED, UPKEEP, 4, 3)]


def test_an_inserted_entry_is_found(noted: Lab) -> None:
    with unguarded(noted):
        note(noted, 6)
    assert breaks(noted) == [(Damage.INSERTED, UPKEEP, 6, None)]


def test_a_tail_that_was_cut_off_is_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("delete from ops.upkeep where upkeep_id > 3")
        connection.execute("delete from ops.audit_link where number > 3")
    assert breaks(noted) == [(Damage.CUT_OFF, UPKEEP, None, 4)]


def test_swapped_entries_are_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("update ops.upkeep set items = 3 - items where upkeep_id in (2, 3)")
    assert breaks(noted) == [(Damage.CHANGED, UPKEEP, 2, 2)]


def test_swapped_links_are_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("update ops.audit_link set number = -number where number in (2, 3)")
        connection.execute("update ops.audit_link set number = 5 + number where number < 0")
    assert breaks(noted) == [(Damage.CHANGED, UPKEEP, 3, 2)]


def test_a_changed_link_is_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("update ops.audit_link set hash = sha256('x') where number = 4")
    assert breaks(noted) == [(Damage.CHANGED, UPKEEP, 4, 4)]


def test_a_link_that_covers_fewer_columns_than_it_did_is_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("update ops.audit_link set columns = array_remove(columns, 'items') where number = 4")
    assert breaks(noted) == [(Damage.CHANGED, UPKEEP, 4, 4)]


def test_a_changed_head_is_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("update ops.audit_head set hash = sha256('x')")
    assert breaks(noted) == [(Damage.CHANGED, HEADS, None, 5)]


def test_a_head_that_counts_fewer_entries_is_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("update ops.audit_head set entries = 4")
    assert breaks(noted) == [(Damage.INSERTED, LINKS, None, 5)]


def test_a_chain_without_its_head_is_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("delete from ops.audit_head")
    assert breaks(noted) == [(Damage.MISSING, HEADS, None, None)]


def test_a_head_without_its_chain_is_found(noted: Lab) -> None:
    with unguarded(noted) as connection:
        connection.execute("delete from ops.audit_link")
        connection.execute("delete from ops.upkeep")
    assert breaks(noted) == [(Damage.CUT_OFF, UPKEEP, None, 1)]


@pytest.mark.parametrize(
    "how", ["alter table ops.upkeep disable trigger audit_chained", "drop trigger audit_chained on ops.upkeep"]
)
def test_a_trigger_that_was_switched_off_is_found_before_an_entry_is_missed(noted: Lab, how: str) -> None:
    noted.connection.execute(how.encode())
    assert breaks(noted) == [(Damage.UNCHAINED, UPKEEP, None, None)]


def test_of_each_chain_the_first_break_is_named_and_the_others_hold(noted: Lab) -> None:
    lab = noted
    lab.load(VISITS, lab.dump(VISITS), [(1, "a", 0)])
    lab.load(READINGS, lab.dump(READINGS), [(1, 1, "a")])
    with unguarded(lab) as connection:
        connection.execute("update ops.upkeep set items = 9 where upkeep_id in (2, 4)")
        connection.execute("update ops.load set rows_read = 0, rows_inserted = 0 where feed = 'lab/visits'")
    found = audit.verify(lab.connection)
    named = [(b.chain, b.what, b.number) for b in found.breaks]
    assert named == [("ops.load lab/visits", Damage.CHANGED, 1), (UPKEEP, Damage.CHANGED, 2)]
    assert found.heads["ops.load lab/readings"].entries == 1


# ---------------------------------------------------------------------------------------------- heads kept elsewhere


def rewrite(lab: Lab) -> None:
    """As an owner who changes an entry and writes the chain anew."""
    with lab.connection.transaction():
        lab.connection.execute("drop trigger audit_chained on ops.upkeep")
        lab.connection.execute("set local session_replication_role = replica")
        lab.connection.execute("update ops.upkeep set items = 9 where upkeep_id = 2")
        lab.connection.execute("delete from ops.audit_link")
        lab.connection.execute("delete from ops.audit_head")
        lab.connection.execute("select ops.chain_audit('ops.upkeep')")


def test_kept_heads_prove_history_up_to_them_and_let_it_grow(noted: Lab) -> None:
    kept = audit.heads(noted.connection)
    note(noted, 6)
    assert audit.verify(noted.connection, kept=kept).breaks == ()


def test_a_chain_that_its_owner_wrote_anew_is_found_by_kept_heads_alone(noted: Lab) -> None:
    kept = audit.heads(noted.connection)
    rewrite(noted)
    assert audit.verify(noted.connection).breaks == ()
    (found,) = audit.verify(noted.connection, kept=kept).breaks
    assert (found.what, found.entry_id, found.number) == (Damage.CHANGED, 5, 5)


def test_a_tail_that_its_owner_cut_off_with_its_head_is_found_by_kept_heads(noted: Lab) -> None:
    with connect(noted.url) as before:
        kept = audit.heads(before)
    with unguarded(noted) as connection:
        connection.execute("delete from ops.upkeep where upkeep_id > 3")
        connection.execute("delete from ops.audit_link where number > 3")
        connection.execute(
            "update ops.audit_head set entries = 3, hash = (select hash from ops.audit_link where number = 3)"
        )
    assert audit.verify(noted.connection).breaks == ()
    expected = Break(UPKEEP, Damage.CUT_OFF, UPKEEP, None, 4, "the last 2 entries are missing")
    assert audit.verify(noted.connection, kept=kept).breaks == (expected,)


def test_a_whole_chain_that_is_gone_is_found_by_kept_heads(noted: Lab) -> None:
    kept = audit.heads(noted.connection)
    with unguarded(noted) as connection:
        for table in ("ops.upkeep", LINKS, HEADS):
            connection.execute(f"delete from {table}".encode())
    found = audit.verify(noted.connection, kept=kept).breaks
    assert [(b.what, b.table) for b in found] == [(Damage.CUT_OFF, UPKEEP)]


# ---------------------------------------------------------------------------------------------- who waits, who may


def test_loads_of_two_feeds_do_not_wait_for_each_other(lab: Lab) -> None:
    with connect(lab.url) as other, other.transaction():
        lab.load_batches(VISITS, lab.dump(VISITS), [], read=0, connection=other)  # linked, and not committed
        with connect(lab.url) as mine:
            mine.execute("set lock_timeout = '20s'")
            lab.load_batches(READINGS, lab.dump(READINGS), [], read=0, connection=mine)
            assert set(audit.heads(mine)) == {"ops.load lab/readings"}
    assert audit.verify(lab.connection).breaks == ()


def test_entries_that_many_append_at_once_are_one_chain(lab: Lab) -> None:
    def append(items: int) -> None:
        with connect(lab.url) as connection:
            note(Lab(lab.url, connection), items)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(append, range(12)))
    found = audit.verify(lab.connection)
    assert (found.breaks, found.heads[UPKEEP].entries) == ((), 12)


@pytest.mark.parametrize("table", [LINKS, HEADS])
def test_links_and_heads_cannot_be_deleted(noted: Lab, table: str) -> None:
    with pytest.raises(errors.RaiseException, match="append-only"):
        noted.connection.execute(f"delete from {table}".encode())


def test_links_cannot_be_changed(noted: Lab) -> None:
    with pytest.raises(errors.RaiseException, match="append-only"):
        noted.connection.execute("update ops.audit_link set hash = ''")


def test_who_may_only_insert_entries_appends_links_that_it_cannot_write_itself(lab: Lab) -> None:
    name = "appends_" + lab.url.rpartition("_")[2]
    lab.connection.execute(
        f"create role {name}; grant usage on schema ops to {name}; grant insert on ops.upkeep to {name}".encode()
    )
    try:
        lab.connection.execute(f"set role {name}".encode())
        note(lab, 1)
        with pytest.raises(errors.InsufficientPrivilege):
            lab.connection.execute("insert into ops.audit_head values ('ops.upkeep', 0, '')")
        lab.connection.execute("reset role")
        assert audit.verify(lab.connection).heads[UPKEEP].entries == 1
    finally:
        lab.connection.execute(f"reset role; drop owned by {name}; drop role {name}".encode())
