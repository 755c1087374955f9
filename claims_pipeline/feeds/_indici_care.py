"""Contracts of what Indici records of care: appointments, and what came of them.

Belongs here: clinical datasets. Does not belong here: registers (`_indici_people`), money (`_indici_money`).

Coded care (a disease, a medicine, a vaccine) is kept and classed with what identifies only together with other facts,
as feeds.md 4.2 does: without it the tables would answer no question. What people wrote themselves is never read.
"""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from claims_pipeline.feeds._indici_columns import (
    SNOMED,
    UNKNOWN_DATE,
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
from claims_pipeline.feeds.contract import (
    BigInt,
    Boolean,
    Date,
    Integer,
    Keep,
    Money,
    Pii,
    SmallInt,
    Text,
    Timestamp,
    Token,
    column,
)

READ_CODE = r"^[0-9A-Za-z.]{1,7}$"  # case and dots count


@dropping(
    {
        Pii.DIRECT: "provider",
        Pii.SPECIAL: "reason_for_visit notes description parked_reason",
        Pii.NONE: """
            practice appointment_type_id appointment_outcome_id booking_source_id consult_timer_status_id
            last_appointment_status_id priority_id booked generated_time on_hold_time read_only_time
            self_assessment_completed_time self_assessment_queue_time triage_queue_time virtual_queue_time
        """,
    }
)
class Appointments(Changing):
    """One row per appointment, in the latest state."""

    appointment_id: BigInt = own_id("Appointment")
    practice_id: Text = practice()
    patient_id: BigInt = reference("Patient; none where time is only blocked")
    provider_id: BigInt = reference("Provider")
    appointment_type: Text = word("Kind")
    appointment_status: Text = word("State")
    status_group: Text = word("Group of states")
    schedule_date: Timestamp = column(
        "Planned for", pii=Pii.QUASI, treatment=Keep(), required=True, nullable=False, sentinels=UNKNOWN_DATE,
        local_copy=True,
    )  # fmt: skip
    start_time: Timestamp = moment("Begins at")
    end_time: Timestamp = moment("Ends at")
    arrived_time: Timestamp = moment("Patient arrived at")
    consult_start_time: Timestamp = moment("Consultation began at")
    consult_end_time: Timestamp = moment("Consultation ended at")
    cancelled_time: Timestamp = moment("Cancelled at")
    not_arrived_time: Timestamp = moment("Noted as not arrived at")
    last_appointment_status_date: Timestamp = moment("State last changed at")
    duration: Integer = minutes("Planned length, minutes")
    consult_time: Integer = minutes("Length of the consultation, minutes")
    gp_queue_time: Integer = minutes("Waited for the doctor, minutes")
    nurse_queue_time: Integer = minutes("Waited for the nurse, minutes")
    arrived: Boolean = mark("Arrived")
    is_arrived: Boolean = mark("Arrived, as the appointment book says")
    appointment_completed: Boolean = mark("Completed")
    is_consult_parked: Boolean = mark("Consultation is parked")
    waiting_for_payment: Boolean = mark("Waits for payment")
    is_consent_to_share: Boolean = mark("Agrees to sharing")
    appointment_outcome: Text = word("Outcome")
    booking_source: Text = word("Where it was booked")
    cancel_reason: Text = word("Why it was cancelled", treatment=Keep())
    practice_location_id: BigInt = reference("Location of the practice")
    location_name: Text = word("Location's name", treatment=Keep())
    is_dummy: Boolean = mark("No real appointment; left out of BI")
    is_confidential: Boolean = mark("Confidential; left out of BI", required=True)
    is_active: Boolean = mark("Active")
    is_deleted: Boolean = mark("Deleted by the sender; the row is kept", required=True)
    inserted_at: Timestamp = moment("Made at")
    updated_at: Timestamp = version()

    @pa.dataframe_check(name="end_not_before_start", raise_warning=True)
    def end_not_before_start(cls, df: pd.DataFrame) -> pd.Series:
        """An appointment ends after it began."""
        return (df["end_time"] >= df["start_time"]).fillna(value=True)


@dropping(
    {
        Pii.DIRECT: "provider printed_by specalist_name stopped_by mapped_by",
        Pii.SPECIAL: """
            directions comments medication_stop_reason override_reason recomendation_override_reason
            prescibed_externlay_desc reference_medication
        """,
        Pii.NONE: """
            task_id is_highlighted is_practicein_admin rx_scid is_mapped med_tech_drug_code med_tech_generic_name
            prescibed_externlay_id is_generic_substitution is_frequent_dispensed initial_dispense_period
            initial_dispense_period_type trial_period trial_type is_specalist_recomended recomendation_date
            is_endorsement_criteria is_provider_eligible_co_payment is_override is_task_generated show_on_portal
            patient_sa_record_id mapped_date is_variable_dose is_dose_change prescription_print_date substance_name
        """,
    }
)
class AppointmentMedications(Changing):
    """One row per prescribed medicine, in the latest state."""

    medication_id: BigInt = own_id("Prescribed medicine")
    practice_id: Text = practice()
    appointment_id: BigInt = reference("Appointment")
    patient_id: BigInt = reference("Patient", always=True)
    provider_id: BigInt = reference("Provider")
    medicine_id: BigInt = reference("Medicine")
    sctid: Text = coded("SNOMED CT number of the medicine", SNOMED, pii=Pii.QUASI)
    medicine_name: Text = word("Medicine's name", pii=Pii.QUASI, longest=500)
    strength: Text = word("Strength")
    form: Text = word("Form")
    take: Text = word("How much to take")
    frequency: Text = word("How often")
    daily_freq: Text = word("How often a day")
    route: Text = word("Route")
    duration: Integer = column("Length of the course, in units of duration_type", ge=0, raise_warning=True)
    duration_type: Text = word("Unit of the duration")
    start_date: Date = day("Course begins on")
    end_date: Date = day("Course ends on")
    stop_date: Date = day("Stopped on")
    expiry_date: Date = day("Prescription ends on")
    rx_date: Date = day("Prescribed on")
    repeats: Integer = column("Repeats", ge=0, raise_warning=True)
    quantity: Money = figure("Quantity")
    subsidy_amount: Money = figure("Subsidy, NZD")
    price: Money = figure("Price, NZD")
    rx_status: Text = word("State of the prescription")
    sa_status: Text = word("State of the special authority")
    sa_number: Text = column("Number of the special authority", pii=Pii.DIRECT, treatment=Token(), invalid="null")
    prescription_no: Text = column("Number of the prescription", pii=Pii.DIRECT, treatment=Token(), invalid="null")
    mims_code: Text = word("MIMS code")
    is_long_term: Boolean = mark("Long-term")
    is_prescribed_externally: Boolean = mark("Prescribed by others")
    is_stopped: Boolean = mark("Stopped")
    is_dispense: Boolean = mark("Dispensed")
    is_trial: Boolean = mark("A trial")
    stopped_reason: Text = word("Why it was stopped", treatment=Keep())
    printed_at: Timestamp = moment("Prescription printed at")
    practice_location_id: BigInt = reference("Location of the practice")
    location_name: Text = word("Location's name", treatment=Keep())
    is_confidential: Boolean = mark("Confidential; left out of BI", required=True)
    is_active: Boolean = mark("Active")
    is_deleted: Boolean = mark("Deleted by the sender; the row is kept", required=True)
    inserted_at: Timestamp = moment("Made at")
    updated_at: Timestamp = version()

    @pa.dataframe_check(name="end_not_before_start", raise_warning=True)
    def end_not_before_start(cls, df: pd.DataFrame) -> pd.Series:
        """A course ends on the day it begins or later."""
        return (df["end_date"] >= df["start_date"]).fillna(value=True)


@dropping(
    {
        Pii.DIRECT: "diagnosis_by",
        Pii.SPECIAL: "summary classification_record",
        Pii.NONE: """
            sequence_no diagnosis_type_id med_tech_read_term is_mapped practice recall_id recall show_on_portal
            ext_appointment_id
        """,
    }
)
class Diagnoses(Changing):
    """One row per diagnosis of a patient, in the latest state."""

    diagnosis_id: BigInt = own_id("Diagnosis")
    practice_id: Text = practice()
    appointment_id: BigInt = reference("Appointment")
    patient_id: BigInt = reference("Patient")
    diagnosis_by_id: BigInt = reference("Provider who diagnosed")
    disease_id: BigInt = reference("Disease")
    disease: Text = word("Disease", pii=Pii.QUASI, longest=500)
    diagnosis_type: Text = word("Kind of diagnosis", treatment=Keep())
    diagnosis_date: Date = day("Diagnosed on")
    on_set_date: Date = day("Began on")
    exclusion_start_date: Date = day("Excluded from")
    exclusion_end_date: Date = day("Excluded to")
    snomed_id: Text = coded("SNOMED CT number of the description", SNOMED, pii=Pii.QUASI)
    concept_id: Text = coded("SNOMED CT number of the concept", SNOMED, pii=Pii.QUASI)
    snomed_term: Text = word("SNOMED CT term", pii=Pii.QUASI, longest=500)
    med_tech_read_code: Text = coded("Read code; case and dots count", READ_CODE, pii=Pii.QUASI)
    is_long_term: Boolean = mark("Long-term")
    add_to_problem: Boolean = mark("On the list of problems")
    is_highlighted: Boolean = mark("Highlighted")
    practice_location_id: BigInt = reference("Location of the practice")
    location_name: Text = word("Location's name", treatment=Keep())
    is_confidential: Boolean = mark("Confidential; left out of BI", required=True)
    is_active: Boolean = mark("Active")
    is_deleted: Boolean = mark("Deleted by the sender; the row is kept", required=True)
    inserted_at: Timestamp = moment("Made at")
    updated_at: Timestamp = version()


@dropping(
    {
        Pii.DIRECT: "provider vaccinator vaccinator_code",
        Pii.SPECIAL: "comments reason",
        Pii.NONE: """
            patient_schedule_id administration_site_id route_id immunisation_status_id vaccine_out_come_id
            vaccine_indication_id needle_length has_diluent diluent_batch_no diluent_expiry_date costing_code_id
            costing_code brand_id is_parked practice is_auto_bill nir_sent_date show_on_portal vaccine_group_id
        """,
    }
)
class Immunisations(Changing):
    """One row per immunisation of a patient, given or not, in the latest state."""

    appointment_immunisation_id: BigInt = own_id("Immunisation")
    practice_id: Text = practice()
    patient_id: BigInt = reference("Patient")
    appointment_id: BigInt = reference("Appointment")
    provider_id: BigInt = reference("Provider")
    vaccinator_id: BigInt = reference("Provider who gave it")
    vaccine_id: BigInt = reference("Vaccine")
    vaccine_name: Text = word("Vaccine's name", treatment=Keep(), longest=200)
    vaccine_code: Text = word("Vaccine's code")
    vaccine_group: Text = word("Vaccine's group")
    vaccine_indication: Text = word("Indication", pii=Pii.QUASI)
    vaccine_indication_code: Text = word("Indication's code", pii=Pii.QUASI)
    brand: Text = word("Brand")
    batch_number: Text = word("Batch")
    expiry_date: Date = day("Batch ends on")
    dose: Text = word("Dose")
    dose_number: SmallInt = column("Which dose", invalid="null", in_range={"min_value": 0, "max_value": 100})
    route: Text = word("Route")
    administration_site: Text = word("Where on the body")
    administration_time: Timestamp = moment("Given at")
    immunisation_status: Text = word("State")
    vaccine_outcome: Text = word("Outcome")
    is_nir_ack: Boolean = mark("Acknowledged by the National Immunisation Register")
    practice_location_id: BigInt = reference("Location of the practice")
    location_name: Text = word("Location's name", treatment=Keep())
    is_confidential: Boolean = mark("Confidential; left out of BI", required=True)
    is_active: Boolean = mark("Active")
    is_deleted: Boolean = mark("Deleted by the sender; the row is kept", required=True)
    inserted_at: Timestamp = moment("Made at")
    updated_at: Timestamp = version()


@dropping(
    {
        Pii.DIRECT: "provider_name provider_code",
        Pii.SPECIAL: "notes outcome_description " + " ".join(f"field{n}" for n in range(1, 101)),
        Pii.NONE: """
            practice care_plan_id care_plane_name is_gp2gp is_patient_portal is_showon_time_line
            screening_source_type_id service_template_id service_template_name
        """,
    }
)
class Measurements(Changing):
    """One row per measurement or screening of a patient, in the latest state; its form's 100 fields are not read."""

    screening_id: BigInt = own_id("Measurement or screening", aliases=("screaning_id",))
    practice_id: Text = practice()
    patient_id: BigInt = reference("Patient", always=True)
    appointment_id: BigInt = reference("Appointment")
    provider_id: BigInt = reference("Provider")
    screening_date: Date = day("Measured on")
    scn_code: Text = word("Code")
    screening_type_id: BigInt = reference("Kind, by number")
    screening_type: Text = word("Kind", pii=Pii.QUASI)
    screening_group: Text = word("Group of kinds", pii=Pii.QUASI)
    outcome: Text = word("Outcome", pii=Pii.SPECIAL)
    score: Money = column("Score", pii=Pii.SPECIAL, treatment=Keep(), invalid="null")
    hba1c: Money = column("HbA1c", pii=Pii.SPECIAL, treatment=Keep(), invalid="null", aliases=("hbaic",))
    practice_location_id: BigInt = reference("Location of the practice")
    location_name: Text = word("Location's name", treatment=Keep())
    is_confidential: Boolean = mark("Confidential; left out of BI", required=True)
    is_active: Boolean = mark("Active")
    is_deleted: Boolean = mark("Deleted by the sender; the row is kept", required=True)
    inserted_at: Timestamp = moment("Made at")
    updated_at: Timestamp = version()


@dropping(
    {
        Pii.DIRECT: "patient provider",
        Pii.SPECIAL: "reactions reaction_notes comment deactivation_reason other_substance",
        Pii.NONE: """
            allergy_type_id reaction_id reaction_type_id severity_id practice mgencode mclacode
            medicine_classification_id allergy_category_id substance_type_id favourite_substance_id medicine_type_id
            show_on_portal row_inactive
        """,
    }
)
class Allergies(Changing):
    """One row per allergy or intolerance of a patient, in the latest state."""

    allergy_id: BigInt = own_id("Allergy")
    practice_id: Text = practice()
    patient_id: BigInt = reference("Patient", always=True)
    appointment_id: BigInt = reference("Appointment")
    provider_id: BigInt = reference("Provider")
    allergy_type: Text = word("Kind")
    allergy_category: Text = word("Category")
    onset_date: Date = day("Began on")
    medicine_id: BigInt = reference("Medicine")
    medicine: Text = word("Medicine's name", pii=Pii.QUASI, longest=500)
    medicine_type: Text = word("Kind of medicine")
    substance_type: Text = word("Kind of substance", pii=Pii.QUASI)
    favourite_substance: Text = word("Substance", pii=Pii.QUASI, longest=200)
    disease_id: BigInt = reference("Disease")
    disease: Text = word("Disease", pii=Pii.QUASI, longest=500)
    reaction_type: Text = word("Kind of reaction", pii=Pii.QUASI)
    severity: Text = word("Severity", pii=Pii.QUASI)
    warning_type: Text = word("Kind of warning")
    is_reviewed: Boolean = mark("Reviewed")
    practice_location_id: BigInt = reference("Location of the practice")
    location_name: Text = word("Location's name", treatment=Keep())
    is_confidential: Boolean = mark("Confidential; left out of BI", required=True)
    is_active: Boolean = mark("Active")
    is_deleted: Boolean = mark("Deleted by the sender; the row is kept", required=True)
    inserted_at: Timestamp = moment("Made at")
    updated_at: Timestamp = version()


@dropping({Pii.SPECIAL: "notes recall_reason", Pii.NONE: "practice show_on_patient_portal"})
class Recalls(Changing):
    """One row per recall of a patient (an invitation to come again), in the latest state."""

    recall_id: BigInt = own_id("Recall")
    practice_id: Text = practice()
    patient_id: BigInt = reference("Patient", always=True)
    provider_id: BigInt = reference("Provider")
    recall_date: Date = day("Due on")
    recall_group: Text = word("Group")
    screening_type: Text = word("Kind of screening", pii=Pii.QUASI)
    code: Text = word("Code")
    scn_code: Text = word("Screening's code")
    vaccine: Text = word("Vaccine")
    vaccine_group: Text = word("Vaccine's group")
    recall_attempts: Integer = column("Attempts to reach the patient", invalid="null", ge=0, raise_warning=True)
    is_contacted: Boolean = mark("Reached")
    is_canceled: Boolean = mark("Cancelled")
    is_confidential: Boolean = mark("Confidential; left out of BI", required=True)
    is_active: Boolean = mark("Active")
    is_deleted: Boolean = mark("Deleted by the sender; the row is kept", required=True)
    inserted_at: Timestamp = moment("Made at")
    updated_at: Timestamp = version()
