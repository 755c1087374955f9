"""Contracts of what Indici bills: invoices and their lines.

Belongs here: money. Does not belong here: what was done for it (`_indici_care`).
"""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from claims_pipeline.feeds._indici_columns import (
    DOMICILE,
    Changing,
    coded,
    day,
    dropping,
    figure,
    mark,
    minutes,
    moment,
    own_id,
    practice,
    reference,
    version,
    word,
)
from claims_pipeline.feeds.contract import BigInt, Boolean, Date, Integer, Keep, Money, Pii, Text, Timestamp, column


@dropping({Pii.DIRECT: "income_provider provider", Pii.SPECIAL: "description claim_notes notes"})
class Invoices(Changing):
    """One row per invoice or payment, in the latest state; the extract does not say what was deleted, only inactive."""

    invoice_transaction_id: BigInt = own_id("Invoice or payment")
    practice_id: Text = practice()
    patient_id: BigInt = reference("Patient", always=True)
    provider_id: BigInt = reference("Provider")
    ac_date: Date = day("Date in the accounts")
    transaction_type: Text = word("Kind of transaction")
    payment_mode: Text = word("Way of payment")
    total_amount: Money = column("Amount, NZD; credits are negative")
    unpaid_amount: Money = column("Of this unpaid, NZD; credits are negative")
    invoice_payment_no: Text = word("Number of the invoice or payment", pii=Pii.PSEUDONYMOUS, longest=32)
    domicile_code: Text = coded("Domicile (area of the patient's home)", DOMICILE, pii=Pii.QUASI)
    practice_location_id: BigInt = reference("Location of the practice")
    location_name: Text = word("Location's name", treatment=Keep())
    is_active: Boolean = mark("Active; the only sign of a deletion", required=True)
    inserted_at: Timestamp = moment("Made at")
    updated_at: Timestamp = version()

    @pa.dataframe_check(name="unpaid_not_above_total", raise_warning=True)
    def unpaid_not_above_total(cls, df: pd.DataFrame) -> pd.Series:
        """No more is owed than was charged, nor credited than was granted."""
        return (df["unpaid_amount"].abs() <= df["total_amount"].abs()).fillna(value=True)


@dropping(
    {
        Pii.SPECIAL: """
            comments description master_service_description sub_service_description case_no billing_ref_id
            billing_referral_id
        """,
        Pii.NONE: """
            master_service_sub_service_id appointment_service_id sequence_no billing_claim_status_id is_common_service
        """,
    }
)
class InvoiceDetails(Changing):
    """One row per line of an invoice, in the latest state."""

    invoice_detail_id: BigInt = own_id("Line")
    practice_id: Text = practice()
    invoice_transaction_id: BigInt = reference("Invoice", always=True)
    quantity: Money = figure("How many")
    claim_amount: Money = column("Claimed from the funder, NZD")
    co_payment: Money = column("Paid by the patient, NZD")
    gross_claim_amount: Money = column("Claimed from the funder, NZD, with GST")
    gross_co_payment: Money = column("Paid by the patient, NZD, with GST")
    is_billing_amount: Boolean = mark("Is billed")
    is_funded: Boolean = mark("Is funded")
    funder_id: BigInt = reference("Funder")
    funder_name: Text = word("Funder's name", treatment=Keep())
    contract_service_id: BigInt = reference("Service of the funder's contract")
    contract_service_name: Text = word("Its name", treatment=Keep(), longest=200)
    submission_status: Text = word("State of the claim")
    master_service_code: Text = word("Service's general code")
    master_service_name: Text = word("Service's general name", treatment=Keep(), longest=200)
    service_code: Text = word("Service's code")
    service_name: Text = word("Service's name", treatment=Keep(), longest=200)
    service_code_for_claim: Text = word("Service's code in the claim")
    fee_code: Text = word("Fee's code")
    code: Text = word("Line's code")
    duration: Integer = minutes("Length of the service, minutes")
    is_active: Boolean = mark("Active")
    is_deleted: Boolean = mark("Deleted by the sender; the row is kept", required=True)
    inserted_at: Timestamp = moment("Made at")
    updated_at: Timestamp = version()
