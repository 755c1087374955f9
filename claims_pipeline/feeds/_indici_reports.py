"""What is asked of the practices' records: appointments, medications, immunisations and invoices per month.

Belongs here: facts of reports, in SQL over the tables. Does not belong here: their protection, and reports that
follow from a contract alone (`BiView`).

Left out everywhere: rows that Indici marks as deleted or confidential, and those of patients that are tests.
"""

from __future__ import annotations

from claims_pipeline.feeds.contract import Sender
from claims_pipeline.feeds.reports import Report

_PERSON = "coalesce(p.nhi_token, t.patient_id || '/' || t.practice_id)"
_PRACTICE = "coalesce(i.practice_name || ' (' || t.practice_id || ')', t.practice_id)"
_PATIENTS = "left join indici.patients p on (p.patient_id, p.practice_id) = (t.patient_id, t.practice_id)"
_PRACTICES = "left join indici.practice_info i on i.practice_id = t.practice_id"
_SHOWN = "t.is_deleted is not true and t.is_confidential is not true and p.is_test_record is not true"


def reports(sender: Sender) -> tuple[Report, ...]:
    """The reports of Indici's practices."""
    zone = sender.timezone
    return (
        Report(
            sender, "appointments_per_month",
            "Appointments of patients by the month for which they were planned.",
            population="appointments", counted="appointments", reads=("appointments", "patients", "practice_info"),
            groups=("practice", "status"),
            facts=f"select (t.schedule_date at time zone '{zone}')::date as day, {_PERSON} as person,"  # noqa: S608 - constants
            f" {_PRACTICE} as practice, t.appointment_status as status"
            f" from indici.appointments t {_PATIENTS} {_PRACTICES}"
            # Without a patient only time is blocked.
            f" where {_SHOWN} and t.is_dummy is not true and t.patient_id is not null",
        ),
        Report(
            sender, "medications_per_month", "Medications by the month in which they were prescribed.",
            population="medications", counted="medications", reads=("appointment_medications", "patients"),
            groups=("medicine",),
            facts=f"select t.rx_date as day, {_PERSON} as person, t.medicine_name as medicine"  # noqa: S608 - constants
            f" from indici.appointment_medications t {_PATIENTS} where {_SHOWN}",
        ),
        Report(
            sender, "immunisations_per_month", "Immunisations by the month in which they were given.",
            population="immunisations", counted="immunisations", reads=("immunisations", "patients"),
            groups=("vaccine", "status"),
            facts=f"select (t.administration_time at time zone '{zone}')::date as day,"  # noqa: S608 - constants
            f" coalesce({_PERSON}, t.appointment_immunisation_id || '/' || t.practice_id) as person,"
            " t.vaccine_name as vaccine, t.immunisation_status as status"
            f" from indici.immunisations t {_PATIENTS} where {_SHOWN}",
        ),
        Report(
            sender, "invoices_per_month", "Invoices and payments by month of the accounts, and their amounts in NZD.",
            population="invoices", counted="invoices", reads=("invoices", "patients", "practice_info"),
            groups=("practice", "transaction_type", "payment_mode"), sums=("total_amount", "unpaid_amount"),
            # The extract does not say what was deleted; an inactive row may also be one that was paid.
            facts=f"select t.ac_date as day, {_PERSON} as person, {_PRACTICE} as practice,"  # noqa: S608 - constants
            " t.transaction_type, t.payment_mode, t.total_amount, t.unpaid_amount"
            f" from indici.invoices t {_PATIENTS} {_PRACTICES} where p.is_test_record is not true",
        ),
    )  # fmt: skip
