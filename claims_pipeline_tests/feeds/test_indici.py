"""Indici's contracts against the published facts, written out; and nothing that identifies a person is kept."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

import pyarrow as pa
import pytest

from claims_pipeline.definitions import build_definitions
from claims_pipeline.feeds import Feed, all_feeds, feed_named, feeds_of
from claims_pipeline.feeds.contract import Column, Drop, Keep, Parquet, Pii, Reduce, Reduction, Token
from claims_pipeline.feeds.indici import EXTRACTS, SENDER
from claims_pipeline.frames.validate import Rules

FEEDS = feeds_of("indici")
EACH = pytest.mark.parametrize("feed", FEEDS, ids=[feed.dataset for feed in FEEDS])


@dataclass(frozen=True)
class Extract:
    """A line of the table of published facts (feeds.md 4.1)."""

    key: str  # as the extract spells it
    updated_at: bool = True
    is_deleted: bool = True
    is_confidential: bool = False
    stored_key: str = ""


PUBLISHED = {
    "patients": Extract("PatientID", stored_key="patient_id"),
    "appointments": Extract("AppointmentID", is_confidential=True, stored_key="appointment_id"),
    "appointment_medications": Extract("MedicationID", is_confidential=True, stored_key="medication_id"),
    "invoices": Extract("InvoiceTransactionID", is_deleted=False, stored_key="invoice_transaction_id"),
    "invoice_details": Extract("InvoiceDetailID", stored_key="invoice_detail_id"),
    "providers": Extract("ProviderID", stored_key="provider_id"),
    "diagnoses": Extract("DiagnosisID", is_confidential=True, stored_key="diagnosis_id"),
    "immunisations": Extract(
        "AppointmentImmunisationID", is_confidential=True, stored_key="appointment_immunisation_id"
    ),
    "measurements": Extract("ScreaningID", is_confidential=True, stored_key="screening_id"),
    "allergies": Extract("AllergyID", is_confidential=True, stored_key="allergy_id"),
    "recalls": Extract("ReCallID", is_confidential=True, stored_key="recall_id"),
    "practice_info": Extract("PracticeID", updated_at=False, stored_key="practice_id"),
    "medicines": Extract("MedicineID", updated_at=False, stored_key="medicine_id"),
}

STORED = {
    "patients": """
        patient_id practice_id nhi_token nhi_valid is_nhi_validate nhi_status gender birth_year age_group is_alive
        death_year ethcode ethcode2 ethcode3 domicile_code dhb_code deprivation_quintile enrolment_status
        funding_status register_status nes_status enrolment_month enrolment_end_month registration_month
        is_community_service_card is_health_card balance smoking_type is_pregnant preferred_contact_method
        consent_text_messaging is_consent_to_share is_portal_user provider_id is_test_record is_active is_deleted
        inserted_at updated_at
    """,
    "appointments": """
        appointment_id practice_id patient_id provider_id appointment_type appointment_status status_group
        schedule_date start_time end_time arrived_time consult_start_time consult_end_time cancelled_time
        not_arrived_time last_appointment_status_date duration consult_time gp_queue_time nurse_queue_time arrived
        is_arrived appointment_completed is_consult_parked waiting_for_payment is_consent_to_share
        appointment_outcome booking_source cancel_reason practice_location_id location_name is_dummy is_confidential
        is_active is_deleted inserted_at updated_at
    """,
    "appointment_medications": """
        medication_id practice_id appointment_id patient_id provider_id medicine_id sctid medicine_name strength form
        take frequency daily_freq route duration duration_type start_date end_date stop_date expiry_date rx_date
        repeats quantity subsidy_amount price rx_status sa_status sa_number_token prescription_no_token mims_code
        is_long_term is_prescribed_externally is_stopped is_dispense is_trial stopped_reason printed_at
        practice_location_id location_name is_confidential is_active is_deleted inserted_at updated_at
    """,
    "invoices": """
        invoice_transaction_id practice_id patient_id provider_id ac_date transaction_type payment_mode total_amount
        unpaid_amount invoice_payment_no domicile_code practice_location_id location_name is_active inserted_at
        updated_at
    """,
    "invoice_details": """
        invoice_detail_id practice_id invoice_transaction_id quantity claim_amount co_payment gross_claim_amount
        gross_co_payment is_billing_amount is_funded funder_id funder_name contract_service_id contract_service_name
        submission_status master_service_code master_service_name service_code service_name service_code_for_claim
        fee_code code duration is_active is_deleted inserted_at updated_at
    """,
    "providers": """
        provider_id practice_id practice_name user_role is_doctor nzmc_no_token hpi_no_token apc_expiry_date is_active
        is_deleted inserted_at updated_at
    """,
    "diagnoses": """
        diagnosis_id practice_id appointment_id patient_id diagnosis_by_id disease_id disease diagnosis_type
        diagnosis_date on_set_date exclusion_start_date exclusion_end_date snomed_id concept_id snomed_term
        med_tech_read_code is_long_term add_to_problem is_highlighted practice_location_id location_name
        is_confidential is_active is_deleted inserted_at updated_at
    """,
    "immunisations": """
        appointment_immunisation_id practice_id patient_id appointment_id provider_id vaccinator_id vaccine_id
        vaccine_name vaccine_code vaccine_group vaccine_indication vaccine_indication_code brand batch_number
        expiry_date dose dose_number route administration_site administration_time immunisation_status
        vaccine_outcome is_nir_ack practice_location_id location_name is_confidential is_active is_deleted
        inserted_at updated_at
    """,
    "measurements": """
        screening_id practice_id patient_id appointment_id provider_id screening_date scn_code screening_type_id
        screening_type screening_group outcome score hba1c practice_location_id location_name is_confidential
        is_active is_deleted inserted_at updated_at
    """,
    "allergies": """
        allergy_id practice_id patient_id appointment_id provider_id allergy_type allergy_category onset_date
        medicine_id medicine medicine_type substance_type favourite_substance disease_id disease reaction_type
        severity warning_type is_reviewed practice_location_id location_name is_confidential is_active is_deleted
        inserted_at updated_at
    """,
    "recalls": """
        recall_id practice_id patient_id provider_id recall_date recall_group screening_type code scn_code vaccine
        vaccine_group recall_attempts is_contacted is_canceled is_confidential is_active is_deleted inserted_at
        updated_at
    """,
    "practice_info": """
        practice_id practice_name practice_category practice_speciality pho organization_type org_short_name org_code
        legal_status ownership_model rural health_facility_no hpi_facility_no hpi_organization_id is_active is_deleted
    """,
    "medicines": """
        medicine_id practice_id medicine_name medicine_short_name sctid medicine_type pharma_code is_active is_deleted
    """,
}
"""What analysts see of each dataset, companions of a time stamp aside: a change of it is seen here."""


def column_of(dataset: str, name: str) -> Column:
    return next(c for c in feed_named(f"indici/{dataset}").columns if c.name == name)


def loosely(name: str) -> str:
    return re.sub(r"[ _]", "", name).lower()


def known_as(feed: Feed, delivered: str) -> list[str]:
    """Columns of the contract that a delivered name means, case, blanks and underscores aside."""
    return [c.name for c in feed.columns if loosely(delivered) in {loosely(n) for n in (c.name, *c.facts.aliases)}]


# ------------------------------------------------------------------------------------------ the published facts


def test_the_thirteen_datasets_are_those_of_the_facts() -> None:
    assert [feed.dataset for feed in FEEDS] == list(EXTRACTS) == list(PUBLISHED)


@EACH
def test_the_key_is_the_extracts_id_within_its_practice(feed: Feed) -> None:
    key = PUBLISHED[feed.dataset].stored_key
    assert feed.key == tuple(dict.fromkeys((key, "practice_id")))


@EACH
def test_the_key_is_known_by_the_name_that_the_extract_gives_it(feed: Feed) -> None:
    published = PUBLISHED[feed.dataset]
    assert known_as(feed, published.key) == [published.stored_key]


@EACH
def test_the_version_is_updated_at_where_the_extract_has_it(feed: Feed) -> None:
    has = PUBLISHED[feed.dataset].updated_at
    assert feed.version == ("updated_at" if has else None)
    assert {c.name for c in feed.columns} & {"updated_at", "inserted_at"} == (
        {"updated_at", "inserted_at"} if has else set()
    )


@EACH
def test_deletions_are_marked_where_the_extract_marks_them(feed: Feed) -> None:
    has = PUBLISHED[feed.dataset].is_deleted
    assert feed.soft_delete == ("is_deleted" if has else None)
    assert ("is_deleted" in {c.name for c in feed.columns}) is has


@EACH
def test_confidential_rows_are_hidden_from_bi_where_the_extract_says_which_they_are(feed: Feed) -> None:
    has = PUBLISHED[feed.dataset].is_confidential
    assert ("is_confidential" in feed.hidden_from_bi) is has
    assert ("is_confidential" in {c.name for c in feed.columns}) is has


def test_tests_and_dummies_are_hidden_from_bi() -> None:
    others = {f.dataset: set(f.hidden_from_bi) - {"is_confidential"} for f in FEEDS}
    assert {name: hidden for name, hidden in others.items() if hidden} == {
        "patients": {"is_test_record"},
        "appointments": {"is_dummy"},
    }


@EACH
def test_a_dump_that_lacks_what_orders_deletes_or_hides_rows_is_refused(feed: Feed) -> None:
    required = {c.name for c in feed.columns if c.facts.required}
    assert required >= {n for n in (feed.version, feed.soft_delete) if n} | (
        {"is_confidential"} & set(feed.hidden_from_bi)
    )


def test_an_invoices_only_sign_of_a_deletion_must_be_there() -> None:
    assert column_of("invoices", "is_active").facts.required


def test_the_minimum_headers_are_these() -> None:
    care = {"practice_id", "updated_at", "is_deleted", "is_confidential"}
    found = {f.dataset: {c.name for c in f.columns if c.facts.required} for f in FEEDS}
    assert found == {
        "patients": {"patient_id", "practice_id", "updated_at", "is_deleted"},
        "appointments": care | {"appointment_id", "schedule_date"},
        "appointment_medications": care | {"medication_id", "patient_id"},
        "invoices": {"invoice_transaction_id", "practice_id", "patient_id", "updated_at", "is_active"},
        "invoice_details": {"invoice_detail_id", "practice_id", "invoice_transaction_id", "updated_at", "is_deleted"},
        "providers": {"provider_id", "practice_id", "updated_at", "is_deleted"},
        "diagnoses": care | {"diagnosis_id"},
        "immunisations": care | {"appointment_immunisation_id"},
        "measurements": care | {"screening_id", "patient_id"},
        "allergies": care | {"allergy_id", "patient_id"},
        "recalls": care | {"recall_id", "patient_id"},
        "practice_info": {"practice_id", "is_deleted"},
        "medicines": {"medicine_id", "practice_id", "is_deleted"},
    }


def test_the_sender_is_a_new_zealander_who_delivers_every_day() -> None:
    assert (SENDER.timezone, SENDER.prefix, SENDER.calendar.due) == ("Pacific/Auckland", "indici/", dt.time(10, 0))
    assert all(SENDER.calendar.expects(dt.date(2025, 8, day)) for day in range(18, 25))


@EACH
def test_every_dump_is_parquet_whose_names_are_matched_loosely(feed: Feed) -> None:
    assert (feed.format, feed.names) == (Parquet(), "loose")


@EACH
def test_no_delivered_name_means_two_columns(feed: Feed) -> None:
    names = [loosely(name) for c in feed.columns for name in (c.name, *c.facts.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("dataset", "delivered", "name"),
    [
        ("patients", "NHINumber", "nhi_number"),
        ("patients", "IsNHIValidate", "is_nhi_validate"),
        ("patients", "NHIStatus", "nhi_status"),
        ("patients", "ETHCODE", "ethcode"),
        ("patients", "PermanentAddressDomicileCode", "domicile_code"),
        ("patients", "PermanentAddressDeprivationQuintile", "deprivation_quintile"),
        ("patients", "MedTechID", "med_tech_id"),
        ("patients", "MedtechId", "med_tech_id"),
        ("patients", "PerOrgID", "per_org_id"),
        ("appointments", "Insertedby", "inserted_by"),
        ("appointments", "IsConsenttoShare", "is_consent_to_share"),
        ("appointment_medications", "DailyFreq", "daily_freq"),
        ("appointment_medications", "SCTID", "sctid"),
        ("invoices", "ACDate", "ac_date"),
        ("diagnoses", "AddtoProblem", "add_to_problem"),
        ("measurements", "Field100", "field100"),
        ("measurements", "field_1", "field1"),
        ("recalls", "ReCallDate", "recall_date"),
        ("providers", "RegisterationNo", "registeration_no"),
    ],
)
def test_names_as_the_extracts_spell_them_are_known(dataset: str, delivered: str, name: str) -> None:
    assert known_as(feed_named(f"indici/{dataset}"), delivered) == [name]


def test_the_column_that_is_delivered_twice_is_not_read() -> None:
    assert column_of("providers", "registeration_no").facts.treatment == Drop()


# ------------------------------------------------------------------------------------------ personal data


@EACH
def test_the_stored_columns_are_these(feed: Feed) -> None:
    assert [c.name for c in feed.stored if not c.name.endswith("_local")] == STORED[feed.dataset].split()


def test_times_that_decide_something_are_also_stored_as_delivered() -> None:
    found = {(feed.dataset, c.name) for feed in FEEDS for c in feed.stored if c.name.endswith("_local")}
    versions = {(name, "updated_at_local") for name, extract in PUBLISHED.items() if extract.updated_at}
    assert found == versions | {("appointments", "schedule_date_local")}


@EACH
def test_no_direct_identifier_is_kept(feed: Feed) -> None:
    kept = [c.name for c in feed.columns if c.facts.pii is Pii.DIRECT and isinstance(c.facts.treatment, Keep)]
    assert kept == []


PERSONAL = re.compile(
    r"first_name|middle_name|family_name|full_name|preferred_name|maiden|phone|number$|email|address|latitude|longitude"
    r"|meshblock|suburb|city|post|_card_no|notes|remarks|comment|summary|reason_for|description|directions|field[0-9]"
    r"|provider$|_by$|patient$|^age$|^dob$|contact_name|holder|bank"
)


@EACH
def test_no_name_address_contact_or_free_text_is_kept(feed: Feed) -> None:
    kept = {c.name for c in feed.columns if isinstance(c.facts.treatment, Keep) and PERSONAL.search(c.name)}
    assert kept <= {"batch_number", "dose_number"}


@EACH
def test_health_data_about_a_person_says_its_treatment(feed: Feed) -> None:
    special = {c.name for c in feed.columns if c.facts.pii is Pii.SPECIAL and c.facts.treatment != Drop()}
    expected = {"patients": {"smoking_type", "is_pregnant"}, "measurements": {"outcome", "score", "hba1c"}}
    assert special == expected.get(feed.dataset, set())


@EACH
def test_the_homes_coordinates_are_not_read_wherever_they_stand(feed: Feed) -> None:
    for name in ("PermanentAddressLatitude", "PermanentAddressLongitude"):
        (found,) = known_as(feed, name)
        assert column_of(feed.dataset, found).facts.treatment == Drop()


def test_patients_are_told_apart_by_a_token_and_dates_are_made_coarser() -> None:
    treatments = {name: column_of("patients", name).facts.treatment for name in (
        "nhi_number", "dob", "death_date", "enrolment_date", "enrolment_end_date", "registration_date",
    )}  # fmt: skip
    assert treatments == {
        "nhi_number": Token(into="nhi_token", family="nhi", upper=True),
        "dob": Reduce(Reduction.BIRTH_YEAR, into="birth_year"),
        "death_date": Reduce(Reduction.YEAR, into="death_year"),
        "enrolment_date": Reduce(Reduction.MONTH, into="enrolment_month"),
        "enrolment_end_date": Reduce(Reduction.MONTH, into="enrolment_end_month"),
        "registration_date": Reduce(Reduction.MONTH, into="registration_month"),
    }


def test_the_nhi_numbers_check_character_is_checked_before_the_number_is_a_token() -> None:
    flag = column_of("patients", "nhi_number").facts.flag
    assert flag is not None
    assert (flag.name, flag.holds("ZZZ0016"), flag.holds("ZZZ0044")) == ("nhi_valid", True, False)


def test_numbers_of_staff_are_tokens_and_all_else_of_a_person_is_not_read() -> None:
    providers = feed_named("indici/providers")
    assert {c.name for c in providers.columns if isinstance(c.facts.treatment, Token)} == {"nzmc_no", "hpi_no"}


# ------------------------------------------------------------------------------------------ types and rules


@EACH
def test_1900_is_unknown_in_every_date_but_the_version(feed: Feed) -> None:
    dates = {c.name: c.facts.sentinels for c in feed.columns if pa.types.is_date(c.arrow) or c.arrow == MOMENT}
    assert dates.pop("updated_at", ()) == ()  # there it is a version like any other
    assert set(dates.values()) <= {("1900-01-01",)}


MOMENT = pa.timestamp("us", "UTC")


def test_only_what_the_sender_derives_anew_each_day_is_no_change() -> None:
    assert [(f.dataset, c.name) for f in FEEDS for c in f.columns if not c.facts.hashed] == [("patients", "age_group")]


@EACH
def test_codes_are_text_and_money_is_exact(feed: Feed) -> None:
    codes = re.compile(r"(^|_)(sctid|snomed_id|concept_id|code|ethcode[23]?|practice_id)$")
    money = re.compile(r"amount$|payment$|^price$|^balance$|^quantity$")
    kinds = {c.name: c.arrow for c in feed.stored if c.arrow != pa.bool_()}
    assert {str(arrow) for name, arrow in kinds.items() if codes.search(name)} <= {"string"}
    assert {str(arrow) for name, arrow in kinds.items() if money.search(name)} <= {"decimal128(12, 2)"}


STAMP = dt.datetime(2025, 8, 18, 17, 44, tzinfo=dt.UTC)
ROW: dict[str, object] = {"appointment_id": 1, "practice_id": "535", "schedule_date": STAMP, "updated_at": STAMP}


def judged(dataset: str, **row: object) -> tuple[list[str], list[str]]:
    """Rules that a row breaks, and those that are only advice; columns not named are NULL."""
    feed = feed_named(f"indici/{dataset}")
    columns = [c for c in feed.columns if not isinstance(c.facts.treatment, Drop)]
    absent = {c.name for c in columns} - row.keys()
    table = pa.table({c.name: pa.array([row.get(c.name)], c.arrow) for c in columns})
    rules = Rules(feed, read=[c.name for c in columns], absent=absent, stamp=STAMP)
    broken, advice = rules.judge(table)
    return [b.rule for b in broken], [a.rule for a in advice]


def test_a_plain_row_breaks_no_rule() -> None:
    assert judged("appointments", **ROW) == ([], [])


@pytest.mark.parametrize(("minutes", "rules"), [(-1, 1), (0, 0), (1440, 0), (1441, 1)])
def test_an_appointment_is_at_most_a_day_long(minutes: int, rules: int) -> None:
    broken, advice = judged("appointments", **ROW, duration=minutes)
    assert ([rule.split(".")[0] for rule in broken], advice) == (["duration"] * rules, [])


@pytest.mark.parametrize(("days", "rules"), [(1, []), (3, ["updated_at.max_ahead"])])
def test_a_change_from_the_far_future_cannot_win_for_ever(days: int, rules: list[str]) -> None:
    row = {**ROW, "updated_at": STAMP + dt.timedelta(days=days)}
    assert judged("appointments", **row) == (rules, [])


@pytest.mark.parametrize(
    ("dataset", "facts", "rule"),
    [
        ("appointments", {"inserted_at": STAMP + dt.timedelta(hours=1)}, "row.updated_not_before_inserted"),
        ("appointments", {"start_time": STAMP, "end_time": STAMP - dt.timedelta(1)}, "row.end_not_before_start"),
        ("appointments", {"patient_id": 0}, "patient_id.greater_than_or_equal_to"),
        ("patients", {"domicile_code": "123"}, "domicile_code.str_matches"),
        ("patients", {"deprivation_quintile": 6}, "deprivation_quintile.in_range"),
        ("patients", {"death_date": dt.date(1990, 1, 1), "dob": dt.date(1991, 1, 1)}, "row.death_not_before_birth"),
        ("invoices", {"total_amount": 1, "unpaid_amount": 2}, "row.unpaid_not_above_total"),
        ("diagnoses", {"snomed_id": "12345"}, "snomed_id.str_matches"),
        ("diagnoses", {"disease": "x" * 501}, "disease.str_length"),
    ],
)
def test_where_the_truth_is_not_public_a_rule_is_only_advice(dataset: str, facts: dict[str, object], rule: str) -> None:
    key = {PUBLISHED[dataset].stored_key: 1, "patient_id": 1, "practice_id": "535", "updated_at": STAMP}
    broken, advice = judged(dataset, **{**key, "schedule_date": STAMP, **facts})
    assert (broken, advice) == ([], [rule])


@pytest.mark.parametrize(
    ("dataset", "facts"),
    [
        ("patients", {"domicile_code": "0123", "ethcode": "21", "age_group": "00-04", "balance": 0}),
        ("patients", {"age_group": "85+", "dob": dt.date(1930, 1, 1), "death_date": dt.date(2020, 1, 1)}),
        ("invoices", {"total_amount": -18, "unpaid_amount": -18}),
        ("diagnoses", {"snomed_id": "900000000000207008", "med_tech_read_code": "C10.."}),
    ],
)
def test_values_of_the_shapes_that_are_public_pass(dataset: str, facts: dict[str, object]) -> None:
    key = {PUBLISHED[dataset].stored_key: 1, "patient_id": 1, "practice_id": "535", "updated_at": STAMP}
    assert judged(dataset, **{**key, **facts}) == ([], [])


@pytest.mark.parametrize("practice", ["", " ", "535 ", "53/5", "5" * 17])
def test_a_practice_that_is_none_is_set_apart(practice: str) -> None:
    broken, _ = judged("appointments", **{**ROW, "practice_id": practice})
    assert broken == ["practice_id.str_matches"]


# ------------------------------------------------------------------------------------------ the code location


def test_the_code_location_has_three_layers_of_every_dataset() -> None:
    keys = {spec.key.to_user_string() for spec in build_definitions().resolve_all_asset_specs()}
    assert {f"{layer}{feed.name}" for feed in FEEDS for layer in ("raw/", "validated/", "")} <= keys
    assert len({key for key in keys if not key.startswith(("ops/", "bi/"))}) == 3 * len(all_feeds())
