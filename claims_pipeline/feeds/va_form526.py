"""The VA's daily CSV dumps of 526EZ disability claims: five datasets.

The true layout is not public: this is the project's own contract (feeds.md section 2), built on the public table
definitions and export code of vets-api (feeds.md section 1). Facts here; no code that does anything.
"""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pandera.pandas as pa

from claims_pipeline.feeds._va_form526_reports import reports
from claims_pipeline.feeds._va_form526_sources import FORM_LISTS, TABLES
from claims_pipeline.feeds.contract import (
    BigInt,
    Boolean,
    Calendar,
    Date,
    Drop,
    Feed,
    FeedModel,
    Integer,
    Keep,
    Pii,
    Reduce,
    Reduction,
    ReplacedSet,
    Sender,
    SmallInt,
    Subject,
    Text,
    TextList,
    Timestamp,
    Token,
    column,
)
from claims_pipeline.feeds.va_form526_document import FORM

SENDER = Sender(
    name="va_form526",
    title="VA 526EZ claims",
    timezone="UTC",  # Rails writes UTC; the dump's names carry a Z
    prefix="526/",
    start=dt.date(2024, 1, 1),
    calendar=Calendar(due=dt.time(9, 0)),
    owners=("team:claims-data",),
)

UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
JOB_ID = r"^[0-9a-f]{24}$"  # Sidekiq: SecureRandom.hex(12)
ICN = r"^\d{10}V\d{6}$"
ZIP = r"^\d{5}(?:[-\s]?\d{4})?$"
PARTIAL_DATE = r"^(\d{4}|XXXX)-(0[1-9]|1[0-2]|XX)-(0[1-9]|[1-2][0-9]|3[0-1]|XX)$"

FIRST_526 = pd.Timestamp("2019-01-01", tz="UTC")  # form 526 all-claims went live in 2019
CLOCK_SKEW = dt.timedelta(hours=1)

AASM_STATES = (  # feeds.md 1.1; the state machine is gone from vets-api, its data remains
    "unprocessed", "delivered_to_primary", "failed_primary_delivery", "rejected_by_primary", "delivered_to_backup",
    "failed_backup_delivery", "rejected_by_backup", "in_remediation", "finalized_as_successful", "unprocessable",
    "processed_in_batch_remediation", "ignorable_duplicate",
)  # fmt: skip
SUBMIT_ENDPOINTS = {"0": "evss", "1": "claims_api", "2": "benefits_intake_api"}
BACKUP_STATUSES = {"0": "accepted", "1": "rejected", "2": "paranoid_success"}
REMEDIATION_TYPES = {"0": "manual", "1": "ignored_as_duplicate", "2": "email_notified"}
PROCESS_TYPES = ("BDD_PROGRAM", "STANDARD_CLAIM_PROCESS", "FDC_PROGRAM")
ACTION_TYPES = ("NONE", "NEW", "SECONDARY", "INCREASE", "REOPEN")
CAUSES = ("NEW", "SECONDARY", "WORSENED", "VA")
JOB_STATUSES = (
    "try", "success", "retryable_error", "non_retryable_error", "exhausted", "pdf_not_found", "pdf_found_later",
    "pdf_success_on_backup_path", "pdf_manually_uploaded",
)  # fmt: skip
JOB_CLASSES = (
    "SubmitForm526AllClaim", "SubmitForm526", "SubmitUploads", "SubmitForm4142Job", "SubmitForm0781",
    "SubmitForm8940", "SubmitForm526Cleanup", "UploadBddInstructions", "FlashUpdater", "PollForm526Pdf",
    "BackupSubmission",
)  # fmt: skip
ATTACHMENT_IDS = (
    "L015", "L018", "L029", "L702", "L703", "L034", "L478", "L048", "L049", "L023", "L070", "L450", "L451", "L222",
    "L228", "L229", "L102", "L107", "L827", "L115", "L117", "L159", "L133", "L139", "L149", "L1839",
)  # fmt: skip
STATES = (  # 50 states, DC, territories and military "states": the 64 codes of the form's schema (feeds.md 1.6)
    "AL", "AK", "AS", "AZ", "AR", "AA", "AE", "AP", "CA", "CO", "CT", "DE", "DC", "FM", "FL", "GA", "GU", "HI", "ID",
    "IL", "IN", "IA", "KS", "KY", "LA", "ME", "MH", "MD", "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH", "NJ",
    "NM", "NY", "NC", "ND", "MP", "OH", "OK", "OR", "PW", "PA", "PR", "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VI",
    "VA", "WA", "WV", "WI", "WY", "PI", "UM",
)  # fmt: skip

