"""The contracts of the benchmarks' feeds, and how a process comes to know them.

Belongs here: a sender `bench` with rules as real contracts have. Does not belong here: the data themselves (data.py).

They come as those of any other package do: by an entry point (feeds/registry.py), of a package whose metadata
`installed` writes into a folder, so that the product does not know them.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa

from claims_pipeline.feeds import all_feeds
from claims_pipeline.feeds import contract as c
from claims_pipeline.feeds.registry import ENTRY_POINTS
from claims_pipeline_tests.benchmarks.values import CHANNELS, STATUSES, more_names

SENDER = c.Sender(
    name="bench", title="The benchmark", timezone="UTC", prefix="bench/", start=dt.date(2026, 1, 1), smallest_cell=1
)
WIDE_COLUMNS = 220


class Members(c.FeedModel):
    """One row per member; see data.py."""

    id: c.BigInt = c.column("Member", key=True, ge=1)
    person_number: c.Text = c.column("Person", pii=c.Pii.DIRECT, treatment=c.Token(into="person_key"), nullable=False)
    policy_number: c.Text = c.column("Policy", pii=c.Pii.DIRECT, treatment=c.Token(into="policy_key"))
    status: c.Text = c.column("Status", isin=list(STATUSES), nullable=False)
    plan_code: c.Text = c.column("Plan", str_matches=r"^PL[0-9]{4}$")
    region: c.Text = c.column("Region", str_length={"max_value": 40})
    channel: c.Text = c.column("Channel", isin=list(CHANNELS))
    occupation: c.Text = c.column("Occupation", str_length={"max_value": 60})
    reference: c.Text = c.column("Reference", str_matches=r"^R-[0-9]{8}$")
    dependants: c.SmallInt = c.column("Dependants", ge=0, le=30)
    visits: c.Integer = c.column("Visits", ge=0)
    points: c.Integer = c.column("Points", ge=0, nullable=False)
    risk_score: c.Integer = c.column("Risk score", in_range={"min_value": 0, "max_value": 1_000})
    premium: c.Money = c.column("Premium", ge=0, nullable=False)
    paid: c.Money = c.column("Paid", ge=0)
    balance: c.Money = c.column("Balance")
    created_at: c.Timestamp = c.column("Created", nullable=False)
    enrolled_at: c.Timestamp = c.column("Enrolled")
    last_seen_at: c.Timestamp = c.column("Last seen")
    closed_at: c.Timestamp = c.column("Closed")
    renewal_date: c.Date = c.column("Renewal")
    is_active: c.Boolean = c.column("Active", nullable=False)
    external_id: c.Text = c.column("UUID elsewhere", str_length={"min_value": 36, "max_value": 36})
    note: c.Text = c.column("Note", pii=c.Pii.SPECIAL, treatment=c.Keep(), str_length={"max_value": 2_000})
    updated_at: c.Timestamp = c.column("Last changed", required=True, nullable=False)

    @pa.dataframe_check(name="updated_after_created")
    def updated_after_created(cls, df: pd.DataFrame) -> pd.Series:
        """Nothing is changed before it is made."""
        return (df["updated_at"] >= df["created_at"]).fillna(value=True)


class LineItem(c.FeedModel):
    """TPC-H's lineitem in its natural types; keyed by order and line. It has no version: the dump's stamp decides."""

    l_orderkey: c.BigInt = c.column("Order", key=True, ge=1)
    l_linenumber: c.Integer = c.column("Line", key=True, ge=1)
    l_partkey: c.BigInt = c.column("Part", ge=1, nullable=False)
    l_suppkey: c.BigInt = c.column("Supplier", ge=1, nullable=False)
    l_quantity: c.Money = c.column("Quantity", ge=0, nullable=False)
    l_extendedprice: c.Money = c.column("Price", ge=0, nullable=False)
    l_discount: c.Money = c.column("Discount", ge=0, nullable=False)
    l_tax: c.Money = c.column("Tax", ge=0, nullable=False)
    l_returnflag: c.Text = c.column("Returned", isin=["R", "A", "N"], nullable=False)
    l_linestatus: c.Text = c.column("Status", isin=["O", "F"], nullable=False)
    l_shipdate: c.Date = c.column("Shipped", nullable=False)
    l_commitdate: c.Date = c.column("Committed", nullable=False)
    l_receiptdate: c.Date = c.column("Received", nullable=False)
    l_shipinstruct: c.Text = c.column("Instruction", str_length={"max_value": 25})
    l_shipmode: c.Text = c.column("Mode", str_length={"max_value": 10})
    l_comment: c.Text = c.column("Comment", str_length={"max_value": 44})


_KINDS: dict[str, tuple[object, dict[str, Any]]] = {
    "score": (c.Integer, {"ge": 0}),
    "code": (c.Text, {"str_length": {"max_value": 10}}),
    "amount": (c.Money, {"ge": 0}),
    "seen_at": (c.Timestamp, {}),
    "flag": (c.Boolean, {}),
    "kind": (c.Text, {"str_length": {"max_value": 40}}),
}


def _wide_model() -> type[c.FeedModel]:
    more = more_names(WIDE_COLUMNS)
    body: dict[str, object] = {name: c.column(f"Further {kind}", **_KINDS[kind][1]) for name, kind in more}
    body |= {"__doc__": "Members, and many columns more.", "__module__": __name__}
    body["__annotations__"] = {name: _KINDS[kind][0] for name, kind in more}
    return type("Wide", (Members,), body)


def _feed(dataset: str, model: type[c.FeedModel], ending: str, **facts: object) -> c.Feed:
    names = (rf"^{dataset}_(?P<stamp>\d{{8}}T\d{{6}}Z)\.{ending}$",)
    # Every load of the benchmark is of another size than the last; what is measured is not the doubt about that.
    return c.Feed(SENDER, dataset, model, names, volume_tolerance=1e9, **facts)  # type: ignore[arg-type]  # facts of any type


MEMBERS = _feed("members", Members, "csv", version="updated_at")
MEMBERS_PARQUET = _feed("members_parquet", Members, "parquet", version="updated_at", format=c.Parquet())
WIDE = _feed("wide", _wide_model(), "csv", version="updated_at")
LINEITEM = _feed("lineitem", LineItem, "csv")
FEEDS = (MEMBERS, MEMBERS_PARQUET, WIDE, LINEITEM)

FIRST_DAY = dt.datetime(2026, 3, 2, 5, tzinfo=dt.UTC)


def inbox_key(feed: c.Feed, number: int) -> str:
    """Key of a feed's n-th dump in the inbox, from 0; each is of a delivery day of its own."""
    stamp = FIRST_DAY + dt.timedelta(days=number)
    ending = "parquet" if isinstance(feed.format, c.Parquet) else "csv"
    return f"{SENDER.prefix}{feed.dataset}_{stamp:%Y%m%dT%H%M%SZ}.{ending}"


def installed(folder: Path) -> dict[str, str]:
    """Environment variables by which another process finds the feeds; writes a package's metadata into the folder."""
    path = [str(folder.absolute()), *filter(None, [os.environ.get("PYTHONPATH")])]
    info = folder / "claims_bench-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: claims-bench\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\nbench = {__name__}\n")
    return {"PYTHONPATH": os.pathsep.join(path)}


def install_here(folder: Path) -> None:
    """Let this process find the feeds, as `installed` does for another."""
    installed(folder)
    if str(folder.absolute()) not in sys.path:
        sys.path.append(str(folder.absolute()))
    all_feeds.cache_clear()
