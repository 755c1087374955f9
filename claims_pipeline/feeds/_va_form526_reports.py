"""What is asked of the 526EZ claims (feeds.md 1.9): how submissions end, where they come from, what is claimed.

Belongs here: facts of reports, in SQL over the sender's tables. Does not belong here: their protection.

The state of a submission is computed, not stored, since it changes with time alone. It follows the scopes by which the
VA itself sorts submissions (va.gov-team, products/disability/526ez/engineering_research/526_scopes.md): the latest
remediation overrides all else; a claim number without a PDF at Lighthouse is no acceptance; what is neither a success
nor younger than three weeks has failed.
"""

from __future__ import annotations

from claims_pipeline.feeds.contract import Sender
from claims_pipeline.feeds.reports import Report

_PERSON = "coalesce(s.person_key, s.user_key)"
_SUBMISSIONS = "va_form526.form526_submissions s"
_LATEST_REMEDIATION = """
    (select distinct on (form526_submission_id) form526_submission_id, success, ignored_as_duplicate
       from va_form526.form526_submission_remediations
      order by form526_submission_id, created_at desc, id desc)
"""

_STATES = f"""
select s.created_at::date as day, {_PERSON} as person,
       case when state in ('remediated', 'accepted_to_primary', 'accepted_to_backup', 'paranoid_success',
                           'success_by_age') then 'success'
            when state in ('pending_backup', 'in_process') then 'incomplete'
            else 'failure' end as outcome,
       s.submit_endpoint as endpoint, state
  from (
    select s.*, case
        when r.success then 'remediated'
        when s.submitted_claim_id is not null and s.submit_endpoint is distinct from 'claims_api'
            then 'accepted_to_primary'
        when s.submitted_claim_id is not null and p.form526_submission_id is not null then 'accepted_to_primary'
        when s.backup_submitted_claim_status = 'accepted' then 'accepted_to_backup'
        when s.backup_submitted_claim_status = 'paranoid_success'
            then case when s.created_at > %(as_of)s::date - interval '1 year'
                      then 'paranoid_success' else 'success_by_age' end
        when s.backup_submitted_claim_status = 'rejected' then 'rejected_by_backup'
        when s.submitted_claim_id is not null then 'pdf_missing'
        when s.created_at <= %(as_of)s::date - interval '3 weeks' then 'timed_out'
        when s.backup_submitted_claim_id_token is not null
            then case when r.form526_submission_id is null then 'pending_backup' else 'remediation_failed' end
        when b.form526_submission_id is not null then 'backup_exhausted'
        else 'in_process' end as state
      from {_SUBMISSIONS}
      left join {_LATEST_REMEDIATION} r on r.form526_submission_id = s.id
      left join (select distinct form526_submission_id from va_form526.form526_job_statuses
                  where job_class = 'PollForm526Pdf' and status in
                        ('success', 'pdf_found_later', 'pdf_success_on_backup_path', 'pdf_manually_uploaded')) p
        on p.form526_submission_id = s.id
      left join (select distinct form526_submission_id from va_form526.form526_job_statuses
                  where job_class = 'BackupSubmission' and status in ('exhausted', 'non_retryable_error')) b
        on b.form526_submission_id = s.id
  ) s
"""  # noqa: S608 - constants of this module

_REPETITIONS = f"""
select day, person,
       case when marked then 'marked as a duplicate'
            when created_at - earlier <= interval '1 day' then 'again within 1 day'
            when created_at - earlier <= interval '7 days' then 'again within 7 days'
            else 'no' end as repetition
  from (
    select s.created_at::date as day, s.created_at, {_PERSON} as person,
           coalesce(r.ignored_as_duplicate, false) or coalesce(s.aasm_state = 'ignorable_duplicate', false) as marked,
           lag(s.created_at) over (partition by {_PERSON} order by s.created_at, s.id) as earlier
      from {_SUBMISSIONS}
      left join {_LATEST_REMEDIATION} r on r.form526_submission_id = s.id
  ) s
"""  # noqa: S608 - constants of this module

_CONTENTIONS = f"""
select s.created_at::date as day, {_PERSON} as person, c.action_type as action, c.classification_code as classification
  from va_form526.form526_contentions c join {_SUBMISSIONS} on s.id = c.submission_id
"""  # noqa: S608 - constants of this module

_REMEDIATIONS = f"""
select r.created_at::date as day, coalesce({_PERSON}, r.form526_submission_id::text) as person, r.remediation_type,
       case when r.created_at - s.created_at <= interval '7 days' then 'up to 7 days'
            when r.created_at - s.created_at <= interval '28 days' then '8 to 28 days'
            when r.created_at - s.created_at <= interval '90 days' then '29 to 90 days'
            when r.created_at - s.created_at <= interval '1 year' then '91 days to a year'
            when s.id is not null then 'more than a year' end as time_taken
  from va_form526.form526_submission_remediations r left join {_SUBMISSIONS} on s.id = r.form526_submission_id
 where r.success
"""  # noqa: S608 - constants of this module


def reports(sender: Sender) -> tuple[Report, ...]:
    """The reports of the VA's claims."""
    submissions, remediations = "form526_submissions", "form526_submission_remediations"
    return (
        Report(
            sender, "submissions_per_day",
            "Submissions by the day on which they were made, and what has become of them until today.",
            population="submissions", counted="submissions", grain="day",
            reads=(submissions, "form526_job_statuses", remediations),
            groups=("outcome", "endpoint", "state"), facts=_STATES,
        ),
        Report(
            sender, "submissions_by_mailing_state",
            "Submissions by month and the state of the mailing address.",
            population="submissions", counted="submissions", reads=(submissions,), groups=("mailing_state",),
            facts=f"select s.created_at::date as day, {_PERSON} as person, s.mailing_state from {_SUBMISSIONS}",  # noqa: S608 - constants
        ),
        Report(
            sender, "duplicate_submissions",
            "Submissions by month, and whether the same person had submitted shortly before.",
            population="submissions", counted="submissions", reads=(submissions, remediations), groups=("repetition",),
            facts=_REPETITIONS,
        ),
        Report(
            sender, "contentions_per_month",
            "Contentions by the month of their submission, what is claimed, and the classification of the condition.",
            population="contentions", counted="contentions", reads=("form526_contentions", submissions),
            groups=("action", "classification"), facts=_CONTENTIONS,
        ),
        Report(
            sender, "time_to_remediation",
            "Successful remediations by the month in which they were made, and the time since the submission.",
            population="remediations", counted="remediations", reads=(remediations, submissions),
            groups=("remediation_type", "time_taken"), facts=_REMEDIATIONS,
        ),
    )  # fmt: skip