CIPHERTEXT = (r"_ciphertext$", r"^encrypted_", r"_iv$")


class Form526Submissions(FeedModel):
    """One row per 526EZ submission, in its latest state."""

    id: BigInt = column("Submission number", pii=Pii.PSEUDONYMOUS, key=True, ge=1)
    saved_claim_id: BigInt = column(
        "Number of the saved claim", pii=Pii.PSEUDONYMOUS, required=True, nullable=False, ge=1
    )
    saved_claim_guid: Text = column(
        "Confirmation number", pii=Pii.PSEUDONYMOUS, treatment=Token(family="guid"), str_matches=UUID
    )
    submitted_claim_id: BigInt = column(
        "Claim number given by EVSS, Lighthouse or VBMS", pii=Pii.PSEUDONYMOUS, required=True,
        in_range={"min_value": 100_000_000, "max_value": 999_999_999},
    )  # fmt: skip
    form_id: Text = column("Form", nullable=False, only=("21-526EZ", "21-526EZ-ALLCLAIMS"))
    user_uuid: Text = column(
        "Login that submitted (ID.me, login.gov or sec_id format)", pii=Pii.DIRECT, required=True, nullable=False,
        treatment=Token(into="user_key"), str_length={"min_value": 1, "max_value": 64},
    )  # fmt: skip
    user_account_id: Text = column(
        "Login account; not stable per person",
        pii=Pii.DIRECT,
        treatment=Token(into="user_account_key"),
        str_matches=UUID,
    )
    icn: Text = column(
        "Integration control number, stable per person", pii=Pii.DIRECT, str_matches=ICN,
        treatment=Token(into="person_key", family="icn"),
    )  # fmt: skip
    submit_endpoint: Text = column(
        "Where it was sent", required=True, codes=SUBMIT_ENDPOINTS, isin=list(SUBMIT_ENDPOINTS.values())
    )
    aasm_state: Text = column(
        "State of the former state machine", required=True, isin=list(AASM_STATES), raise_warning=True
    )
    workflow_complete: Boolean = column("All jobs ended", required=True, nullable=False)
    multiple_birls: Boolean = column("More than one BIRLS number known")
    backup_submitted_claim_id: Text = column(
        "Number of the backup submission", pii=Pii.PSEUDONYMOUS, treatment=Token(family="guid"), str_matches=UUID
    )
    backup_submitted_claim_status: Text = column(
        "What became of the backup submission",
        required=True,
        codes=BACKUP_STATUSES,
        isin=list(BACKUP_STATUSES.values()),
    )
    created_at: Timestamp = column(
        "Submitted at",
        pii=Pii.QUASI,
        treatment=Keep(),
        required=True,
        nullable=False,
        ge=FIRST_526,
        max_ahead=CLOCK_SKEW,
    )
    updated_at: Timestamp = column(
        "Last changed at", pii=Pii.QUASI, treatment=Keep(), required=True, nullable=False, max_ahead=CLOCK_SKEW
    )
    started_form_version: Text = column("Version of the form", isin=["2019", "2022"])
    bdd_qualified: Boolean = column("Benefits Delivery at Discharge")
    standard_claim: Boolean = column("Standard claim process chosen")
    claim_process_type: Text = column("Process", isin=list(PROCESS_TYPES))
    claim_submission_source: Text = column("Source", str_length={"max_value": 64})
    application_expiration_date: Timestamp = column(
        "Draft would expire at", pii=Pii.QUASI, treatment=Keep(), invalid="null"
    )
    disability_count: SmallInt = column(
        "Contentions claimed", nullable=False, in_range={"min_value": 0, "max_value": 150}
    )
    new_count: SmallInt = column("New contentions", nullable=False, in_range={"min_value": 0, "max_value": 150})
    increase_count: SmallInt = column("Increases", nullable=False, in_range={"min_value": 0, "max_value": 150})
    secondary_count: SmallInt = column(
        "Secondary contentions", nullable=False, in_range={"min_value": 0, "max_value": 150}
    )
    upload_count: SmallInt = column("Documents uploaded", nullable=False, in_range={"min_value": 0, "max_value": 150})
    has_form4142: Boolean = column("With form 4142", nullable=False)
    has_form0781: Boolean = column("With form 0781 (PTSD)", pii=Pii.SPECIAL, treatment=Keep(), nullable=False)
    has_form8940: Boolean = column(
        "With form 8940 (unemployability)", pii=Pii.SPECIAL, treatment=Keep(), nullable=False
    )
    has_toxic_exposure: Boolean = column("With toxic exposure", nullable=False)
    homeless_or_at_risk: Text = column("Housing", pii=Pii.SPECIAL, treatment=Keep(), isin=["no", "homeless", "atRisk"])
    terminally_ill: Boolean = column("Terminal illness", pii=Pii.SPECIAL, treatment=Drop())
    is_va_employee: Boolean = column("VA employee", pii=Pii.QUASI, treatment=Keep())
    service_branches: TextList = column("Branches served in", pii=Pii.QUASI, treatment=Keep())
    anticipated_separation_date: Date = column(
        "Leaves service on (BDD)", pii=Pii.QUASI, invalid="null",
        treatment=Reduce(Reduction.MONTH, into="anticipated_separation_month"),
    )  # fmt: skip
    mailing_state: Text = column("State of the mailing address", pii=Pii.QUASI, treatment=Keep(), isin=list(STATES))
    mailing_zip: Text = column(
        "ZIP of the mailing address",
        pii=Pii.QUASI,
        treatment=Reduce(Reduction.ZIP3, into="mailing_zip3"),
        str_matches=ZIP,
    )
    country: Text = column(
        "Country of the mailing address", pii=Pii.QUASI, treatment=Keep(), str_length={"max_value": 64}
    )
    first_name: Text = column("First name", pii=Pii.DIRECT, treatment=Drop())
    last_name: Text = column("Last name", pii=Pii.DIRECT, treatment=Drop())
    birth_date: Date = column(
        "Date of birth", pii=Pii.DIRECT, treatment=Reduce(Reduction.BIRTH_YEAR, into="birth_year"), invalid="null"
    )
    ssn: Text = column("Social security number", pii=Pii.DIRECT, treatment=Drop())
    va_file_number: Text = column("VA file number (BIRLS)", pii=Pii.DIRECT, treatment=Drop())
    participant_id: Text = column("Participant number", pii=Pii.DIRECT, treatment=Drop())
    edipi: Text = column("DoD identifier", pii=Pii.DIRECT, treatment=Drop())
    email: Text = column("E-mail address", pii=Pii.DIRECT, treatment=Drop())
    phone: Text = column("Telephone", pii=Pii.DIRECT, treatment=Drop())
    bank_name: Text = column("Bank", pii=Pii.SPECIAL, treatment=Drop())
    bank_account_number: Text = column("Bank account", pii=Pii.SPECIAL, treatment=Drop())
    bank_routing_number: Text = column("Bank routing number", pii=Pii.SPECIAL, treatment=Drop())
    form_json: Text = column("The form as submitted", pii=Pii.SPECIAL, treatment=Drop())
    auth_headers_json: Text = column("Authentication headers", pii=Pii.SPECIAL, treatment=Drop())

    @pa.dataframe_check(name="updated_not_before_created")
    def updated_not_before_created(cls, df: pd.DataFrame) -> pd.Series:
        """A row cannot have changed before it was made."""
        return (df["updated_at"] >= df["created_at"]).fillna(value=True)

    @pa.dataframe_check(name="counts_within_disability_count")
    def counts_within_disability_count(cls, df: pd.DataFrame) -> pd.Series:
        """New, increase and secondary contentions are parts of all contentions."""
        parts = df["new_count"].astype("int64[pyarrow]") + df["increase_count"] + df["secondary_count"]
        return (parts <= df["disability_count"]).fillna(value=True)


