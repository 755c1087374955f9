"""The world of Indici: thirteen datasets whose keys agree, written and delivered as badly as in life."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import io
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow
import pyarrow.parquet as pq
import pytest

from claims_pipeline.feeds import feed_named, feeds_of
from claims_pipeline.feeds.nhi import is_valid_nhi
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
from claims_pipeline.vocabulary import DumpVerdict
from claims_pipeline_tests.local.fake_sender_dumps import InMemory

FIRST = dt.date(2025, 3, 29)  # summer time ends on 6 April
CALM = SenderPlan("indici", FIRST, days=12, rows=80, dirt=0)
ROUGH = SenderPlan("indici", FIRST, days=9, rows=60, dirt=0.3, troubles=LIVELY, files_a_day=2)
FEEDS = feeds_of("indici")
DATASETS = [feed.dataset for feed in FEEDS]
ZONE = ZoneInfo("Pacific/Auckland")
KEYS = Keys(token=KeyRing.parse(make_key_ring()), quarantine=KeyRing.parse(make_key_ring()))
PARENTS = {
    "patient_id": "patients",
    "appointment_id": "appointments",
    "invoice_transaction_id": "invoices",
    "provider_id": "providers",
    "vaccinator_id": "providers",
    "diagnosis_by_id": "providers",
    "medicine_id": "medicines",
}


@dataclass(frozen=True)
class World:
    """A manifest, and the bytes it speaks of."""

    manifest: Manifest = field(repr=False)
    objects: dict[str, bytes] = field(repr=False)

    def table(self, dump: DumpManifest) -> pyarrow.Table:
        """A dump as it was written."""
        return pq.ParquetFile(io.BytesIO(self.objects[dump.key])).read()  # read_table refuses a name met twice

    @functools.cached_property
    def rows(self) -> dict[str, list[dict[str, object]]]:
        """All rows of each dataset in order of delivery, by the contract's column names."""
        found: dict[str, list[dict[str, object]]] = defaultdict(list)
        for dump in self.manifest.dumps:
            feed = feed_named(f"indici/{dump.dataset}")
            known = {_loose(name): c.name for c in feed.columns for name in (c.name, *c.facts.aliases)}
            table = self.table(dump)
            names = [known[_loose(name)] for name in table.column_names]
            for values in zip(*(column.to_pylist() for column in table.columns), strict=True):
                found[dump.dataset].append({**dict(zip(names, values, strict=True)), "_day": dump.delivery_day})
        return found


def _loose(name: str) -> str:
    return name.replace("_", "").lower()


def _played(plan: SenderPlan, *datasets: str) -> World:
    sink = InMemory()
    return World(generate_sender(plan, sink, datasets=datasets or None), sink.objects)


@pytest.fixture(scope="module")
def calm() -> World:
    """Twelve days without defects and troubles."""
    return _played(CALM)


@pytest.fixture(scope="module")
def rough() -> World:
    """Nine days with both."""
    return _played(ROUGH)


# ---------------------------------------------------------------------------------------------- what the frames find


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_frames_find_every_planted_defect_and_no_other(dataset: str, rough: World, tmp_path: Path) -> None:
    for dump in rough.manifest.dumps:
        if dump.dataset == dataset:
            rejects = {(p.row, p.rule) for p in dump.planted if p.verdict is PlantedVerdict.QUARANTINED}
            issues = dump.count(PlantedVerdict.ISSUE, PlantedVerdict.WARNING)
            assert _found(rough, dump, tmp_path) == (rejects, issues, dump.rows)


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_frames_find_nothing_where_nothing_is_planted(dataset: str, calm: World, tmp_path: Path) -> None:
    for dump in calm.manifest.dumps:
        if dump.dataset == dataset:
            assert _found(calm, dump, tmp_path) == (set(), {}, dump.rows)


def _found(world: World, dump: DumpManifest, folder: Path) -> tuple[set[tuple[int, str]], dict[str, int], int]:
    found = validate_dump(
        io.BytesIO(world.objects[dump.key]),
        feed=feed_named(f"indici/{dump.dataset}"),
        compression=None,
        stamp=dump.stamp,
        delivery_day=dump.delivery_day,
        keys=KEYS,
        rows_file=folder / "rows.parquet",
        rejects_file=folder / "rejects.parquet",
    )
    rejects = pq.read_table(folder / "rejects.parquet", columns=["row_number", "rules"]).to_pylist()
    return {(row["row_number"], rule) for row in rejects for rule in row["rules"]}, found.issues, found.read


