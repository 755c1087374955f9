"""Contracts of Indici's registers: patients, providers, practices and medicines.

Belongs here: who and what the other datasets refer to. Does not belong here: what happened (`_indici_care`) and what
was paid (`_indici_money`).
"""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from claims_pipeline.feeds._indici_columns import (
    DOMICILE,
    SNOMED,
    UNKNOWN_DATE,
    Changing,
    coded,
    day,
    dropping,
    mark,
    moment,
    month,
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
    FeedModel,
    Flag,
    Keep,
    Money,
    Pii,
    Reduce,
    Reduction,
    SmallInt,
    Text,
    Timestamp,
    Token,
    column,
)
from claims_pipeline.feeds.nhi import is_valid_nhi

AGE_GROUP = r"^[0-9]{2}(-[0-9]{2}|\+)$"
ETHNICITY = r"^[0-9]{2}$"  # level 2 of the classification; its first digit is level 1


@dropping(
    {
        Pii.DIRECT: """
            title first_name middle_name family_name full_name preferred_name other_maiden_name picture_path
            cell_number day_phone night_phone email secondary_email extention
            permanent_address permanent_address_house_number permanent_address_building_number
            permanent_address_street_number permanent_address_suburb_town_id permanent_address_suburb
            permanent_address_city_area_id permanent_address_city permanent_address_postal_code
            permanent_address_country_id permanent_address_country permanent_address_match_score
            permanent_address_uncertainty_code permanent_address_meshblock meshblock temporary_address
            postal_address postal_address_house_number postal_address_building_number postal_address_street_number
            postal_address_suburb_town_id postal_address_suburb postal_address_city_area_id postal_address_city
            postal_address_postal_code postal_address_latitude postal_address_longitude postal_address_country_id
            postal_address_country postal_address_dhb_code postal_address_domicile_code
            postal_address_deprivation_quintile postal_address_deprivation_decile postal_address_meshblock
            postal_address_match_score postal_address_uncertainty_code
            community_service_card_no community_service_card_exipry_date health_card_no health_card_expiry_date winz
            account_holder account_holder_employer emergency_contact emergency_contact_name secondary_contact
            secondary_contact_name med_tech_nok chart_number patient_pho_id provider_name enrolment_verifier
        """,
        Pii.SPECIAL: """
            notes practice_remarks insured_remarks transfer_of_records_remarks high_care_reason nes_comments
            rejection_reason is_high_care is_care_plan is_premature premature_week breast_screen_id breast_screen
            is_bp_graph is_bmi_graph is_inr_graph is_hba1c_graph is_height_graph is_weight_graph is_hc_graph
            is_heart_rate asr_mark_status is_gender_self_identified sex_related_gender
        """,
        Pii.QUASI: """
            age age_type dob_source marital_status_id marital_status gender_id place_of_birth country_of_birth_id
            country_of_birth ethnicity_id ethnicity secondary_ethnicity_id secondary_ethnicity other_ethnicity_id
            other_ethnicity occupation residential_status is_worked_visa_required is_work_visa work_visa_start_date
            work_visa_expiry_date permanent_address_deprivation_decile is_insured last_statement_date
            last_invoice_date last_payment_date funding_from funding_to consult_updated_at care_plus_start_date
            care_plus_enddate
        """,
        Pii.NONE: """
            med_tech_balance med_tech_date_last_pay med_tech_date_last_stmt med_tech_balance_date calculated_balance
            register_status_id practice_name practice_location community_service_card_sighted health_card_sighted
            is_transfer_of_records enrolment_id enrolment_type enrolment_status_id enrolment_method enrolment_quarter
            funding_status_id account_group account_holder_type_id gms_code is_nka is_new_registeration is_opt_off
            portal_registration_status pho_name patient_type consented_to_share apply_charges include_in_print
            is_careplus care_plus_linc_status_id care_plus_linc_status nhi_status_id
        """,
    }
)
class Patients(Changing):
    """One row per patient of a practice, in the latest state."""

    patient_id: BigInt = own_id("Patient")
    practice_id: Text = practice()
    nhi_number: Text = column(
        "National Health Index number; a person's may change", pii=Pii.DIRECT, invalid="null",
        treatment=Token(into="nhi_token", family="nhi", upper=True),
        flag=Flag("nhi_valid", is_valid_nhi, "Whether the NHI number is well formed and its check character right"),
    )  # fmt: skip
    is_nhi_validate: Boolean = mark("Indici says that the NHI number was validated; its check character may be wrong")
    nhi_status: Text = word("State of the NHI number's validation", treatment=Keep())
    gender: Text = word("Gender", pii=Pii.QUASI)
    dob: Date = column(
        "Date of birth", pii=Pii.DIRECT, treatment=Reduce(Reduction.BIRTH_YEAR, into="birth_year"),
        sentinels=UNKNOWN_DATE, invalid="null",
    )  # fmt: skip
    age_group: Text = column(
        "Age group, derived by the sender on the day of the dump", pii=Pii.QUASI, treatment=Keep(), hashed=False,
        str_matches=AGE_GROUP, raise_warning=True,
    )  # fmt: skip
    is_alive: Boolean = mark("Alive", pii=Pii.QUASI)
    death_date: Date = column(
        "Date of death", pii=Pii.DIRECT, treatment=Reduce(Reduction.YEAR, into="death_year"), sentinels=UNKNOWN_DATE,
        invalid="null",
    )  # fmt: skip
    ethcode: Text = coded("Ethnicity, first, level 2", ETHNICITY, pii=Pii.QUASI)
    ethcode2: Text = coded("Ethnicity, second, level 2", ETHNICITY, pii=Pii.QUASI)
    ethcode3: Text = coded("Ethnicity, third, level 2", ETHNICITY, pii=Pii.QUASI)
    domicile_code: Text = coded(
        "Domicile (area of the home)", DOMICILE, pii=Pii.QUASI, aliases=("permanent_address_domicile_code",)
    )
    dhb_code: Text = word("District of the home", pii=Pii.QUASI, longest=8, aliases=("permanent_address_dhb_code",))
    deprivation_quintile: SmallInt = column(
        "Deprivation of the area of the home, 5 most", pii=Pii.QUASI, treatment=Keep(), invalid="null",
        aliases=("permanent_address_deprivation_quintile",), in_range={"min_value": 1, "max_value": 5},
        raise_warning=True,
    )  # fmt: skip
    enrolment_status: Text = word("Enrolment")
    funding_status: Text = word("Funding")
    register_status: Text = word("Registration")
    nes_status: Text = word("State in the National Enrolment Service")
    enrolment_date: Date = month("Enrolled on", into="enrolment_month")
    enrolment_end_date: Date = month(
        "Enrolment ends on", into="enrolment_end_month", aliases=("enrolment_expiry_date",)
    )
    registration_date: Date = month("Registered on", into="registration_month")
    is_community_service_card: Boolean = mark("Holds a Community Services Card", pii=Pii.QUASI)
    is_health_card: Boolean = mark("Holds a High Use Health Card", pii=Pii.QUASI)
    balance: Money = column("Balance of the account, NZD", pii=Pii.QUASI, treatment=Keep())
    smoking_type: Text = word("Smoking", pii=Pii.SPECIAL)
    is_pregnant: Boolean = mark("Pregnant", pii=Pii.SPECIAL)
    preferred_contact_method: Text = word("Preferred way of contact")
    consent_text_messaging: Boolean = mark("Agrees to text messages")
    is_consent_to_share: Boolean = mark("Agrees to sharing")
    is_portal_user: Boolean = mark("Uses the patient portal")
    provider_id: BigInt = reference("Provider that the patient is registered with")
    is_test_record: Boolean = mark("A test, no person; left out of BI")
    is_active: Boolean = mark("Active")
    is_deleted: Boolean = mark("Deleted by the sender; the row is kept", required=True)
    inserted_at: Timestamp = moment("Made at")
    updated_at: Timestamp = version()

    @pa.dataframe_check(name="death_not_before_birth", raise_warning=True)
    def death_not_before_birth(cls, df: pd.DataFrame) -> pd.Series:
        """Nobody dies before being born."""
        return (df["death_date"] >= df["dob"]).fillna(value=True)


