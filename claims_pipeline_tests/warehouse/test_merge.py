"""The merge against an oracle in plain Python: any order, repetition or re-delivery of dumps ends in the same rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claims_pipeline.feeds import Feed
from claims_pipeline.vocabulary import RowCounts
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline_tests.fix_warehouse import FINDINGS, SAMPLES, VISITS, Lab, Row, sample

database_bound = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

Place = tuple[int, int, int, int]  # version, stamp, dump, row number: what decides which of two rows is newer


@dataclass
class Oracle:
    """What the table of a feed without sets and unique columns should be. A row's first value is its key."""

    feed: Feed
    table: dict[int, tuple[Place, Row]] = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)

    def load(self, dump: Dump, rows: list[Row]) -> RowCounts:
        newest: dict[int, tuple[Place, Row]] = {}
        for number, row in enumerate(rows, 1):
            version = row[1] if self.feed.version else 0
            place = (version, int(dump.stamp.timestamp()), dump.dump_id, number)
            newest[row[0]] = max(newest.get(row[0], (place, row)), (place, row), key=lambda held: held[0])
        counts = Counter({"read": len(rows), "duplicate": len(rows) - len(newest)})
        for key, (place, row) in newest.items():
            counts[self._merge(key, place, row)] += 1
        return RowCounts(**counts)

    def _merge(self, key: int, place: Place, row: Row) -> str:
        if key not in self.table:
            self.table[key] = place, row
            return "inserted"
        held_place, held = self.table[key]
        if self._content(held) == self._content(row):
            # A known gap: that a later dump confirmed the row is not noted, so between rows of equal version a dump
            # that arrives late can undo what a later one confirmed.
            return "unchanged"
        if place < held_place:
            return "stale"
        self.history.append(held)
        self.table[key] = place, row
        return "updated"

    def _content(self, row: Row) -> Row:
        return tuple(v for v, column in zip(row, self.feed.stored, strict=True) if column.hashed)


keys = st.integers(1, 4)
contents = st.sampled_from([None, "", "a", "b"])
samples = st.builds(sample, keys, st.integers(1, 3), contents)
visits = st.tuples(keys, contents, st.integers(1, 3))
hours = st.integers(0, 3)


@dataclass(frozen=True)
class History:
    """Dumps, each with its hour and rows, and the order in which they are loaded, repetitions included."""

    dumps: list[tuple[int, list[Row]]]
    order: list[int]


@st.composite
def histories(draw: st.DrawFn, rows: st.SearchStrategy[Row]) -> History:
    dumps = draw(st.lists(st.tuples(hours, st.lists(rows, min_size=1, max_size=6)), min_size=1, max_size=4))
    order = draw(st.permutations(range(len(dumps))))
    again = draw(st.lists(st.sampled_from(range(len(dumps))), max_size=2))
    return History(dumps, order + again)


def load_as_the_oracle_does(lab: Lab, feed: Feed, history: History) -> None:
    lab.empty()
    oracle = Oracle(feed)
    dumps = [lab.dump(feed, hour=hour) for hour, _ in history.dumps]
    for place in history.order:
        rows = history.dumps[place][1]
        assert lab.load(feed, dumps[place], rows).rows == oracle.load(dumps[place], rows)
    assert lab.table(feed) == sorted((row for _, row in oracle.table.values()), key=repr)
    assert lab.history(feed) == sorted(oracle.history, key=repr)


@database_bound
@given(history=histories(samples))
def test_a_versioned_table_is_what_the_oracle_says(shared_lab: Lab, history: History) -> None:
    load_as_the_oracle_does(shared_lab, SAMPLES, history)


@database_bound
@given(history=histories(visits))
def test_a_table_without_versions_is_what_the_oracle_says(shared_lab: Lab, history: History) -> None:
    load_as_the_oracle_does(shared_lab, VISITS, history)