# ---------------------------------------------------------------------------------------------- who is who


def test_every_reference_is_to_a_row_that_is_sent_and_of_the_same_practice(calm: World) -> None:
    known = {
        (name, parent): {(_whole(row[name]), str(row["practice_id"])) for row in calm.rows[parent]}
        for name, parent in (("patient_id", "patients"), ("appointment_id", "appointments"),
                             ("invoice_transaction_id", "invoices"), ("provider_id", "providers"),
                             ("medicine_id", "medicines"))
    }  # fmt: skip
    for dataset, rows in calm.rows.items():
        for name, parent in PARENTS.items():
            own = "provider_id" if parent == "providers" else name
            referring = [row for row in rows if dataset != parent and row.get(name) is not None]
            assert {(_whole(row[name]), str(row["practice_id"])) for row in referring} <= known[own, parent]


def test_a_child_has_the_patient_of_its_appointment(calm: World) -> None:
    patients = {_whole(row["appointment_id"]): _whole(row["patient_id"]) for row in calm.rows["appointments"]}
    for dataset in ("appointment_medications", "diagnoses", "immunisations", "measurements"):
        for row in calm.rows[dataset]:
            assert patients[_whole(row["appointment_id"])] == _whole(row["patient_id"])


def test_all_practices_are_described(calm: World) -> None:
    described = {row["practice_id"] for row in calm.rows["practice_info"]}
    assert {row["practice_id"] for rows in calm.rows.values() for row in rows} == described
    assert len(described) == 3


def test_keys_are_unique_within_a_dump(calm: World) -> None:
    for dump in calm.manifest.dumps:
        assert dump.rows == dump.loaded
    keys = Counter((_whole(row["patient_id"]), row["practice_id"], row["_day"]) for row in calm.rows["patients"])
    assert max(keys.values()) == 1


def _whole(value: object) -> int:
    """A number that some dumps write as a double or a text."""
    return int(float(str(value)))


# ---------------------------------------------------------------------------------------------- persons


def test_health_numbers_are_test_numbers_of_both_formats(calm: World) -> None:
    numbers = {str(row["nhi_number"]) for row in calm.rows["patients"] if row["nhi_number"]}
    assert all(number.startswith("Z") for number in numbers)
    valid = {number for number in numbers if is_valid_nhi(number)}
    assert any(re.fullmatch(r"[A-Z]{3}\d{4}", number) for number in valid)
    assert any(re.fullmatch(r"[A-Z]{3}\d\d[A-Z]{2}", number) for number in valid)
    assert 0.9 < len(valid) / len(numbers) < 1


def test_some_wrong_health_numbers_are_told_to_be_validated(calm: World) -> None:
    wrong = [row for row in calm.rows["patients"] if row["nhi_number"] and not is_valid_nhi(str(row["nhi_number"]))]
    assert any(row["is_nhi_validate"] in (True, 1, "true") for row in wrong)


def test_names_have_macrons_composed_and_not(calm: World) -> None:
    names = {str(row["first_name"]) for row in calm.rows["patients"]}
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        assert any(n == unicodedata.normalize(form, n) != unicodedata.normalize(other, n) for n in names)  # type: ignore[arg-type]  # names of forms


def test_unknown_dates_of_birth_are_the_sentinel(calm: World) -> None:
    assert any(str(row["dob"]).startswith("1900-01-01") for row in calm.rows["patients"])


def test_contact_data_are_nobodys(calm: World) -> None:
    for row in calm.rows["patients"]:
        assert re.fullmatch(r"\+64 21 555 01\d\d", str(row["cell_number"]))
        assert str(row["email"]).endswith("@example.org")


# ---------------------------------------------------------------------------------------------- changes


def test_derived_columns_change_without_another_change(calm: World) -> None:
    versions: dict[tuple[int, str], set[object]] = defaultdict(set)
    for row in calm.rows["patients"]:
        versions[_whole(row["patient_id"]), _moment(row["updated_at"])].add(row["age_group"])
    assert max(map(len, versions.values())) > 1


def test_rows_are_deleted_and_some_come_back(calm: World) -> None:
    states: dict[tuple[str, int], list[bool]] = defaultdict(list)
    for dataset, key in (("appointments", "appointment_id"), ("appointment_medications", "medication_id")):
        for row in calm.rows[dataset]:
            states[dataset, _whole(row[key])].append(row["is_deleted"] in (True, 1, "true"))
    assert any(True in series and series[-1] is False for series in states.values())
    assert any(series[-1] for series in states.values())