class Form526Contentions(FeedModel):
    """One row per contention (claimed condition) of a submission; the set is replaced with its submission."""

    submission_id: BigInt = column("Submission", pii=Pii.PSEUDONYMOUS, key=True, ge=1)
    ordinal: SmallInt = column("Place on the form, from 1", key=True, in_range={"min_value": 1, "max_value": 150})
    contention_id: BigInt = column("Contention number", pii=Pii.PSEUDONYMOUS, ge=1)
    name: Text = column("Condition in the veteran's words", pii=Pii.SPECIAL, treatment=Drop())
    action_type: Text = column("What is claimed", nullable=False, required=True, isin=list(ACTION_TYPES))
    diagnostic_code: Integer = column(
        "Diagnostic code (38 CFR Part 4)", treatment=Keep(), in_range={"min_value": 5000, "max_value": 9999}
    )
    classification_code: Text = column("Classification code", str_length={"max_value": 16})
    rated_disability_id: Text = column(
        "Rated disability", pii=Pii.PSEUDONYMOUS, treatment=Token(), str_length={"max_value": 64}
    )
    approximate_date_raw: Text = column(
        "Began about (partial date)", pii=Pii.QUASI, str_matches=PARTIAL_DATE,
        treatment=Reduce(Reduction.PARTIAL_DATE, into="approximate"),
    )  # fmt: skip
    cause: Text = column("Cause", isin=list(CAUSES))
    special_issues: TextList = column("Special issues", pii=Pii.SPECIAL, treatment=Keep())
    is_secondary_of: Text = column(
        "Condition it follows from, in the veteran's words", pii=Pii.SPECIAL, treatment=Drop()
    )

    @pa.dataframe_check(name="increase_has_diagnostic_code", raise_warning=True)
    def increase_has_diagnostic_code(cls, df: pd.DataFrame) -> pd.Series:
        """An increase is of a rated condition, which has a code."""
        return ((df["action_type"] != "INCREASE") | df["diagnostic_code"].notna()).fillna(value=True)