@database_bound
@given(
    history=histories(st.builds(lambda key, version: sample(key, version, f"{key}.{version}"), keys, st.integers(1, 4)))
)
def test_any_order_of_dumps_ends_in_the_newest_versions(shared_lab: Lab, history: History) -> None:
    # Versions differ wherever contents do. Equal versions with different contents, confirmed by a later dump, are the
    # oracle's known gap, and left to a later issue.
    shared_lab.empty()
    dumps = [shared_lab.dump(SAMPLES, hour=hour) for hour, _ in history.dumps]
    for place in history.order:
        shared_lab.load(SAMPLES, dumps[place], history.dumps[place][1])
    newest = {row[0]: row for row in sorted(row for _, rows in history.dumps for row in rows)}
    assert shared_lab.table(SAMPLES) == sorted(newest.values(), key=repr)


# ------------------------------------------------------------------------------------------ replaced sets


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[frozenset[tuple[int, str]]], list[int]]:
    """The findings of one sample over a few dumps, each set another one, and an order of loading.

    Every dump is two: of the sample, and of its findings where there are any. The loading order names the former by
    even and the latter by odd numbers.
    """
    found = st.dictionaries(st.integers(1, 3), st.sampled_from("ab"), max_size=3).map(lambda d: frozenset(d.items()))
    sets = draw(st.lists(found, min_size=2, max_size=4, unique=True))
    pieces = [p for i, rows in enumerate(sets) for p in ((2 * i, 2 * i + 1) if rows else (2 * i,))]
    again = draw(st.lists(st.sampled_from(pieces), max_size=2))
    return sets, draw(st.permutations(pieces)) + again


@database_bound
@given(life=lives())
def test_any_order_of_dumps_ends_in_the_newest_set(
    shared_lab: Lab, life: tuple[list[frozenset[tuple[int, str]]], list[int]]
) -> None:
    sets, order = life
    shared_lab.empty()
    parents = [shared_lab.dump(SAMPLES, hour=hour) for hour in range(len(sets))]
    children = [shared_lab.dump(FINDINGS, hour=hour) for hour in range(len(sets))]
    for piece in order:
        hour = piece // 2
        if piece % 2:
            rows = [(1, ordinal, content) for ordinal, content in sorted(sets[hour])]
            assert shared_lab.load(FINDINGS, children[hour], rows).rows.conserved
        else:
            shared_lab.load(SAMPLES, parents[hour], [sample(1, hour, findings=len(sets[hour]))])
    assert shared_lab.table(FINDINGS) == [(1, ordinal, content) for ordinal, content in sorted(sets[-1])]


TWO: list[Row] = [(1, 1, "a"), (1, 2, "b")]


def test_a_newer_set_replaces_the_whole_older_one(lab: Lab) -> None:
    lab.load(FINDINGS, lab.dump(FINDINGS, hour=1), [*TWO, (2, 1, "other sample")])
    loaded = lab.load(FINDINGS, lab.dump(FINDINGS, hour=2), [(1, 1, "a"), (1, 3, "c")])
    assert loaded.rows == RowCounts(read=2, inserted=1, unchanged=1, deleted=1)
    assert lab.table(FINDINGS) == [(1, 1, "a"), (1, 3, "c"), (2, 1, "other sample")]


def test_rows_that_left_their_set_are_in_history(lab: Lab) -> None:
    lab.load(FINDINGS, lab.dump(FINDINGS, hour=1), TWO)
    lab.load(FINDINGS, lab.dump(FINDINGS, hour=2), [(1, 1, "a2")])
    operations = lab.connection.execute('select ordinal, content, _operation from history."lab__findings" order by 1')
    assert operations.fetchall() == [(1, "a", "updated"), (2, "b", "deleted")]


def test_an_older_set_that_comes_late_is_stale(lab: Lab) -> None:
    early, late = lab.dump(FINDINGS, hour=1), lab.dump(FINDINGS, hour=2)
    lab.load(FINDINGS, late, [(1, 1, "new")])
    assert lab.load(FINDINGS, early, TWO).rows == RowCounts(read=2, stale=2)
    assert lab.table(FINDINGS) == [(1, 1, "new")]


