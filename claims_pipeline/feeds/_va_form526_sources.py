"""Where the layouts of the VA's dumps come from (feeds.md 1.1, 1.5, 1.6 and 1.9), for the data dictionary.

Belongs here: what is public, and by which source. Does not belong here: the contracts (va_form526.py).
"""

from __future__ import annotations

from claims_pipeline.feeds.contract import Source

_VETS_API = "department-of-veterans-affairs/vets-api"
_FORM = (
    f"The form's layout is public ({_VETS_API}, lib/evss/disability_compensation_form/data_translation_all_claim.rb; "
    "vets-json-schema, 21-526EZ-ALLCLAIMS)"
)
_OURS = "which of it a dump holds, under what names, types and rules is this project's proposal: no dump is public"


def _table(name: str, published: tuple[str, ...], more: str = "") -> Source:
    return Source(f"Table {name} in {_VETS_API}, db/schema.rb{more}; {_OURS}.", published)


TABLES = {
    "form526_submissions": _table(
        "form526_submissions",
        (
            "id", "user_uuid", "saved_claim_id", "submitted_claim_id", "workflow_complete", "multiple_birls",
            "created_at", "updated_at", "user_account_id", "backup_submitted_claim_id",
            "backup_submitted_claim_status", "submit_endpoint", "aasm_state", "form_id",
        ),
        f" (form_id: table saved_claims). {_FORM}",
    ),
    "form526_job_statuses": _table(
        "form526_job_statuses",
        (
            "form526_submission_id", "job_id", "job_class", "status", "error_class", "error_message", "bgjob_errors",
            "updated_at",
        ),
    ),
    "form526_submission_remediations": _table(
        "form526_submission_remediations",
        (
            "id", "form526_submission_id", "remediation_type", "success", "ignored_as_duplicate", "lifecycle",
            "created_at", "updated_at",
        ),
    ),
}  # fmt: skip
"""By dataset that is a public table: the table, and its columns."""

FORM_LISTS = {name: Source(f"{_FORM}: its list {name}; {_OURS}.") for name in ("disabilities", "form526_uploads")}
"""By list of the form."""
