"""Valentia's daily Parquet deltas of Indici, the records of general practices: thirteen datasets.

What is public about Indici's extracts (feeds.md 4.1) was published by another receiver of them: names of columns, keys,
flags, and which extract has no UpdatedAt or IsDeleted. Everything else here is proposed, since no layout of these
Parquet files is public: types, rules, what happens to each personal column, which columns must be there, the time zone
(Pacific/Auckland), the hour by which a dump is due, the names `sctid`, `hba1c`, `medicine_type` and those of 4.2, and
all of invoice_details, immunisations, measurements, allergies, recalls, practice_info and medicines but keys and flags.

Left out on purpose: vocabularies, which are not public (a word longer than its kind is reported, and kept), and every
column that holds text written by people.

Belongs here: the sender, its file names and the list of feeds. The contracts are in the modules `_indici_*`.
"""

from __future__ import annotations

import datetime as dt

from claims_pipeline.feeds._indici_care import (
    Allergies,
    AppointmentMedications,
    Appointments,
    Diagnoses,
    Immunisations,
    Measurements,
    Recalls,
)
from claims_pipeline.feeds._indici_money import InvoiceDetails, Invoices
from claims_pipeline.feeds._indici_people import Medicines, Patients, PracticeInfo, Providers
from claims_pipeline.feeds._indici_reports import reports
from claims_pipeline.feeds.columns import FACTS
from claims_pipeline.feeds.contract import BiView, Calendar, Feed, FeedModel, Parquet, Sender, Source, Subject

SENDER = Sender(
    name="indici",
    title="Indici (Valentia)",
    timezone="Pacific/Auckland",
    prefix="indici/",
    start=dt.date(2025, 1, 1),
    calendar=Calendar(due=dt.time(10, 0)),
    owners=("team:practice-data",),
    reporting_schema="rpt",
    smallest_cell=6,
    rounding=3,
)

EXTRACTS = {
    "patients": ("Patient", "Patients"),
    "appointments": ("Appointment", "Appointments"),
    "appointment_medications": (
        "AppointmentMedication",
        "AppointmentMedications",
        "AppointmentMedicaitons",  # [sic] in the public description of the extracts
    ),
    "invoices": ("Invoice", "Invoices"),
    "invoice_details": ("InvoiceDetail", "InvoiceDetails"),
    "providers": ("Provider", "Providers"),
    "diagnoses": ("Diagnosis", "Diagnoses"),
    "immunisations": ("Immunisation", "Immunisations"),
    "measurements": ("Measurement", "Measurements"),
    "allergies": ("Allergy", "Allergies"),
    "recalls": ("Recall", "Recalls"),
    "practice_info": ("PracticeInfo",),
    "medicines": ("Medicine", "Medicines"),
}
"""By dataset, the names under which its files come; upper and lower case do not count."""

# YYYYMMDD alone, with HHMM or with HHMMSS, with or without dashes, colons, T, _ or Z; or YYMMDDHHMM. After an
# underscore six digits are a time, up to four are a sequence number.
_STAMP = (
    r"(?P<stamp>[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:T[0-9]{2}[-:]?[0-9]{2}(?:[-:]?[0-9]{2})?Z?|_[0-9]{2}[-:]?[0-9]{2}[-:]?[0-9]{2}Z?)?"
    r"|[0-9]{8}(?:[T_]?[0-9]{6}Z?|T?[0-9]{4}Z?)?|[0-9]{10})"
)
_SEQUENCE = r"(?:_(?P<sequence>[0-9]{1,4}))?"


def _file_names(dataset: str) -> tuple[str, ...]:
    r"""Names of one dataset's files, in any folder below the prefix; `C:\Jobs\` and the like are folders too.

    The name of the extract is a whole token, so `AppointmentMedications_...` is no appointment. The long form says its
    organisation, practice, time range and when it was extracted, which is its stamp; it may lack the extension.
    `.csv` and `.txt` files of the long form are another format, which no contract reads yet.
    """
    extract = rf"(?i:{'|'.join(EXTRACTS[dataset])})"
    return (
        rf"(?:^|[/\\]){extract}_{_STAMP}{_SEQUENCE}(?i:\.parquet)\Z",
        rf"(?:^|[/\\])[0-9]{{6}}[_*][0-9]{{3,4}}[_*]{extract}_[0-9]{{12}}_[0-9]{{12}}_(?P<stamp>[0-9]{{10}})"
        rf"{_SEQUENCE}(?i:\.parquet)?\Z",
    )


