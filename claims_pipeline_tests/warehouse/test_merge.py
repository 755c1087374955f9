"""The merge of one dump: verdicts, replaced sets, what rows carry. That order decides nothing is test_order's."""

from __future__ import annotations

from itertools import pairwise

import pytest

from claims_pipeline.vocabulary import RowCounts
from claims_pipeline_tests.fix_warehouse import FINDINGS, SAMPLES, VISITS, Lab, Row, sample

# ------------------------------------------------------------------------------------------ replaced sets


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