@dropping(
    {
        Pii.DIRECT: """
            nhi_number is_nhi_validate title first_name middle_name family_name full_name preferred_name
            other_maiden_name marital_status gender dob age age_type age_group is_alive death_date dob_source
            picture_path consented_to_share place_of_birth country_of_birth cell_number day_phone night_phone email
            secondary_email preferred_contact_method consent_text_messaging is_portal_user is_same_address
            is_gender_self_identified sex_related_gender is_worked_visa_required med_tech_nok permanent_address
            postal_address temporary_address city suburb deprivation_quintile uncertainty_code ethnicity
            provider_permanent_address_latitude provider_permanent_address_longitude npi_no registeration_no
            provider_code apc_name sure_med_user_name unload_ref member_no lab_no lab_tests_dr_id accreditation_no
        """,
        Pii.SPECIAL: """
            notes balance calculated_balance hbl_payee_no hbl_mat_payee_no rha_payee_no pin_pan_no budget_no
        """,
        Pii.NONE: """
            register_status portal_registration_status affiliation_id affiliation affiliation_code hbl_mat_agree_no
            hpac_mat_agree_no hpac_mat_agree_ver hbl_gp_agree_no hbl_gp_agree_ver pho_contract_no pho_contract_ver
            group_id group_name acc_provider_code acc_provider_no acc_vendor_id health_facility_no ipa color_code
            acc45_prefix next_acc45_no maximum_acc45_no aitc_prefix next_aitc_no maximum_aitc_no
            arc18_next_acc_form_no m45_prefix next_m45_no maximum_m45_no is_nzf_avoid is_nzf_adjust
            is_nzf_information is_nzf_no_action is_nzf_monitor generic_profile_type_id current_appointment_id
            is_invoicing_diary is_gp2gp from_date_practice mps_expiry_date practice_location
        """,
    }
)
class Providers(Changing):
    """One row per provider (doctor, nurse or other staff) of a practice, in the latest state.

    `RegisterationNo` [sic] is delivered twice (feeds.md 4.1): it is not read, so it does not matter which is right.
    """

    provider_id: BigInt = own_id("Provider")
    practice_id: Text = practice()
    practice_name: Text = word("Practice's name", treatment=Keep())
    user_role: Text = word("Role", treatment=Keep())
    is_doctor: Boolean = mark("A doctor")
    nzmc_no: Text = column("Medical Council number", pii=Pii.DIRECT, treatment=Token(), invalid="null")
    hpi_no: Text = column("Health Provider Index number", pii=Pii.DIRECT, treatment=Token(), invalid="null")
    apc_expiry_date: Date = day("Practising certificate ends on")
    is_active: Boolean = mark("Active")
    is_deleted: Boolean = mark("Deleted by the sender; the row is kept", required=True)
    inserted_at: Timestamp = moment("Made at")
    updated_at: Timestamp = version()


