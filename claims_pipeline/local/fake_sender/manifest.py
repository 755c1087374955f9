"""What was generated, and what the pipeline is expected to make of it.

Belongs here: values that can be written as JSON. They hold rule ids, names and counts, and no value of a record.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from claims_pipeline.local.fake_sender.defects import PlantedVerdict
from claims_pipeline.local.fake_sender.dialect import Dialect
from claims_pipeline.local.fake_sender.life import Plan
from claims_pipeline.local.fake_sender.schedule import SenderPlan, Trouble
from claims_pipeline.vocabulary import DumpVerdict

MOST_LISTED = 10_000  # planted defects of one dump that are listed; all are counted


@dataclass(frozen=True)
class Planted:
    """One planted defect.

    Attributes:
        rule: rule id. For rows that break none: "row.duplicate", "form_id.only".
        row: ordinal of the data row in the dump, from 1; the header is not counted, ragged rows are.
        column: the contract's column; None for the row as a whole.
        verdict: what is expected of the pipeline.
    """

    rule: str
    row: int
    column: str | None
    verdict: PlantedVerdict


@dataclass(frozen=True)
class DumpManifest:
    """One generated dump.

    Attributes:
        key: object key, sender's prefix included.
        dataset: its dataset.
        delivery_day: date in its name.
        stamp: time stamp in its name, UTC.
        rows: data rows, spoilt ones included.
        loaded: rows neither quarantined, filtered nor duplicate: those that reach the table.
        gained: by how many rows the table is longer after this dump, loaded after all earlier ones of the plan. For
            datasets that are not replaced as sets: the rows inserted. Can be negative for contentions.
        sha256: of the bytes as delivered, hex.
        bytes: their number.
        dialect: how it is written, if the VA wrote it; else the plain one, and `forms` tells.
        counts: planted defects by verdict and rule id.
        planted: the first `MOST_LISTED` of them, by row.
        arrives: when it is seen in the inbox, UTC; None for the VA, whose dumps arrive in order.
        trouble: what is wrong with its delivery.
        verdict: what it is. An empty dump can have the bytes of another empty one.
        repeats: key of the dump whose bytes it has.
        forms: by delivered column how it is written: a physical type of Parquet, "csv" or "json".
    """

    key: str
    dataset: str
    delivery_day: dt.date
    stamp: dt.datetime
    rows: int
    loaded: int
    gained: int
    sha256: str
    bytes: int
    dialect: Dialect
    counts: dict[PlantedVerdict, dict[str, int]]
    planted: tuple[Planted, ...]
    arrives: dt.datetime | None = None
    trouble: Trouble | None = None
    verdict: DumpVerdict = DumpVerdict.NEW
    repeats: str | None = None
    forms: Mapping[str, str] = field(default_factory=dict)

    def count(self, *verdicts: PlantedVerdict) -> dict[str, int]:
        """Planted defects by rule id, of these verdicts: `count(QUARANTINED)` are the expected rejects.

        Rules that begin with "unique." are found by the warehouse, all others by the frames.
        """
        return {rule: count for verdict in verdicts for rule, count in self.counts.get(verdict, {}).items()}


@dataclass(frozen=True)
class Manifest:
    """All dumps of a plan.

    Attributes:
        plan: what was asked for.
        dumps: in the order in which they are written, which is that of their arrival.
        live: rows of each dataset's table once all its dumps are loaded, in any order. Two reservations: `unique.*`
            rests on the order of delivery, and contentions on the submissions being loaded too.
    """

    plan: Plan | SenderPlan
    dumps: tuple[DumpManifest, ...]
    live: dict[str, int]

    def to_json(self) -> str:
        """As JSON text, sorted and indented; the same for the same plan."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, default=_iso) + "\n"


def _iso(value: object) -> str:
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no part of a manifest")