def test_a_set_that_only_lost_rows_is_not_refilled_by_an_older_one(lab: Lab) -> None:
    dumps = [lab.dump(FINDINGS, hour=hour) for hour in range(3)]
    lab.load(FINDINGS, dumps[0], TWO)
    lab.load(FINDINGS, dumps[2], TWO[:1])
    lab.load(FINDINGS, dumps[1], TWO)
    assert lab.table(FINDINGS) == TWO[:1]


def test_of_two_dumps_with_one_stamp_the_later_arrival_has_the_set(lab: Lab) -> None:
    first, corrected = lab.dump(FINDINGS, hour=1), lab.dump(FINDINGS, hour=1)
    lab.load(FINDINGS, corrected, [(1, 1, "corrected")])
    lab.load(FINDINGS, first, TWO)
    assert lab.table(FINDINGS) == [(1, 1, "corrected")]


@pytest.mark.parametrize("parent_first", [True, False])
def test_a_parent_without_children_empties_the_older_set(lab: Lab, parent_first: bool) -> None:
    steps = [
        (SAMPLES, lab.dump(SAMPLES, hour=2), [sample(1, findings=0)]),
        (FINDINGS, lab.dump(FINDINGS, hour=1), TWO),
    ]
    for feed, dump, rows in steps if parent_first else reversed(steps):
        lab.load(feed, dump, rows)
    assert lab.table(FINDINGS) == []


def test_rows_that_went_with_their_parent_are_counted_and_kept_in_history(lab: Lab) -> None:
    lab.load(FINDINGS, lab.dump(FINDINGS, hour=1), TWO)
    loaded = lab.load(SAMPLES, lab.dump(SAMPLES, hour=2), [sample(1, findings=0)])
    assert loaded.removed_with_parent == {"lab/findings": 2}
    assert lab.history(FINDINGS) == TWO


def test_a_parent_that_comes_late_does_not_tear_a_newer_set(lab: Lab) -> None:
    lab.load(FINDINGS, lab.dump(FINDINGS, hour=1), TWO[:1])
    lab.load(FINDINGS, lab.dump(FINDINGS, hour=3), TWO)  # its first row is unchanged since hour 1
    lab.load(SAMPLES, lab.dump(SAMPLES, hour=2), [sample(1, findings=0)])
    assert lab.table(FINDINGS) == TWO


# ------------------------------------------------------------------------------------------ what rows carry


def test_a_row_carries_the_dump_and_load_that_wrote_it(lab: Lab) -> None:
    dump = lab.dump(SAMPLES, hour=2)
    loaded = lab.load(SAMPLES, dump, [sample(1), sample(2)])
    carried = lab.connection.execute(
        "select _dump_id, _row_number, _dump_stamp, _load_id from lab.samples order by _row_number"
    ).fetchall()
    assert carried == [(dump.dump_id, number, dump.stamp, loaded.load_id) for number in (1, 2)]


def test_the_load_that_superseded_a_row_is_told_in_history(lab: Lab) -> None:
    loads = [
        lab.load(SAMPLES, lab.dump(SAMPLES, hour=version), [sample(1, version, f"v{version}")]).load_id
        for version in (1, 2, 3)
    ]
    told = lab.connection.execute('select _load_id, _superseded_by from history."lab__samples" order by 1').fetchall()
    assert told == list(pairwise(loads))


def test_a_change_of_a_column_that_is_not_hashed_alone_changes_nothing(lab: Lab) -> None:
    lab.load(VISITS, lab.dump(VISITS, hour=1), [(1, "a", 10)])
    assert lab.load(VISITS, lab.dump(VISITS, hour=2), [(1, "a", 20)]).rows == RowCounts(read=1, unchanged=1)
