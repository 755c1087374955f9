"""Who is who in the world of Indici, and what follows: the columns that no contract can place.

Belongs here: patients, practices, what happens to them; each a function of a row's number. Does not belong here: files
(`indici`), and columns that a contract places well enough (`invented`).

No value is a person's: NHI numbers begin with Z, telephones are 555-01xx, e-mails end in example.org.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Callable, Mapping
from functools import cache, cached_property

import numpy as np
import pyarrow
import pyarrow.compute as pc

from claims_pipeline.feeds import Feed
from claims_pipeline.local.fake_sender import fields, nhi_numbers
from claims_pipeline.local.fake_sender.checks import LOCAL, local_time
from claims_pipeline.local.fake_sender.dice import Dice, Ints, Mask
from claims_pipeline.local.fake_sender.domains import decimals
from claims_pipeline.local.fake_sender.lives import Lives, Rows
from claims_pipeline.local.fake_sender.people import names

_PRACTICES = 3
_PROVIDERS, _MEDICINES = 8 * _PRACTICES, 40 * _PRACTICES
# Registers: there from the start.
FIXED = {"providers": _PROVIDERS, "practice_info": _PRACTICES, "medicines": _MEDICINES}

_OWN_ID = {
    "patients": "patient_id", "appointments": "appointment_id", "appointment_medications": "medication_id",
    "invoices": "invoice_transaction_id", "invoice_details": "invoice_detail_id", "providers": "provider_id",
    "diagnoses": "diagnosis_id", "immunisations": "appointment_immunisation_id", "measurements": "screening_id",
    "allergies": "allergy_id", "recalls": "recall_id", "medicines": "medicine_id",
}  # fmt: skip
_FIRST_ID = {dataset: 1_000_001 + 37 * place for place, dataset in enumerate(_OWN_ID)}
_PARENT = {  # whose patient it is; the others are of a patient directly
    "appointment_medications": "appointments", "diagnoses": "appointments", "immunisations": "appointments",
    "measurements": "appointments", "allergies": "appointments", "invoice_details": "invoices",
}  # fmt: skip
_OF_A_PROVIDER = ("provider_id", "vaccinator_id", "diagnosis_by_id")

_MACRONS = ("Tāne", "Mārama", "Kōwhai", "Hēmi", "Ngāio", "Rāwiri", "Pūriri", "Whetū")
_AFTER_HOURS = 0.03  # share of the appointments between 2 and 3 at night, the hour of clock changes

WORDS: Mapping[str, tuple[str, ...]] = {
    "gender": ("Female", "Male", "Gender diverse", "Unknown"),
    "ethcode": ("21", "11", "36", "41", "12", "61"),
    "ethcode2": ("21", "11"),
    "smoking_type": ("Never smoked", "Ex-smoker", "Current smoker"),
    "nhi_status": ("Is Validated", "Is Synchronized"),
    "enrolment_status": ("Enrolled", "Not Enrolled"),
    "appointment_status": ("Booked", "Arrived", "Completed", "Cancelled", "Did not attend"),
    "appointment_type": ("Consult", "Nurse", "Phone", "Whānau visit"),
    "location_name": ("Main Street", "Ōtara Road", unicodedata.normalize("NFD", "Ōtara Road"), "Hutt"),
    "med_tech_read_code": ("C10..", "c10..", "H33..", "G2...", "Eu32."),
    "disease": ("Asthma", "Diabetes mellitus type 2", "Hypertension", "Gout, unspecified"),
    "sctid": ("195967001", "73211009", "38341003", "900000000000207008", "012345678"),
}


class Facts:
    """What is so about some rows of a dataset."""

    def __init__(self, dice: Dice, feed: Feed, rows: Rows, lives: Mapping[str, Lives]) -> None:
        self._dice = dice
        self._feed = feed
        self._rows = rows
        self._lives = lives
        self._own = lives[feed.dataset]

    @cached_property
    def makers(self) -> Mapping[str, Callable[[], pyarrow.Array]]:
        """By column, what makes it."""
        references = dict.fromkeys(_OF_A_PROVIDER, self._provider_id)
        if "patient" in self._index:
            references["patient_id"] = lambda: self._id("patients", self._index["patient"])
        if "appointment" in self._index:
            references["appointment_id"] = lambda: self._id("appointments", self._index["appointment"])
        if "invoice" in self._index:
            references["invoice_transaction_id"] = lambda: self._id("invoices", self._index["invoice"])
        references["medicine_id"] = self._medicine_id
        dataset = self._feed.dataset
        own: dict[str, Callable[[], pyarrow.Array]] = {}
        if dataset in _OWN_ID:
            own[_OWN_ID[dataset]] = lambda: self._id(dataset, self._rows.e)
        return {
            "practice_id": self._practice_id, "practice_name": self._practice_name,
            "nhi_number": self._nhi, "is_nhi_validate": lambda: pyarrow.array(~self._chance("not validated", 0.05)),
            "dob": lambda: self._born, "death_date": self._death_date, "is_alive": lambda: pyarrow.array(~self._dead),
            "age_group": self._age_group,
            "schedule_date": lambda: self._scheduled, "start_time": lambda: self._scheduled,
            "end_time": self._end_time,
            "duration": lambda: pyarrow.array(self._minutes),
            "start_date": lambda: self._on(0), "end_date": lambda: self._on(90), "rx_date": lambda: self._on(0),
            "total_amount": lambda: _cents(self._total), "unpaid_amount": self._unpaid,
            "inserted_at": self._inserted_at,
            "is_deleted": lambda: pyarrow.array(self._deleted),
            "is_active": lambda: pyarrow.array(~self._deleted & ~self._chance("inactive", 0.03)),
            "cell_number": self._phone, "email": self._email,
            "first_name": lambda: self._name("first"), "family_name": lambda: self._name("family"),
            "permanent_address_latitude": self._latitude,
            **references, **own,
        }  # fmt: skip

    def word(self, name: str) -> pyarrow.Array:
        """A word of the world's vocabulary; one in twenty is NULL."""
        index = self._dice.below(f"{self._feed.dataset} {name}", self._rows.e, len(WORDS[name]))
        null = self._dice.chance(f"{self._feed.dataset} no {name}", self._rows.e, 0.05)
        return pyarrow.array(WORDS[name]).take(pyarrow.array(index, mask=null))

    # ------------------------------------------------------------------------------------------ who is who

    @cached_property
    def _index(self) -> Mapping[str, Ints]:
        """Numbers of the rows that these rows belong to."""
        dataset, e = self._feed.dataset, self._rows.e
        if dataset == "patients":
            return {"patient": e}
        if dataset in FIXED:
            return {}
        parent = _PARENT.get(dataset)
        if parent is None:
            return {"patient": self._patient_of(dataset, e)}
        above = self._drawn_from(parent, dataset, e)
        return {"patient": self._patient_of(parent, above), parent.removesuffix("s"): above}

    def _patient_of(self, dataset: str, e: Ints) -> Ints:
        return self._drawn_from("patients", dataset, e)

    def _drawn_from(self, parent: str, dataset: str, e: Ints) -> Ints:
        """A row of the parent that is known on the day on which the child is made."""
        volume = self._lives[parent].volume
        known = volume.initial + (self._lives[dataset].born(e) + 1) * volume.a_day
        return self._dice.bits(f"{dataset} of {parent}", e).view(np.int64) % known

    @cached_property
    def _practice(self) -> Ints:
        """A patient's practice is where everything of that patient happens."""
        if "patient" in self._index:
            return self._dice.below("practice", self._index["patient"], _PRACTICES)
        return self._rows.e % _PRACTICES

    def _id(self, dataset: str, e: Ints) -> pyarrow.Array:
        return pyarrow.array(e + _FIRST_ID[dataset])

    def _provider_id(self) -> pyarrow.Array:
        return self._id("providers", self._in_practice("provider", _PROVIDERS))

    def _medicine_id(self) -> pyarrow.Array:
        return self._id("medicines", self._in_practice("medicine", _MEDICINES))

    def _in_practice(self, name: str, count: int) -> Ints:
        place = self._dice.below(f"{self._feed.dataset} {name}", self._rows.e, count // _PRACTICES)
        return self._practice + _PRACTICES * place

    def _practice_id(self) -> pyarrow.Array:
        return pyarrow.array([f"{535 + 10 * place}" for place in range(_PRACTICES)]).take(pyarrow.array(self._practice))

    def _practice_name(self) -> pyarrow.Array:
        return pyarrow.array(["Kōwhai Practice", "Example Medical", "Pōhutukawa Health"]).take(
            pyarrow.array(self._practice)
        )

    # ------------------------------------------------------------------------------------------ patients

    def _nhi(self) -> pyarrow.Array:
        person = self._rows.e
        wrong, null = self._chance("nhi wrong", 0.03), self._chance("no nhi", 0.03)
        return nhi_numbers.numbers(self._dice, person, wrong=wrong, null=null).cast(pyarrow.string())

    @cached_property
    def _birth(self) -> Ints:
        """Days since 1970 of the birth, 1931 to 2022; the sentinel for some."""
        return self._dice.below("born", self._rows.e, 91 * 365) - 39 * 365

    @cached_property
    def _unknown_birth(self) -> Mask:
        return self._chance("birth unknown", 0.02)

    @cached_property
    def _born(self) -> pyarrow.Array:
        sentinel = (dt.date(1900, 1, 1) - dt.date(1970, 1, 1)).days
        return pyarrow.array(np.where(self._unknown_birth, sentinel, self._birth).astype(np.int32)).cast(
            pyarrow.date32()
        )

    @cached_property
    def _dead(self) -> Mask:
        return self._chance("dead", 0.02)

    def _death_date(self) -> pyarrow.Array:
        days = self._birth + self._dice.below("died", self._rows.e, 700)
        return pyarrow.array(days.astype(np.int32), mask=~self._dead).cast(pyarrow.date32())

    def _age_group(self) -> pyarrow.Array:
        """Derived anew for each dump, in bands of five or of ten years: another word without another fact."""
        since = (self._own.changed(self._rows) // fields.DAY - self._birth) // 365
        width = np.where(self._dice.chance("bands of ten", self._rows.day, 0.5), 10, 5)
        low = np.clip(since, 0, 84) // width * width
        words = [f"{low:02d}-{low + width - 1:02d}" for width in (5, 10) for low in range(0, 90, 5)]
        index = np.where(width == 10, 18, 0) + low // 5
        return pyarrow.array(words).take(pyarrow.array(index, mask=self._unknown_birth))

    def _name(self, kind: str) -> pyarrow.Array:
        """Every fourth has a macron, composed or not."""
        known = _names()
        index = self._dice.below(f"{kind} name", self._rows.e, len(known))
        return known.take(pyarrow.array(index))

    def _phone(self) -> pyarrow.Array:
        ends = fields.digits(self._dice.below("phone", self._rows.e, 100), 2)
        return fields.fixed(b"+64 21 555 01", ends).cast(pyarrow.string())

    def _email(self) -> pyarrow.Array:
        return fields.fixed(b"p", fields.digits(self._rows.e, 9), b"@example.org").cast(pyarrow.string())

    def _latitude(self) -> pyarrow.Array:
        """Of the home; it stands in most extracts, with all the digits of a double."""
        place = fields.digits(self._dice.below("latitude", self._rows.e, 10**9), 9)
        return fields.fixed(b"-36.8", place, b"999997").cast(pyarrow.string())

    # ------------------------------------------------------------------------------------------ what happened

    @cached_property
    def _made_local(self) -> pyarrow.Array:
        return local_time(self._own.made(self._rows.e), self._feed.sender.timezone)

    @cached_property
    def _scheduled(self) -> pyarrow.Array:
        """Local time of an appointment: by day, on the quarter hour, up to two weeks ahead; seldom at night."""
        e = self._rows.e
        today = self._made_local.cast(pyarrow.int64()).to_numpy() // fields.DAY
        quarter = 32 + self._dice.below("quarter", e, 40)
        night = self._dice.chance("after hours", e, _AFTER_HOURS)
        minutes = np.where(night, 120 + self._dice.below("minute", e, 60), 15 * quarter)
        day = today + self._dice.below("ahead", e, 14)
        return pyarrow.array(day * fields.DAY + minutes * 60 * fields.SECOND).cast(LOCAL)

    @cached_property
    def _minutes(self) -> Ints:
        return 15 * (1 + self._dice.below("quarters", self._rows.e, 3))

    def _end_time(self) -> pyarrow.Array:
        return pc.add(self._scheduled, pyarrow.array(self._minutes * 60 * fields.SECOND, pyarrow.duration("us")))

    def _on(self, later: int) -> pyarrow.Array:
        """The day on which the row was made, or later."""
        days = self._made_local.cast(pyarrow.int64()).to_numpy() // fields.DAY + later
        return pyarrow.array(days.astype(np.int32)).cast(pyarrow.date32())

    @cached_property
    def _total(self) -> Ints:
        """In cents; credits are negative."""
        amount = 50 * self._dice.below("amount", self._rows.e, 400)
        return np.where(self._dice.chance("credit", self._rows.e, 0.05), -amount, amount)

    def _unpaid(self) -> pyarrow.Array:
        paid = self._dice.below("paid", self._rows.state, 3)
        return _cents(
            np.where(paid == 0, self._total, np.where(paid == 1, 0, np.sign(self._total) * (abs(self._total) // 2)))
        )

    def _inserted_at(self) -> pyarrow.Array:
        before = fields.DAY + self._dice.below("inserted", self._rows.e, 40_000) * fields.SECOND
        return local_time(self._own.made(self._rows.e) - before, self._feed.sender.timezone)

    @cached_property
    def _deleted(self) -> Mask:
        """Drawn anew with each change: what is deleted may come back."""
        return self._dice.chance(f"{self._feed.dataset} deleted", self._rows.state, 0.06) & (self._rows.k > 0)

    def _chance(self, name: str, share: float) -> Mask:
        return self._dice.chance(f"{self._feed.dataset} {name}", self._rows.e, share)


def _cents(values: Ints) -> pyarrow.Array:
    return decimals(0, 0, pyarrow.decimal128(12, 2)).at(values)


@cache
def _names() -> pyarrow.Array:
    plain = names()[:24:2]
    decomposed = tuple(unicodedata.normalize("NFD", name) for name in _MACRONS)
    return pyarrow.array([*plain, *plain, *_MACRONS, *decomposed[:4], "Null", "O'Fenmund"])