@dropping(
    {
        Pii.DIRECT: """
            primary_phone secondary_phone other_phone after_hours_number emergency_number pager fax1 fax2
            primary_email secondary_email other_email
        """,
        Pii.SPECIAL: "bank_account_no comments",
        Pii.NONE: """
            edi_account legal_entity_title incorporation_number legal_date formula hpi_facility_ext
            hpi_organization_ext gst_no acc_no moh_sending_practice_id
        """,
    }
)
class PracticeInfo(FeedModel):
    """One row per practice, in the latest state; without the time of its last change."""

    practice_id: Text = practice()
    practice_name: Text = word("Name", treatment=Keep())
    practice_category: Text = word("Category")
    practice_speciality: Text = word("Speciality")
    pho: Text = word("Primary health organisation")
    organization_type: Text = word("Kind of organisation")
    org_short_name: Text = word("Short name", treatment=Keep())
    org_code: Text = word("Code of the organisation")
    legal_status: Text = word("Legal form")
    ownership_model: Text = word("Ownership")
    rural: Boolean = mark("Rural")
    health_facility_no: Text = word("Health facility number")
    hpi_facility_no: Text = word("HPI facility number")
    hpi_organization_id: Text = word("HPI organisation number")
    is_active: Boolean = mark("Active")
    is_deleted: Boolean = mark("Deleted by the sender; the row is kept", required=True)


@dropping({})
class Medicines(FeedModel):
    """One row per medicine of the catalogue, in the latest state; without the time of its last change."""

    medicine_id: BigInt = own_id("Medicine")
    practice_id: Text = practice()
    medicine_name: Text = word("Name", treatment=Keep(), longest=500)
    medicine_short_name: Text = word("Short name", treatment=Keep(), longest=500)
    sctid: Text = coded("SNOMED CT number", SNOMED)
    medicine_type: Text = word("Kind", aliases=("type",))
    pharma_code: Text = word("Pharmacode")
    is_active: Boolean = mark("Active")
    is_deleted: Boolean = mark("Deleted by the sender; the row is kept", required=True)