_RECEIVER = "albybott/poutiri-indici-ingest (docs/project-files/data-extract-Info.md)"


def _source(model: type[FeedModel]) -> Source:
    """What is public of an extract: its key and flags, as another receiver of Indici's extracts describes them."""
    flags = ("inserted_at", "updated_at", "is_active", "is_deleted", "is_confidential")
    facts = {name: schema.metadata[FACTS] for name, schema in model.to_schema().columns.items()}
    keys = tuple(name for name, column in facts.items() if column.key)
    return Source(
        f"Key and flags of the extract as another receiver describes them: {_RECEIVER}. The layout of Valentia's "
        "Parquet files is not public: all else is this project's proposal, names included; those of columns that are "
        "never read follow that description.",
        (*keys, *(name for name in flags if name in facts)),
    )


PATIENT = Subject(of="patients", by=("patient_id", "practice_id"), key=("patient_id", "practice_id"))


def _feed(
    dataset: str,
    model: type[FeedModel],
    *,
    version: str | None = "updated_at",
    soft_delete: str | None = "is_deleted",
    hidden_from_bi: tuple[str, ...] = (),
    bi: BiView | None = None,
    subject: Subject | None = PATIENT,
) -> Feed:
    return Feed(
        SENDER,
        dataset,
        model,
        _file_names(dataset),
        version=version,
        format=Parquet(),
        names="loose",
        soft_delete=soft_delete,
        hidden_from_bi=hidden_from_bi,
        bi=bi,
        subject=subject,
        source=_source(model),
        volume_tolerance=20.0,  # practices are closed at weekends, and a delta holds what they did
        empty_is_usual=True,  # "logs and skips" (indici-data.txt): some tables do not change for weeks
    )


FEEDS = (
    _feed(
        "patients",
        Patients,
        subject=Subject(tokens=("nhi_token",)),
        hidden_from_bi=("is_test_record",),
        bi=BiView(month_of="enrolment_month", by=("gender", "age_group")),
    ),
    _feed(
        "appointments",
        Appointments,
        hidden_from_bi=("is_confidential", "is_dummy"),
    ),
    _feed(
        "appointment_medications",
        AppointmentMedications,
        hidden_from_bi=("is_confidential",),
    ),
    _feed(
        "invoices",
        Invoices,
        soft_delete=None,  # the extract has no IsDeleted; an inactive row may also be one that was paid
    ),
    _feed(
        "invoice_details",
        InvoiceDetails,
        subject=Subject(
            of="invoices",
            by=("invoice_transaction_id", "practice_id"),
            key=("invoice_transaction_id", "practice_id"),
        ),
    ),
    _feed("providers", Providers, subject=Subject(tokens=("hpi_no_token", "nzmc_no_token"))),
    _feed(
        "diagnoses",
        Diagnoses,
        hidden_from_bi=("is_confidential",),
        bi=BiView(month_of="diagnosis_date", by=("disease",)),
    ),
    _feed(
        "immunisations",
        Immunisations,
        hidden_from_bi=("is_confidential",),
    ),
    _feed(
        "measurements",
        Measurements,
        hidden_from_bi=("is_confidential",),
        bi=BiView(month_of="screening_date", by=("screening_type",)),
    ),
    _feed("allergies", Allergies, hidden_from_bi=("is_confidential",)),
    _feed(
        "recalls",
        Recalls,
        hidden_from_bi=("is_confidential",),
        bi=BiView(month_of="recall_date", by=("recall_group", "is_contacted")),
    ),
    _feed("practice_info", PracticeInfo, version=None, subject=None),
    _feed("medicines", Medicines, version=None, subject=None),
)

REPORTS = reports(SENDER)
