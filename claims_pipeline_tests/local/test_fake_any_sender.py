"""A sender that nobody has written a world for gets dumps from its contract alone, and the frames accept them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
import pyarrow.parquet as pq
import pytest

from claims_pipeline.feeds import contract as c
from claims_pipeline.frames import KeyRing, Keys, make_key_ring, validate_dump
from claims_pipeline.landing.names import understand
from claims_pipeline.local.fake_sender import (
    LIVELY,
    DumpManifest,
    Manifest,
    PlantedVerdict,
    SenderPlan,
    Trouble,
    generate_sender,
)
from claims_pipeline_tests.local.fake_sender_dumps import InMemory

SHOP = c.Sender(
    name="shop",
    title="A shop that was made up",
    timezone="Europe/Vienna",
    prefix="shop/",
    start=dt.date(2025, 1, 1),
    calendar=c.Calendar((1, 2, 3, 4, 5), due=dt.time(7, 0)),
)


class Sales(c.FeedModel):
    """One row per sale."""

    sale_id: c.Text = c.column("Number", key=True, str_matches=r"^[A-Z]{2}-\d{6}$")
    amount: c.Money = c.column("Amount", in_range={"min_value": -50, "max_value": 20_000})
    sold_on: c.Date = c.column("Day", sentinels=("1900-01-01",), nullable=True)
    kind: c.Text = c.column("Kind", isin=["cash", "card", "gift; card"])
    changed_at: c.Timestamp = c.column(
        "Changed at",
        required=True,
        nullable=False,
        max_ahead=dt.timedelta(hours=1),
        ge=pd.Timestamp("2020-01-01", tz="UTC"),
    )


class Returns(c.FeedModel):
    """One row per return; refers to a sale."""

    return_id: c.BigInt = c.column("Number", key=True, ge=10)
    sale_id: c.Text = c.column("Sale", nullable=False)
    taken_at: c.Timestamp = c.column("Taken back at")
    paid_at: c.Timestamp = c.column("Paid back at")
    pieces: c.SmallInt = c.column("Pieces", gt=0, lt=5, invalid="null")
    state: c.Text = c.column("State", only=("open", "done"))

    @pa.dataframe_check(name="paid_after_taken")
    def paid_after_taken(cls, df: pd.DataFrame) -> pd.Series:
        """Money follows goods."""
        return (df["paid_at"] >= df["taken_at"]).fillna(value=True)


NAMES = r"^{}_(?P<stamp>\d{{14}})[.]csv(?:[.]gz)?$"
EURO = c.Csv(delimiter=";", decimal=",", thousands=".", dates=("%d.%m.%Y",), timestamps=("%d.%m.%Y %H:%M",))
SALES = c.Feed(SHOP, "sales", Sales, (NAMES.format("sales"),), version="changed_at", format=EURO)
RETURNS = c.Feed(SHOP, "returns", Returns, (NAMES.format("returns"),), format=EURO)
FEEDS = (SALES, RETURNS)
FORMATS: dict[str, c.Format] = {
    "euro": EURO,
    "plain": c.Csv(),
    "odd": c.Csv(delimiter="|", quote="'", escape="\\", encoding="utf-16", nulls=("NULL", "-"), decimal=","),
    "old": c.Csv(delimiter="\t", encoding="cp1252", decimal=",", thousands=" "),
    "json": c.JsonLines(),
    "parquet": c.Parquet(),
}
# Three weeks with the end of summer time in them.
PLAN = SenderPlan("shop", dt.date(2025, 10, 13), days=21, rows=60, dirt=0.3, troubles=LIVELY)
CLEAN = dataclasses.replace(PLAN, dirt=0, days=7)
KEYS = Keys(token=KeyRing.parse(make_key_ring()), quarantine=KeyRing.parse(make_key_ring()))


def played(plan: SenderPlan, *feeds: c.Feed) -> tuple[Manifest, dict[str, bytes]]:
    """What a plan gives."""
    sink = InMemory()
    return generate_sender(plan, sink, feeds=feeds or FEEDS), sink.objects


def written_as(form: str) -> tuple[c.Feed, ...]:
    """The same contracts for another format."""
    return tuple(dataclasses.replace(feed, format=FORMATS[form]) for feed in FEEDS)


def validated(
    feed: c.Feed, dump: DumpManifest, data: bytes, folder: Path
) -> tuple[set[tuple[int, str]], dict[str, int], int, int, list[tuple[object, ...]]]:
    """What the frames find: rejects by row and rule, issues, rows read, rows filtered, keys of the rows kept."""
    found = validate_dump(
        io.BytesIO(data),
        feed=feed,
        compression=None,
        stamp=dump.stamp,
        delivery_day=dump.delivery_day,
        keys=KEYS,
        rows_file=folder / "rows.parquet",
        rejects_file=folder / "rejects.parquet",
    )
    rejects = pq.read_table(folder / "rejects.parquet", columns=["row_number", "rules"]).to_pylist()
    kept = pq.read_table(folder / "rows.parquet", columns=list(feed.key))
    return (
        {(row["row_number"], rule) for row in rejects for rule in row["rules"]},
        found.issues,
        found.read,
        found.filtered,
        list(zip(*(kept[name].to_pylist() for name in feed.key), strict=True)),
    )


def expected(dump: DumpManifest) -> tuple[set[tuple[int, str]], dict[str, int], int, int]:
    """What the manifest says of it."""
    rejects = {(p.row, p.rule) for p in dump.planted if p.verdict is PlantedVerdict.QUARANTINED}
    issues = dump.count(PlantedVerdict.ISSUE, PlantedVerdict.WARNING)
    return rejects, issues, dump.rows, sum(dump.count(PlantedVerdict.FILTERED).values())


@pytest.mark.parametrize("form", FORMATS)
def test_the_frames_find_every_planted_defect_and_no_other(form: str, tmp_path: Path) -> None:
    feeds = {feed.dataset: feed for feed in written_as(form)}
    manifest, objects = played(PLAN, *feeds.values())
    for dump in manifest.dumps:
        assert validated(feeds[dump.dataset], dump, objects[dump.key], tmp_path)[:4] == expected(dump)


@pytest.mark.parametrize("form", FORMATS)
def test_the_frames_find_nothing_where_nothing_is_planted(form: str, tmp_path: Path) -> None:
    feeds = {feed.dataset: feed for feed in written_as(form)}
    manifest, objects = played(CLEAN, *feeds.values())
    for dump in manifest.dumps:
        assert validated(feeds[dump.dataset], dump, objects[dump.key], tmp_path)[:4] == (set(), {}, dump.rows, 0)


def test_the_tables_hold_in_the_end_what_the_manifest_says(tmp_path: Path) -> None:
    manifest, objects = played(PLAN)
    feeds = {feed.dataset: feed for feed in FEEDS}
    tables: dict[str, set[tuple[object, ...]]] = {name: set() for name in feeds}
    for dump in manifest.dumps:
        before = len(tables[dump.dataset])
        tables[dump.dataset] |= set(validated(feeds[dump.dataset], dump, objects[dump.key], tmp_path)[4])
        assert len(tables[dump.dataset]) - before == dump.gained
    assert manifest.live == {name: len(keys) for name, keys in tables.items()}


def test_rules_of_every_kind_are_planted() -> None:
    manifest, _ = played(PLAN)
    planted = {(dump.dataset, p.rule) for dump in manifest.dumps for p in dump.planted}
    assert planted >= {
        ("sales", "sale_id.str_matches"),
        ("sales", "sale_id.required"),
        ("sales", "amount.cast"),
        ("sales", "amount.in_range"),
        ("sales", "sold_on.cast"),
        ("sales", "kind.isin"),
        ("sales", "changed_at.max_ahead"),
        ("sales", "changed_at.greater_than_or_equal_to"),
        ("sales", "row.ragged"),
        ("sales", "row.duplicate"),
        ("returns", "pieces.cast_null"),
        ("returns", "pieces.less_than"),
        ("returns", "state.only"),
        ("returns", "sale_id.nul"),
        ("returns", "sale_id.encoding"),
    }


def test_the_same_plan_gives_the_same_bytes_in_another_process() -> None:
    script = (
        "import json\n"
        "from claims_pipeline_tests.local.test_fake_any_sender import PLAN, played\n"
        "print(json.dumps([[dump.key, dump.sha256] for dump in played(PLAN)[0].dumps]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[dump.key, dump.sha256] for dump in played(PLAN)[0].dumps]


def test_another_seed_is_another_world() -> None:
    one, other = played(CLEAN)[0], played(dataclasses.replace(CLEAN, seed=1))[0]
    assert not {dump.sha256 for dump in one.dumps if dump.rows} & {dump.sha256 for dump in other.dumps}


def test_every_name_is_understood_as_its_feed_and_time() -> None:
    for dump in played(PLAN)[0].dumps:
        named = understand(SHOP, FEEDS, dump.key, dt.datetime(2030, 1, 1, tzinfo=dt.UTC))
        assert named.feed is not None
        assert (named.feed.dataset, named.delivery_day, named.stamp) == (dump.dataset, dump.delivery_day, dump.stamp)


def test_dumps_come_on_the_days_of_the_calendar_only() -> None:
    assert {dump.delivery_day.isoweekday() for dump in played(PLAN)[0].dumps} == {1, 2, 3, 4, 5}


def test_a_name_that_tells_the_day_only_holds_nothing_younger_than_midnight(tmp_path: Path) -> None:
    feed = dataclasses.replace(SALES, file_names=(r"^daily/(?P<stamp>\d{4}-\d\d-\d\d)/sales[.]csv$",))
    manifest, objects = played(CLEAN, feed)
    assert {dump.stamp.astimezone(dt.UTC).hour for dump in manifest.dumps} == {22}  # midnight in Vienna's summer
    for dump in manifest.dumps:
        assert not validated(feed, dump, objects[dump.key], tmp_path)[0]


def test_what_is_returned_was_sold() -> None:
    plan = dataclasses.replace(CLEAN, troubles={})
    manifest, objects = played(plan, *written_as("json"))
    rows = {name: [] for name in ("sales", "returns")}  # type: dict[str, list[dict[str, str]]]
    for dump in manifest.dumps:
        rows[dump.dataset] += map(json.loads, objects[dump.key].splitlines())
    assert {row["sale_id"] for row in rows["returns"]} <= {row["sale_id"] for row in rows["sales"]}


def test_rows_are_sent_again_changed_with_a_later_version() -> None:
    manifest, objects = played(dataclasses.replace(CLEAN, troubles={}), *written_as("json"))
    seen: dict[str, list[str]] = {}
    for dump in manifest.dumps:
        if dump.dataset == "sales":
            for line in objects[dump.key].splitlines():
                row = json.loads(line)
                seen.setdefault(row["sale_id"], []).append(re.sub("[TZ]", " ", row["changed_at"]).strip())
    assert max(map(len, seen.values())) > 2
    assert any(len(set(times)) > 1 for times in seen.values())


def test_a_repeat_has_the_same_bytes_under_another_name_and_brings_nothing() -> None:
    plan = dataclasses.replace(PLAN, troubles={Trouble.REPEATED: 0.5})
    manifest, objects = played(plan)
    repeats = [dump for dump in manifest.dumps if dump.repeats]
    assert repeats
    for dump in repeats:
        assert objects[dump.key] == objects[dump.repeats or ""]
        assert (dump.loaded, dump.gained) == (0, 0)


@pytest.mark.parametrize("trouble", [Trouble.LATE, Trouble.OUT_OF_ORDER, Trouble.EARLY])
def test_with_trouble_the_order_of_arrival_is_not_that_of_the_stamps(trouble: Trouble) -> None:
    manifest, _ = played(dataclasses.replace(PLAN, troubles={trouble: 0.3}), SALES)
    arrivals = [dump.arrives or dump.stamp for dump in manifest.dumps]
    assert arrivals == sorted(arrivals)
    assert [dump.stamp for dump in manifest.dumps] != sorted(dump.stamp for dump in manifest.dumps)


def test_an_empty_dump_has_a_header_and_no_row() -> None:
    manifest, objects = played(dataclasses.replace(PLAN, troubles={Trouble.EMPTY: 1}), SALES)
    assert all(dump.rows == 0 and objects[dump.key].count(b"\n") == 1 for dump in manifest.dumps)


def test_the_manifest_is_json() -> None:
    told = json.loads(played(CLEAN)[0].to_json())
    assert told["plan"]["sender"] == "shop"
    assert {dump["dataset"] for dump in told["dumps"]} == {"sales", "returns"}


class Checked(c.FeedModel):
    """A check of every kind."""

    number: c.BigInt = c.column("Number", key=True, gt=100)
    debt: c.Integer = c.column("Debt", lt=-5, ne=-7)
    level: c.SmallInt = c.column("Level", isin=[1, 2, 7])
    price: c.Money = c.column("Price", gt=0, le=1, raise_warning=True)
    share: c.Money = c.column("Share", in_range={"min_value": 0, "max_value": 1, "include_min": False})
    month: c.Date = c.column("Month", ge=dt.date(2024, 1, 1), le=dt.date(2024, 3, 1))
    seen_at: c.Timestamp = c.column("Seen at", lt=pd.Timestamp("2001-01-01", tz="UTC"), nullable=False)
    name: c.Text = c.column("Name", str_startswith="a.b", str_endswith="+")
    word: c.Text = c.column("Word", notin=["None", "NA"], str_length={"min_value": 2, "max_value": 5})
    code: c.Text = c.column("Code", str_length=4)
    tags: c.TextList = c.column("Tags")
    yes: c.Boolean = c.column("Yes", eq=True)


@pytest.mark.parametrize("form", FORMATS)
def test_values_keep_checks_of_every_kind(form: str, tmp_path: Path) -> None:
    feed = c.Feed(SHOP, "checked", Checked, (NAMES.format("checked"),), format=FORMATS[form])
    manifest, objects = played(PLAN, feed)
    for dump in manifest.dumps:
        assert validated(feed, dump, objects[dump.key], tmp_path)[:4] == expected(dump)


class Hopeless(c.FeedModel):
    """A rule that no invented text keeps."""

    code: c.Text = c.column("Code", key=True)
    word: c.Text = c.column("Word", str_startswith="a", str_length={"min_value": 300, "max_value": 300})


def test_a_contract_that_nothing_keeps_is_refused_by_column_and_rule() -> None:
    feed = c.Feed(SHOP, "hopeless", Hopeless, (NAMES.format("hopeless"),))
    with pytest.raises(ValueError, match=r"word.*str_startswith"):
        played(CLEAN, feed)


def test_a_key_with_too_few_values_is_refused() -> None:
    class Few(c.FeedModel):
        """Nine rows at most."""

        number: c.SmallInt = c.column("Number", key=True, in_range={"min_value": 1, "max_value": 9})

    with pytest.raises(ValueError, match="9 different keys"):
        played(CLEAN, c.Feed(SHOP, "few", Few, (NAMES.format("few"),)))


def test_names_in_which_two_dumps_of_a_day_are_one_are_refused() -> None:
    feed = dataclasses.replace(SALES, file_names=(r"^sales_(?P<stamp>\d{8})[.]csv$",))
    with pytest.raises(ValueError, match="one name"):
        played(dataclasses.replace(CLEAN, files_a_day=2), feed)


def test_an_unknown_dataset_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="refunds"):
        generate_sender(CLEAN, InMemory(), feeds=FEEDS, datasets=["refunds"])


@pytest.mark.parametrize(
    "wrong", [{"days": 0}, {"rows": 0}, {"dirt": 2}, {"files_a_day": 0}, {"troubles": {Trouble.LATE: 1.5}}]
)
def test_a_plan_that_cannot_be_carried_out_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"days|files_a_day|shares"):
        dataclasses.replace(PLAN, **wrong)  # type: ignore[arg-type]  # wrong on purpose
