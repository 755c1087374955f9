"""The world of Indici: how its files are named and headed, and how much of each dataset there is.

Belongs here: what a dump of Indici looks like from outside (feeds.md 4.1, 4.2). Does not belong here: what its rows say
(`indici_facts`, and for most columns the contracts: `invented`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import pyarrow

from claims_pipeline.feeds import Feed
from claims_pipeline.feeds.contract import Drop
from claims_pipeline.feeds.indici import EXTRACTS
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.checks import LOCAL
from claims_pipeline.local.fake_sender.dice import Dice
from claims_pipeline.local.fake_sender.indici_facts import FIXED, WORDS, Facts
from claims_pipeline.local.fake_sender.lives import Lives, Rows, Volume
from claims_pipeline.local.fake_sender.schedule import SenderPlan, Shipment
from claims_pipeline.local.fake_sender.spelling import Header
from claims_pipeline.local.fake_sender.worlds import World

_SHARES = {  # new rows a day, in hundredths of the plan's
    "patients": 25, "appointments": 100, "appointment_medications": 125, "invoices": 75, "invoice_details": 100,
    "diagnoses": 50, "immunisations": 25, "measurements": 100, "allergies": 10, "recalls": 25,
}  # fmt: skip
_FILLED = {  # dropped columns that are delivered with something in them; the others are empty
    "first_name", "family_name", "full_name", "preferred_name", "provider", "provider_name", "inserted_by",
    "updated_by", "notes", "reason_for_visit", "directions", "summary", "description", "field1", "field2",
    "cell_number", "email", "permanent_address", "permanent_address_latitude", "permanent_address_longitude",
    "nhi_number", "meshblock", "comments", "registeration_no", "bank_account_no",
}  # fmt: skip
_CAPITALS = {"id": "ID", "nhi": "NHI", "dhb": "DHB", "nzmc": "NZMC", "hpi": "HPI", "dob": "DOB", "bp": "BP"}
_OTHER_NAME = 1 / 16  # share of the dumps under another of their extract's names


class Indici(World):
    """Three practices."""

    def __init__(self, plan: SenderPlan) -> None:
        super().__init__(plan)
        self._dice = Dice(plan.seed)

    def volume(self, feed: Feed) -> Volume:
        """Registers are there from the start, as are some patients."""
        if feed.dataset in FIXED:
            return Volume(FIXED[feed.dataset], 0)
        a_day = max(self.plan.rows * _SHARES[feed.dataset] // 100, 1)
        return Volume(2 * self.plan.rows if feed.dataset == "patients" else 0, a_day)

    def first_dump(self, feeds: Sequence[Feed]) -> dt.time:
        """The time in the canonical name (feeds.md 4.2)."""
        return dt.time(5, 44)

    def key(self, feed: Feed, shipment: Shipment) -> str:
        """Such as indici/Appointments_20250819054400.parquet; a sequence number where a day has several dumps."""
        known = EXTRACTS[feed.dataset]
        name = known[min(1, len(known) - 1)]
        number = fields.as_ints([shipment.number])
        if self._dice.chance(f"other name {feed.dataset}", number, _OTHER_NAME)[0]:
            name = known[int(self._dice.below(f"which name {feed.dataset}", number, len(known))[0])]
        sequence = f"_{shipment.part + 1:04d}" if self.plan.files_a_day > 1 else ""
        return f"{feed.sender.prefix}{name}_{shipment.stamp:%Y%m%d%H%M%S}{sequence}.parquet"

    def header(self, feed: Feed, shipment: Shipment) -> Header:
        """Names as PatientID, now and then an alias; the number that is misspelt is delivered twice."""
        number = fields.as_ints([shipment.number])
        columns = list(feed.columns)
        if feed.dataset == "providers":
            columns += [column for column in columns if column.name == "registeration_no"]
        chosen = []
        for column in columns:
            known = (column.name, *column.facts.aliases)
            which = (
                self._dice.below(f"name of {feed.dataset} {column.name}", number, len(known))[0]
                if column.facts.aliases
                else 0
            )
            chosen.append(_delivered(known[which]))
        return Header(tuple(chosen), tuple(column.name for column in columns))

    def columns(self, feed: Feed, rows: Rows, lives: Mapping[str, Lives]) -> Mapping[str, pyarrow.Array]:
        """What follows from who is who, and the columns that no contract can place."""
        facts = Facts(self._dice, feed, rows, lives)
        made: dict[str, pyarrow.Array] = {}
        for column in feed.columns:
            maker = facts.makers.get(column.name)
            if isinstance(column.facts.treatment, Drop) and column.name not in _FILLED:
                made[column.name] = pyarrow.nulls(len(rows), pyarrow.string())
            elif maker is not None:
                made[column.name] = maker().cast(LOCAL if pyarrow.types.is_timestamp(column.arrow) else column.arrow)
            elif column.name in WORDS:
                made[column.name] = facts.word(column.name)
        return made


def _delivered(name: str) -> str:
    return "".join(_CAPITALS.get(part, part.capitalize()) for part in name.split("_"))