def test_versions_grow_and_lie_before_the_stamp(calm: World) -> None:
    times: dict[int, list[str]] = defaultdict(list)
    for row in calm.rows["appointments"]:
        times[_whole(row["appointment_id"])].append(_moment(row["updated_at"]))
        assert _moment(row["updated_at"]) < f"{row['_day']} 05:44"
    assert all(series == sorted(series) for series in times.values())


def test_appointments_fall_into_the_hour_of_the_clock_change() -> None:
    plan = dataclasses.replace(CALM, rows=600)
    rows = _played(plan, "appointments").rows["appointments"]
    assert any(_moment(row["schedule_date"]).startswith("2025-04-06 02:") for row in rows)


def test_appointments_fall_into_the_hour_that_never_was() -> None:
    plan = dataclasses.replace(CALM, rows=600, first=dt.date(2025, 9, 20))
    rows = _played(plan, "appointments").rows["appointments"]
    assert any(_moment(row["schedule_date"]).startswith("2025-09-28 02:") for row in rows)


def _moment(value: object) -> str:
    """A local time, however it was written; those in UTC are made local."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        value = value.astimezone(ZONE).replace(tzinfo=None)
    return str(value)[:23].replace("T", " ")


# ---------------------------------------------------------------------------------------------- files


def test_every_name_is_understood_as_its_feed_and_time(rough: World) -> None:
    sender = FEEDS[0].sender
    for dump in rough.manifest.dumps:
        named = understand(sender, FEEDS, dump.key, dt.datetime(2030, 1, 1, tzinfo=dt.UTC))
        assert named.feed is not None
        stamp = named.stamp.replace(microsecond=0)  # they count the sequence number
        assert (named.feed.dataset, named.delivery_day, stamp) == (dump.dataset, dump.delivery_day, dump.stamp)


def test_the_canonical_name_has_the_local_stamp(calm: World) -> None:
    assert "indici/Appointments_20250330054400.parquet" in calm.objects


def test_several_dumps_a_day_are_numbered(rough: World) -> None:
    numbers = {dump.key[-13:] for dump in rough.manifest.dumps}
    assert numbers == {"_0001.parquet", "_0002.parquet"}


def test_physical_types_differ_from_dump_to_dump(calm: World) -> None:
    forms: dict[str, set[str]] = defaultdict(set)
    for dump in calm.manifest.dumps:
        if dump.dataset in ("appointments", "invoices", "patients"):
            for name, form in dump.forms.items():
                forms[_loose(name)].add(form)
    assert {"int64", "double"} <= forms["patientid"]
    assert {"timestamp[ns]", "timestamp[us]"} <= forms["updatedat"]
    assert {"bool", "int64"} <= forms["isactive"]
    assert "double" in forms["totalamount"]
    assert any("null" in found and len(found) > 1 for found in forms.values())


def test_the_misspelt_number_is_delivered_twice(calm: World) -> None:
    for dump in calm.manifest.dumps:
        if dump.dataset == "providers":
            assert calm.table(dump).column_names.count("RegisterationNo") == 2


def test_some_dumps_hold_no_row(calm: World) -> None:
    empty = [dump for dump in calm.manifest.dumps if dump.verdict is DumpVerdict.EMPTY]
    assert empty
    assert all(calm.table(dump).num_rows == 0 for dump in empty)


def test_dumps_arrive_late_and_again(rough: World) -> None:
    troubles = Counter(dump.trouble for dump in rough.manifest.dumps)
    assert set(troubles) == {None, *Trouble}
    arrivals = [dump.arrives or dump.stamp for dump in rough.manifest.dumps]
    assert arrivals == sorted(arrivals)


def test_the_same_plan_gives_the_same_bytes() -> None:
    small = dataclasses.replace(ROUGH, days=3, rows=20)
    assert _played(small).objects == _played(small).objects


def test_one_dataset_alone_has_the_same_bytes_as_among_all(rough: World) -> None:
    alone = _played(ROUGH, "diagnoses").objects
    assert alone == {key: rough.objects[key] for key in alone}


def test_every_dataset_is_written(calm: World) -> None:
    assert set(calm.manifest.live) == set(DATASETS)
    assert all(calm.manifest.live.values())
