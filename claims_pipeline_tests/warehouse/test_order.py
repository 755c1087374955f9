"""The theorem: table and history are a function of the dumps in effect, whatever the order in which they came.

Generated lives of a feed (dumps with their hours and rows; loads in any order, again, with mended rows, under one name,
undone, redone) are played, and must end as an oracle in plain Python says that the dumps in effect end in their order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claims_pipeline.feeds import Feed
from claims_pipeline.warehouse.apart import QUARANTINE_SCHEMA
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.load import TooManyDeletedError
from claims_pipeline_tests.fix_warehouse import (
    FINDINGS,
    MEMBERS,
    READINGS,
    SAMPLES,
    VISITS,
    Lab,
    Row,
    batch_of,
    sample,
)

database_bound = settings(
    deadline=None,
    max_examples=int(os.environ.get("EXAMPLES", "60")),  # `make orders` tries as many as one likes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

Rows = list[Row]
Version = tuple[Row, int, int]
"""A row, its dump, its place there."""


# ------------------------------------------------------------------------------------------ the oracle


def folded(feed: Feed, dumps: Iterable[tuple[Dump, Rows]]) -> list[Row]:
    """Every version of every row that dumps make, one after another, of a feed without sets and unique columns."""
    table: dict[int, Version] = {}
    ended: list[Row] = []

    def end(key: int, dump: Dump, operation: str) -> None:
        row, dump_id, number = table.pop(key)
        ended.append((*row, dump_id, number, dump.dump_id, operation))

    for dump, rows in sorted(dumps, key=lambda item: item[0].place):
        newest: dict[int, tuple[int, Row]] = {}
        for number, row in sorted(enumerate(rows, 1), key=lambda item: (item[1][1] if feed.version else 0, item[0])):
            newest[row[0]] = number, row
        if feed.snapshot:
            for key in table.keys() - newest.keys():
                end(key, dump, "deleted")
        for key, (number, row) in newest.items():
            if key in table:
                held = table[key][0]
                if content(feed, held) == content(feed, row) or (feed.version and row[1] < held[1]):
                    continue
                end(key, dump, "updated")
            table[key] = row, dump.dump_id, number
    return sorted([*((*r, d, n, None, None) for r, d, n in table.values()), *ended], key=repr)


def content(feed: Feed, row: Row) -> Row:
    return tuple(v for v, column in zip(row, feed.stored, strict=True) if column.hashed)


# ------------------------------------------------------------------------------------------ lives


Kind = Literal["load", "undo", "amend"]
Act = tuple[Kind, int]
Told = tuple[int, int, Rows, Rows]
"""A dump: its hour, its name, its rows as first read, and under a mended contract."""


@dataclass(frozen=True)
class Life:
    """Dumps, and what is done with them, one after another."""

    dumps: list[Told]
    acts: list[Act]


@st.composite
def lives(draw: st.DrawFn, row: st.SearchStrategy[Row]) -> Life:
    rows = st.lists(row, min_size=1, max_size=5)
    count = draw(st.integers(1, 5))
    dumps: list[Told] = []
    for number in range(count):
        name = draw(st.integers(0, number))  # mostly its own; an earlier one's is superseded
        hour = dumps[name][0] if name < number else draw(st.integers(0, 3))
        name = dumps[name][1] if name < number else number
        first = draw(rows)
        dumps.append((hour, name, first, draw(st.one_of(st.just(first), rows))))
    acts: list[Act] = [("load", n) for n in draw(st.permutations(range(count)))]
    kinds: list[Kind] = ["load", "undo", "amend"]
    for act in draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, count - 1)), max_size=5)):
        acts.insert(draw(st.integers(0, len(acts))), act)
    return Life(dumps, acts)


@dataclass
class Played:
    """The ledger's part of a life, in plain Python: which dumps are in effect, with which rows."""

    life: Life
    effect: dict[int, Rows] = field(default_factory=dict)
    replaced: dict[int, int] = field(default_factory=dict)
    undone: set[int] = field(default_factory=set)
    rows: dict[int, Rows] = field(default_factory=dict)

    def yields(self, number: int) -> bool:
        name = self.life.dumps[number][1]
        return any(n > number and self.life.dumps[n][1] == name for n in self.effect)

    def load(self, number: int, rows: Rows) -> None:
        name = self.life.dumps[number][1]
        for other in [n for n in self.effect if n != number and self.life.dumps[n][1] == name]:
            del self.effect[other]
            self.replaced[other] = number
        self.replaced.pop(number, None)
        self.effect[number] = self.rows[number] = rows

    def undo(self, number: int) -> None:
        del self.effect[number]
        if before := [n for n, by in self.replaced.items() if by == number]:
            back = max(before)
            del self.replaced[back]
            self.effect[back] = self.rows[back]


