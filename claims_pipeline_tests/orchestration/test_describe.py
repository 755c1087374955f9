"""What the UI shows of contracts and loads: pure."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from claims_pipeline.feeds import Feed, all_feeds
from claims_pipeline.feeds.contract import Drop
from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.orchestration import describe
from claims_pipeline.orchestration.keys import feed_keys, partitions_of, raw_key, table_key, validated_key
from claims_pipeline.vocabulary import CheckName, CheckOutcome, DumpReport, DumpStatus, DumpVerdict, RowCounts
from claims_pipeline_tests.fix_dagster import DAY, feed_of

FEEDS = pytest.mark.parametrize("feed", all_feeds(), ids=lambda feed: feed.name)


def report(**facts: object) -> DumpReport:
    """A loaded dump, but for what is said otherwise."""
    usual: dict[str, object] = {
        "feed": "va/uploads",
        "file": "526/uploads/a.csv",
        "delivery_day": DAY,
        "verdict": DumpVerdict.NEW,
        "status": DumpStatus.LOADED,
    }
    return DumpReport(**(usual | facts))  # type: ignore[arg-type]  # of any kind


def text_of(value: dg.MetadataValue) -> str:
    """The Markdown of a metadata value."""
    assert isinstance(value, dg.MarkdownMetadataValue)
    return value.value


def test_a_sparkline_rises_from_the_lowest_bar_to_the_highest() -> None:
    assert describe.sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"


def test_a_sparkline_of_zeros_is_flat() -> None:
    assert describe.sparkline([0, 0]) == "▁▁"


def test_a_sparkline_of_nothing_is_empty() -> None:
    assert describe.sparkline([]) == ""


def test_history_shows_each_verdict_that_occurs_with_its_last_and_sum() -> None:
    next_day = DAY + dt.timedelta(days=1)
    days = [(DAY, RowCounts(read=1_000, inserted=1_000)), (next_day, RowCounts(read=500, updated=500))]
    lines = text_of(describe.history_markdown(days)).splitlines()
    assert lines[4:] == ["| read | █▅ | 500 | 1,500 |", "| inserted | █▁ | 0 | 1,000 |", "| updated | ▁█ | 500 | 500 |"]


def test_history_without_loads_says_so() -> None:
    assert text_of(describe.history_markdown([])) == "no load yet"


def test_a_dump_is_a_line_of_name_verdict_and_counts() -> None:
    shown = text_of(describe.dumps_table([report(bytes=12_345, rows=RowCounts(read=7))]))
    assert shown.splitlines()[2] == "| `a.csv` | new | loaded | 12,345 | 7 |  |"


def test_a_file_name_cannot_break_the_table() -> None:
    shown = text_of(describe.dumps_table([report(file="526/a|b`c.csv", reason="x|y")]))
    assert shown.splitlines()[2].count("|") == 7


def test_rules_are_summed_over_dumps_most_first_then_by_name() -> None:
    shown = text_of(describe.rules_table([{"b.required": 1, "z.cast": 2}, {"a.cast": 1, "z.cast": 3}]))
    assert shown.splitlines()[2:] == ["| `z.cast` | 5 |", "| `a.cast` | 1 |", "| `b.required` | 1 |"]


def test_no_rules_is_said_in_a_word() -> None:
    assert text_of(describe.rules_table([{}])) == "none"


@pytest.mark.parametrize(
    ("severity", "shown"), [("error", dg.AssetCheckSeverity.ERROR), ("warn", dg.AssetCheckSeverity.WARN)]
)
def test_a_checks_severity_is_dagsters(severity: str, shown: dg.AssetCheckSeverity) -> None:
    outcome = CheckOutcome(CheckName.INTACT, False, "why", {"n": 1}, severity)  # type: ignore[arg-type]  # of any kind
    result = describe.check_result(outcome)
    assert (result.check_name, result.passed, result.severity, result.description) == ("intact", False, shown, "why")


@FEEDS
def test_every_column_of_every_layer_says_its_class_and_treatment(feed: Feed) -> None:
    own = {column.name for column in feed.stored}
    schemas = [describe.raw_schema(feed), describe.stored_schema(feed, table=False)]
    schemas.append(dg.TableSchema([c for c in describe.stored_schema(feed, table=True).columns if c.name in own]))
    assert all(set(column.tags) == {"pii", "treatment"} for schema in schemas for column in schema.columns)


@FEEDS
def test_no_dropped_column_is_in_the_table(feed: Feed) -> None:
    dropped = {column.name for column in feed.columns if isinstance(column.facts.treatment, Drop)}
    assert dropped.isdisjoint(column.name for column in describe.stored_schema(feed, table=True).columns)


@FEEDS
def test_every_stored_column_traces_to_a_column_of_the_raw_dump(feed: Feed) -> None:
    table = describe.column_lineage(feed, table=True).deps_by_column
    validated = describe.column_lineage(feed, table=False).deps_by_column
    delivered = {column.name for column in describe.raw_schema(feed).columns}
    ends = {}
    for column in feed.stored:
        (step,) = table[column.name]
        assert step.asset_key == validated_key(feed)
        (origin,) = validated[step.column_name]
        assert origin.asset_key == raw_key(feed)
        ends[column.name] = origin.column_name
    assert ends == {column.name: column.source for column in feed.stored}
    assert set(ends.values()) <= delivered


def test_the_keys_of_a_feed_are_its_way() -> None:
    keys = [key.to_user_string() for key in feed_keys(feed_of("form526_uploads"))]
    assert keys == [
        "raw/va_form526/form526_uploads",
        "validated/va_form526/form526_uploads",
        "va_form526/form526_uploads",
    ]


def test_the_tables_key_is_its_name_in_the_database() -> None:
    assert table_key(feed_of("form526_uploads")).path == ["va_form526", "form526_uploads"]


def test_partitions_begin_with_the_senders_first_day_and_include_today() -> None:
    now = dt.datetime(2026, 5, 4, 0, 30, tzinfo=dt.UTC)
    keys = partitions_of(SENDER).get_partition_keys(current_time=now)
    assert (keys[0], keys[-1]) == ("2024-01-01", "2026-05-04")