class Form526JobStatuses(FeedModel):
    """One row per background job of a submission, in its latest state."""

    job_id: Text = column("Job number", pii=Pii.NONE, key=True, str_matches=JOB_ID)
    form526_submission_id: BigInt = column("Submission", pii=Pii.PSEUDONYMOUS, required=True, nullable=False, ge=1)
    job_class: Text = column("Kind of job", required=True, nullable=False, isin=list(JOB_CLASSES), raise_warning=True)
    status: Text = column("State", required=True, nullable=False, isin=list(JOB_STATUSES))
    error_class: Text = column("Class of error", str_length={"max_value": 255})
    error_message: Text = column("Error text; may quote the form", pii=Pii.SPECIAL, treatment=Drop())
    bgjob_errors: Text = column("Errors of all attempts; may quote the form", pii=Pii.SPECIAL, treatment=Drop())
    updated_at: Timestamp = column("Last changed at", required=True, nullable=False, ge=FIRST_526, max_ahead=CLOCK_SKEW)


class Form526Uploads(FeedModel):
    """One row per document uploaded with a submission."""

    submission_id: BigInt = column("Submission", pii=Pii.PSEUDONYMOUS, key=True, ge=1)
    confirmation_code: Text = column(
        "Confirmation code of the upload", pii=Pii.PSEUDONYMOUS, key=True, str_matches=UUID
    )
    attachment_id: Text = column("Kind of document", required=True, isin=list(ATTACHMENT_IDS), raise_warning=True)
    file_name: Text = column(
        "File name; people put their names into it",
        pii=Pii.DIRECT,
        treatment=Reduce(Reduction.EXTENSION, into="file_extension"),
    )