def play(lab: Lab, feed: Feed, life: Life) -> list[tuple[Dump, Rows]]:
    """Play a life in the laboratory; returns the dumps in effect in the end, with their rows."""
    lab.empty()
    run = lab.connection.execute("select coalesce(max(dump_id), 0) from ops.dump").fetchone()
    dumps = [lab.dump(feed, hour=hour, name=f"{run}-{name}") for hour, name, _, _ in life.dumps]
    played = Played(life)
    for act, number in life.acts:
        if act == "undo":
            if number in played.effect:
                lab.undo(feed, dumps[number])
                played.undo(number)
        else:
            _, _, first, mended = life.dumps[number]
            rows = mended if act == "amend" else first
            loaded = lab.offer(feed, dumps[number], rows)
            assert (loaded is None) == played.yields(number)
            if loaded is not None:
                assert loaded.rows.conserved
                played.load(number, rows)
    return [(dumps[n], rows) for n, rows in played.effect.items()]


keys = st.integers(1, 3)
contents = st.sampled_from([None, "", "a", "b"])


@database_bound
@given(life=lives(st.tuples(keys, st.integers(1, 3), contents)))
def test_rows_with_versions(shared_lab: Lab, life: Life) -> None:
    effect = play(shared_lab, READINGS, life)
    assert shared_lab.versions(READINGS) == folded(READINGS, effect)


@database_bound
@given(life=lives(st.tuples(keys, contents, st.just(1))))
def test_rows_without_versions(shared_lab: Lab, life: Life) -> None:
    effect = play(shared_lab, VISITS, life)
    assert shared_lab.versions(VISITS) == folded(VISITS, effect)


@database_bound
@given(life=lives(st.tuples(keys, contents)))
def test_snapshots(shared_lab: Lab, life: Life) -> None:
    effect = play(shared_lab, MEMBERS, life)
    assert shared_lab.versions(MEMBERS) == folded(MEMBERS, effect)


@database_bound
@given(life=lives(st.builds(lambda k, v, b: sample(k, v, badge=b), keys, st.integers(1, 3), st.integers(1, 3))))
def test_rows_with_unique_values(shared_lab: Lab, life: Life) -> None:
    lab = shared_lab
    effect = play(lab, SAMPLES, life)
    found, apart = lab.versions(SAMPLES), set_apart(lab, effect)
    lab.empty()
    for dump, rows in sorted(effect, key=lambda item: item[0].place):
        lab.load(SAMPLES, dump, rows)
    assert found == lab.versions(SAMPLES)
    assert apart == set_apart(lab, effect)


def set_apart(lab: Lab, dumps: Iterable[tuple[Dump, Rows]]) -> dict[int, list[int]]:
    return {dump.dump_id: sorted(lab.opened(SAMPLES, dump)) for dump, _ in dumps}


# ------------------------------------------------------------------------------------------ sets and their parents

Sets = list[frozenset[tuple[int, str]]]


