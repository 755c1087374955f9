"""Every form in which Indici's files are named, and the names that only look like one of them."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.feeds import feeds_of
from claims_pipeline.feeds.indici import EXTRACTS, SENDER
from claims_pipeline.landing.names import Named, is_ignored, understand

FEEDS = feeds_of(SENDER.name)
BY_DATASET = {feed.dataset: feed for feed in FEEDS}
AUCKLAND = ZoneInfo("Pacific/Auckland")
ARRIVAL = dt.datetime(2025, 8, 20, 3, 0, tzinfo=dt.UTC)
LONG = "685146_535_{}_202508180544_202508190544_2508190850"


def named(name: str) -> Named:
    return understand(SENDER, FEEDS, SENDER.prefix + name, ARRIVAL)


def dataset(name: str) -> str | None:
    feed = named(name).feed
    return feed.dataset if feed else None


def local(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=AUCKLAND).astimezone(dt.UTC)  # type: ignore[misc,arg-type]  # six numbers


# ------------------------------------------------------------------------------------------ which dataset

SPELLINGS = [(name, dataset) for dataset, names in EXTRACTS.items() for name in names]


@pytest.mark.parametrize(("extract", "of"), SPELLINGS, ids=[name for name, _ in SPELLINGS])
@pytest.mark.parametrize(
    "form", ["{}_20250819054400.parquet", LONG, f"{LONG}.parquet"], ids=["short", "long", "ending"]
)
def test_each_extract_is_known_by_all_its_names_in_any_case(form: str, extract: str, of: str) -> None:
    spelled = (extract, extract.lower(), extract.upper(), extract.swapcase())
    assert {dataset(form.format(name)) for name in spelled} == {of}


def test_the_alias_table_is_the_one_of_the_facts() -> None:
    assert {
        name: dataset(f"{name}_202508190544.parquet")
        for name in (
            "AppointmentMedicaitons", "AppointmentMedications", "Appointments", "InvoiceDetail", "Invoices", "Patient",
            "Patients", "Diagnosis", "Diagnoses", "Provider", "Providers", "Immunisation", "Measurements", "Allergies",
            "Recalls", "PracticeInfo", "Medicine",
        )
    } == {
        "AppointmentMedicaitons": "appointment_medications",
        "AppointmentMedications": "appointment_medications",
        "Appointments": "appointments",
        "InvoiceDetail": "invoice_details",
        "Invoices": "invoices",
        "Patient": "patients",
        "Patients": "patients",
        "Diagnosis": "diagnoses",
        "Diagnoses": "diagnoses",
        "Provider": "providers",
        "Providers": "providers",
        "Immunisation": "immunisations",
        "Measurements": "measurements",
        "Allergies": "allergies",
        "Recalls": "recalls",
        "PracticeInfo": "practice_info",
        "Medicine": "medicines",
    }  # fmt: skip


@pytest.mark.parametrize("order", [FEEDS, tuple(reversed(FEEDS))], ids=["declared", "reversed"])
@pytest.mark.parametrize(
    ("name", "of"),
    [("AppointmentMedications", "appointment_medications"), ("Appointments", "appointments"),
     ("InvoiceDetail", "invoice_details"), ("Invoice", "invoices")],
)  # fmt: skip
def test_a_name_that_begins_like_anothers_is_its_own_whichever_is_asked_first(
    order: tuple[object, ...], name: str, of: str
) -> None:
    found = understand(SENDER, order, f"indici/{name}_20250819054400.parquet", ARRIVAL).feed  # type: ignore[arg-type]  # a shuffled list
    assert found is BY_DATASET[of]


@pytest.mark.parametrize(
    "name",
    ["Inbox", "InboxDetail", "NextofKin", "PatientAlerts", "Vaccine", "AppointmentsMedication", "MyAppointments",
     "Appointments2", "Appointments_Old", ""],
)  # fmt: skip
def test_other_extracts_are_unknown_and_of_the_day_they_came(name: str) -> None:
    for form in ("{}_20250819054400.parquet", LONG):
        assert named(form.format(name)) == Named(None, dt.date(2025, 8, 20), ARRIVAL)


# ------------------------------------------------------------------------------------------ stamps


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("20250819054400", local(2025, 8, 19, 5, 44)),
        ("202508190544", local(2025, 8, 19, 5, 44)),
        ("2508190544", local(2025, 8, 19, 5, 44)),
        ("20250819T054412", local(2025, 8, 19, 5, 44, 12)),
        ("20250819_054412", local(2025, 8, 19, 5, 44, 12)),
        ("20250819T054412Z", dt.datetime(2025, 8, 19, 5, 44, 12, tzinfo=dt.UTC)),
        ("2025-08-19T05-44-12", local(2025, 8, 19, 5, 44, 12)),
        ("2025-08-19T05:44:12Z", dt.datetime(2025, 8, 19, 5, 44, 12, tzinfo=dt.UTC)),
        ("2025-08-19_054412", local(2025, 8, 19, 5, 44, 12)),
        ("2025-08-19T0544", local(2025, 8, 19, 5, 44)),
        ("2025-08-19", local(2025, 8, 19)),
        ("20250819", local(2025, 8, 19)),
    ],
)
@pytest.mark.parametrize("sequence", ["", "_1", "_0001"])
def test_every_width_of_stamp_with_and_without_a_sequence_number(text: str, stamp: dt.datetime, sequence: str) -> None:
    shift = dt.timedelta(microseconds=1 if sequence else 0)
    expected = Named(BY_DATASET["appointments"], dt.date(2025, 8, 19), stamp + shift)
    assert named(f"Appointments_{text}{sequence}.parquet") == expected


def test_the_long_form_has_two_widths_and_the_last_is_the_dumps_stamp() -> None:
    name = LONG.format("Appointments")
    assert named(name) == Named(BY_DATASET["appointments"], dt.date(2025, 8, 19), local(2025, 8, 19, 8, 50))


@pytest.mark.parametrize("name", [LONG.replace("_535_", "*535*"), LONG.replace("535", "5450"), f"{LONG}_0002.parquet"])
def test_the_long_form_as_its_description_varies_it(name: str) -> None:
    assert dataset(name.format("Appointments")) == "appointments"


def test_the_delivery_day_is_new_zealands_and_not_utcs() -> None:
    found = named("Appointments_20250819054400.parquet")
    assert (found.delivery_day, found.stamp.date()) == (dt.date(2025, 8, 19), dt.date(2025, 8, 18))


def test_a_stamp_in_utc_is_of_the_day_that_new_zealand_had_then() -> None:
    assert named("Appointments_20250819T214400Z.parquet").delivery_day == dt.date(2025, 8, 20)


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("20250406023000", dt.datetime(2025, 4, 5, 13, 30, tzinfo=dt.UTC)),  # comes twice: the first
        ("20250928023000", dt.datetime(2025, 9, 27, 14, 30, tzinfo=dt.UTC)),  # never comes: read as before the change
        ("20250928013000", dt.datetime(2025, 9, 27, 13, 30, tzinfo=dt.UTC)),
        ("20250928033000", dt.datetime(2025, 9, 27, 14, 30, tzinfo=dt.UTC)),
    ],
)
def test_stamps_on_the_days_of_a_clock_change(text: str, stamp: dt.datetime) -> None:
    assert named(f"Appointments_{text}.parquet").stamp == stamp


def test_several_files_of_one_stamp_are_ordered_by_their_sequence_numbers() -> None:
    stamps = [named(f"Medicines_20250819054400{part}.parquet").stamp for part in ("", "_0001", "_2", "_0010", "_9999")]
    assert stamps == sorted(set(stamps))


@given(stamp=st.datetimes(dt.datetime(2019, 1, 1), dt.datetime(2068, 12, 31)), width=st.sampled_from([10, 12, 14]))  # noqa: DTZ001 - what hypothesis takes
def test_any_minute_comes_back_from_its_name(stamp: dt.datetime, width: int) -> None:
    stamp = stamp.replace(second=0, microsecond=0)
    text = f"{stamp:%Y%m%d%H%M%S}"[:14] if width != 10 else f"{stamp:%y%m%d%H%M}"
    found = named(f"Recalls_{text[:width]}.parquet")
    assert (found.delivery_day, found.stamp) == (stamp.date(), stamp.replace(tzinfo=AUCKLAND).astimezone(dt.UTC))


@pytest.mark.parametrize(
    "text",
    ["20250231054400", "20251301054400", "20250819250000", "20250819056000", "202502310544", "2502310544", "20250231",
     "2025-02-31", "2025-08-19T25-00-00", "2025081905440", "202508", "2025-8-19", "20250819054400_12345",
     "20250819054400_", "20250819054400_a", "٢٠٢٥٠٨١٩٠٥٤٤٠٠", ""],
)  # fmt: skip
def test_a_stamp_that_the_calendar_does_not_have_or_of_another_width_is_unknown(text: str) -> None:
    assert dataset(f"Appointments_{text}.parquet") is None


@pytest.mark.parametrize("extracted", ["2502310850", "2508192550", "202508190850", "25081908"])
def test_a_long_form_without_a_true_time_of_extraction_is_unknown(extracted: str) -> None:
    assert dataset(LONG.format("Appointments").replace("2508190850", extracted)) is None


# ------------------------------------------------------------------------------------------ folders and endings


@pytest.mark.parametrize(
    "folder",
    ["C:/Jobs/indici_export/", "C:\\Jobs\\indici_export\\", "2025/08/19/", "dataset=Appointments/year=2025/month=08/",
     "Invoices_20250101000000.parquet/"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["Appointments_20250819054400.parquet", LONG.format("Appointments")])
def test_folders_below_the_prefix_change_nothing(folder: str, name: str) -> None:
    assert named(folder + name) == named(name)


@pytest.mark.parametrize(
    "name",
    ["Appointments_20250819054400.csv", "Appointments_20250819054400", "Appointments_20250819054400.parquet.gz",
     "Appointments_20250819054400.parquet/part-0", "Appointments.parquet", f"{LONG}.csv", f"{LONG}.txt",
     "Appointments_20250819054400.parquet\n"],
)  # fmt: skip
def test_what_is_no_parquet_file_by_its_name_is_unknown(name: str) -> None:
    assert dataset(name.format("Appointments")) is None


def test_the_ending_may_be_in_capitals() -> None:
    assert dataset("Appointments_20250819054400.PARQUET") == "appointments"


@pytest.mark.parametrize("name", ["._Appointments_20250819054400.parquet", "in_progress/Appointments_20250819.parquet"])
def test_decoys_are_ignored(name: str) -> None:
    assert is_ignored(SENDER, SENDER.prefix + name)


@given(text=st.text(st.sampled_from("0123456789TZ-:_/*\\.parquetAIn"), max_size=60), place=st.integers(0, 2))
def test_no_name_stops_a_listing(text: str, place: int) -> None:
    assert named(("{}", "Appointments_{}.parquet", "685146_535_Appointments_{}")[place].format(text)).delivery_day