class Form526SubmissionRemediations(FeedModel):
    """One row per remediation of a failed submission; the latest wins."""

    id: BigInt = column("Remediation number", key=True, ge=1)
    form526_submission_id: BigInt = column("Submission", pii=Pii.PSEUDONYMOUS, required=True, nullable=False, ge=1)
    remediation_type: Text = column(
        "Kind", required=True, nullable=False, codes=REMEDIATION_TYPES, isin=list(REMEDIATION_TYPES.values())
    )
    success: Boolean = column("Succeeded", required=True, nullable=False)
    ignored_as_duplicate: Boolean = column("Ignored as a duplicate", required=True, nullable=False)
    lifecycle: TextList = column(
        "Engineers' notes", pii=Pii.SPECIAL, treatment=Reduce(Reduction.COUNT, into="lifecycle_entries")
    )
    created_at: Timestamp = column("Made at", required=True, nullable=False, ge=FIRST_526, max_ahead=CLOCK_SKEW)
    updated_at: Timestamp = column("Last changed at", required=True, nullable=False, ge=FIRST_526, max_ahead=CLOCK_SKEW)


def _file_names(dataset: str) -> tuple[str, ...]:
    """Keys of one dataset: the canonical form, and the id-range form of vets-api's own exporter (feeds.md 2.1)."""
    return (
        rf"^{dataset}/dt=(?P<day>\d{{4}}-\d{{2}}-\d{{2}})/{dataset}_(?P<stamp>\d{{8}}T\d{{6}}Z)\.csv(?:\.gz)?$",
        rf"^{dataset}/(?:dt=(?P<day>\d{{4}}-\d{{2}}-\d{{2}})/)?\d+_\d+\.csv(?:\.gz)?$",
        rf"^{dataset}/[a-z_]+-(?P<epoch>\d{{10}})\.csv(?:\.gz)?$",
    )


def _submitter(by: str) -> Subject:
    """The person whose submission a row belongs to."""
    return Subject(of="form526_submissions", by=(by,), key=("id",))


FEEDS = (
    Feed(
        SENDER,
        "form526_submissions",
        Form526Submissions,
        _file_names("form526_submissions"),
        version="updated_at",
        unique=("saved_claim_id", "submitted_claim_id"),
        refuse=CIPHERTEXT,
        document=FORM,
        subject=Subject(tokens=("person_key", "user_key")),
        source=TABLES["form526_submissions"],
    ),
    Feed(
        SENDER,
        "form526_contentions",
        Form526Contentions,
        _file_names("form526_contentions"),
        replaced_set=ReplacedSet(
            by="submission_id", parent="form526_submissions", parent_key="id", count="disability_count"
        ),
        refuse=CIPHERTEXT,
        subject=_submitter("submission_id"),
        source=FORM_LISTS["disabilities"],
    ),
    Feed(
        SENDER,
        "form526_job_statuses",
        Form526JobStatuses,
        _file_names("form526_job_statuses"),
        version="updated_at",
        refuse=CIPHERTEXT,
        subject=_submitter("form526_submission_id"),
        source=TABLES["form526_job_statuses"],
    ),
    Feed(
        SENDER,
        "form526_uploads",
        Form526Uploads,
        _file_names("form526_uploads"),
        refuse=CIPHERTEXT,
        subject=_submitter("submission_id"),
        source=FORM_LISTS["form526_uploads"],
    ),
    Feed(
        SENDER,
        "form526_submission_remediations",
        Form526SubmissionRemediations,
        _file_names("form526_submission_remediations"),
        version="updated_at",
        refuse=CIPHERTEXT,
        subject=_submitter("form526_submission_id"),
        source=TABLES["form526_submission_remediations"],
        empty_is_usual=True,  # on many days there is nothing to remediate
    ),
)

REPORTS = reports(SENDER)