@st.composite
def families(draw: st.DrawFn) -> tuple[Sets, list[tuple[str, int]]]:
    """The findings of one sample hour by hour, and an order in which dumps of both are loaded, repeated and undone.

    Every hour has a dump of the sample, which says how many there are, and one of its findings where there are any.
    """
    found = st.dictionaries(st.integers(1, 3), st.sampled_from("ab"), max_size=2).map(lambda d: frozenset(d.items()))
    sets = draw(st.lists(found, min_size=1, max_size=4))
    pieces = [("parent", h) for h in range(len(sets))] + [("child", h) for h, rows in enumerate(sets) if rows]
    order = list(draw(st.permutations(pieces)))
    for piece in draw(st.lists(st.sampled_from(pieces), max_size=3)):
        undo = draw(st.booleans())
        order.insert(draw(st.integers(0, len(order))), (f"undo {piece[0]}", piece[1]) if undo else piece)
    return sets, order


@database_bound
@given(family=families())
def test_sets_and_their_parents(shared_lab: Lab, family: tuple[Sets, list[tuple[str, int]]]) -> None:
    lab, (sets, order) = shared_lab, family
    lab.empty()
    dumps = {
        **{("parent", hour): lab.dump(SAMPLES, hour=hour) for hour in range(len(sets))},
        **{("child", hour): lab.dump(FINDINGS, hour=hour) for hour in range(len(sets))},
    }
    rows: dict[tuple[str, int], Rows] = {
        **{("parent", h): [sample(1, h, findings=len(found))] for h, found in enumerate(sets)},
        **{("child", h): [(1, ordinal, text) for ordinal, text in sorted(found)] for h, found in enumerate(sets)},
    }
    feeds = {"parent": SAMPLES, "child": FINDINGS}
    effect: set[tuple[str, int]] = set()
    for act, hour in order:
        kind = act.removeprefix("undo ")
        piece = kind, hour
        if act == kind:
            lab.load(feeds[kind], dumps[piece], rows[piece])
            effect.add(piece)
        elif piece in effect:
            lab.undo(feeds[kind], dumps[piece])
            effect.discard(piece)
    found = lab.versions(SAMPLES), lab.versions(FINDINGS)
    lab.empty()
    for piece in sorted(effect, key=lambda p: (p[1], p[0] == "child")):
        lab.load(feeds[piece[0]], dumps[piece], rows[piece])
    assert found == (lab.versions(SAMPLES), lab.versions(FINDINGS))
    ends = [h for kind, h in effect if kind == "child" or not sets[h]]
    last = sets[max(ends)] if ends else frozenset()
    assert lab.table(FINDINGS) == [(1, ordinal, text) for ordinal, text in sorted(last)]


# ------------------------------------------------------------------------------------------ what the clock saw


@pytest.mark.parametrize("feed", [READINGS])
def test_every_stay_in_the_table_remains(lab: Lab, feed: Feed) -> None:
    early, late = lab.dump(feed, hour=1), lab.dump(feed, hour=2)
    lab.load(feed, late, [(1, 2, "wrong")])
    shown = moment(lab)
    lab.undo(feed, late)
    lab.load(feed, early, [(1, 1, "right")])
    assert lab.table(feed) == [(1, 1, "right")]
    assert as_shown(lab, shown) == [(1, 2, "wrong")]
    assert as_shown(lab, moment(lab)) == [(1, 1, "right")]


def moment(lab: Lab) -> object:
    row = lab.connection.execute("select clock_timestamp()").fetchone()
    assert row is not None
    return row[0]


def as_shown(lab: Lab, at: object) -> list[Row]:
    return lab.connection.execute(
        "select reading_id, changed, content from lab.readings where _loaded_at <= %(at)s union all"
        ' select reading_id, changed, content from history."lab__readings"'
        " where _loaded_at <= %(at)s and _superseded_at > %(at)s",
        {"at": at},
    ).fetchall()


def test_a_change_that_changes_nothing_leaves_no_trace(lab: Lab) -> None:
    first, second = lab.dump(READINGS, hour=1), lab.dump(READINGS, hour=3)
    lab.load(READINGS, first, [(1, 1, "a"), (2, 1, "b")])
    lab.load(READINGS, second, [(1, 2, "c")])
    before = everything(lab)
    lab.load(READINGS, first, [(1, 1, "a"), (2, 1, "b")])
    late = lab.dump(READINGS, hour=2)
    lab.load(READINGS, late, [(2, 1, "b")])
    assert everything(lab) == before


def test_a_late_row_takes_its_place_in_the_past_and_the_table_stays(lab: Lab) -> None:
    lab.load(READINGS, lab.dump(READINGS, hour=1), [(1, 1, "a")])
    lab.load(READINGS, lab.dump(READINGS, hour=3), [(1, 3, "c")])
    table = lab.connection.execute("select * from lab.readings").fetchall()
    loaded = lab.load(READINGS, lab.dump(READINGS, hour=2), [(1, 2, "b")])
    assert lab.connection.execute("select * from lab.readings").fetchall() == table
    assert [row[2] for row in lab.versions(READINGS)] == ["a", "b", "c"]
    assert loaded.replayed == 1


def everything(lab: Lab) -> list[Row]:
    return [
        *lab.connection.execute("select * from lab.readings order by 1").fetchall(),
        *lab.connection.execute('select * from history."lab__readings" order by 1, 2').fetchall(),
    ]


# ------------------------------------------------------------------------------------------ snapshots and quarantine


def rejected(lab: Lab, feed: Feed, number: int, row_key: list[str] | None) -> pyarrow.RecordBatch:
    version, sealed = lab.sealer(feed)(number, b"a row")
    values = {
        "row_number": [number], "line": [None], "columns": [["content"]], "rules": [["content.length"]],
        "key_version": [version], "sealed": [sealed], "row_key": [row_key], "row_hash": [None],
    }  # fmt: skip
    return pyarrow.record_batch([pyarrow.array(values[f.name], f.type) for f in QUARANTINE_SCHEMA], QUARANTINE_SCHEMA)


@pytest.mark.parametrize(("row_key", "stays"), [(["2"], [1, 2]), (None, [1, 2, 3])])
def test_a_row_in_quarantine_is_not_absent(lab: Lab, row_key: list[str] | None, stays: list[int]) -> None:
    lab.load(MEMBERS, lab.dump(MEMBERS, hour=1), [(1, "a"), (2, "b"), (3, "c")])
    rejects = [rejected(lab, MEMBERS, 2, row_key)]
    second = lab.dump(MEMBERS, hour=2)
    lab.load_batches(MEMBERS, second, [batch_of(MEMBERS, [(1, "a")])], rejects=rejects, read=2)
    assert [row[0] for row in lab.table(MEMBERS)] == stays


def test_a_late_dump_before_a_snapshot_with_quarantine_does_not_delete_what_it_spared(lab: Lab) -> None:
    second = lab.dump(MEMBERS, hour=2)
    lab.load(MEMBERS, lab.dump(MEMBERS, hour=0), [(1, "a"), (2, "b")])
    rejects = [rejected(lab, MEMBERS, 2, ["2"])]
    lab.load_batches(MEMBERS, second, [batch_of(MEMBERS, [(1, "a")])], rejects=rejects, read=2)
    lab.load(MEMBERS, lab.dump(MEMBERS, hour=1), [(1, "a"), (2, "c")])
    assert lab.table(MEMBERS) == [(1, "a"), (2, "c")]


def test_a_snapshot_that_would_delete_too_much_is_not_applied(lab: Lab) -> None:
    lab.load(MEMBERS, lab.dump(MEMBERS, hour=1), [(key, "a") for key in range(1, 7)])
    with pytest.raises(TooManyDeletedError, match="lacks 5 of the table's 6 rows"):
        lab.load(MEMBERS, lab.dump(MEMBERS, hour=2), [(1, "a")])
    assert len(lab.table(MEMBERS)) == 6


def test_so_is_one_that_comes_late(lab: Lab) -> None:
    lab.load(MEMBERS, lab.dump(MEMBERS, hour=1), [(key, "a") for key in range(1, 7)])
    lab.load(MEMBERS, lab.dump(MEMBERS, hour=3), [(key, "a") for key in range(1, 7)])
    with pytest.raises(TooManyDeletedError, match="lacks 5 of the table's 6 rows"):
        lab.load(MEMBERS, lab.dump(MEMBERS, hour=2), [(1, "a")])
