"""The smaller children of invented submissions: job statuses, uploads, remediations; every column of each.

Belongs here: which of them a delivery holds, and what they say. Does not belong here: contentions
(`contentions`), CSV, files.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from claims_pipeline.feeds import feed_named
from claims_pipeline.feeds.va_form526 import ATTACHMENT_IDS, JOB_CLASSES, JOB_STATUSES
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.dataset import Dataset, Rows, expanded
from claims_pipeline.local.fake_sender.dialect import Codes, Flags, Free, Numbers, Plain, Times, Typed
from claims_pipeline.local.fake_sender.dice import Dice, Ints, Mask
from claims_pipeline.local.fake_sender.life import FIRST_ID, NEVER, REMEDIATION_NAMES, Life
from claims_pipeline.local.fake_sender.people import People, names

_GOING = ("try", "retryable_error")
_LOST = ("non_retryable_error", "exhausted")
_ENDED = (*("success",) * 15, "exhausted")
_POLLED = (
    "success", "pdf_not_found", "pdf_found_later", "pdf_success_on_backup_path", "pdf_manually_uploaded",
)  # fmt: skip
_WITH_ERROR = fields.as_ints([JOB_STATUSES.index(s) for s in ("retryable_error", "non_retryable_error", "exhausted")])
_ERROR_CLASSES = (
    "Net::ReadTimeout",
    "Common::Exceptions::BackendServiceException",
    "EVSS::ErrorMiddleware::EVSSError",
    "",
)
_ERROR_MESSAGES = (
    "Net::ReadTimeout with #<TCPSocket:(closed)>",
    '{"key":"form526.veteran.firstName.pattern","severity":"ERROR","text":"must match \\"^[a-zA-Z]+$\\""}',
    "EVSSError: disabilities.size, 0\nline two, with a comma",
    "anticipatedSeparationDate must be in the future",
)
_BGJOB_ERRORS = ("{}", '{"attempts": [{"caller_method": "retryable_error_handler", "error": "timeout, read"}]}')


class JobStatuses(Dataset):
    """form526_job_statuses: sent from a job's start until it has ended; j is the kind of job."""

    feed = feed_named("va_form526/form526_job_statuses")

    def rows(self, n: Ints, k: Ints) -> Rows:
        """The jobs that changed, in the order of the contract's classes within a submission."""
        sent = np.zeros((len(n), len(JOB_CLASSES)), dtype=np.bool_)
        for j, job in enumerate(JOB_CLASSES):
            first, last = self._span(n, job)
            sent[:, j] = (first <= k) & (k <= last)
        sent[self.life.other_form(n)] = False
        owner, kind = np.nonzero(sent)
        return Rows(n[owner], kind.astype(np.int64), k[owner])

    def since(self, rows: Rows) -> Ints:
        """The job's start."""
        return self._spans(rows)[0]

    def _span(self, n: Ints, job: str) -> tuple[Ints, Ints]:
        """First and last delivery at which a submission's job of that class is sent; NEVER where it has none."""
        life, backup = self.life, self.life.backup_from(n)
        match job:
            case "SubmitForm526AllClaim":
                return np.zeros_like(n), np.minimum(life.done_from(n), 1)
            case "BackupSubmission":
                return backup, backup
            case "SubmitUploads":
                exists = life.uploads(n) > 0
            case "SubmitForm526":  # its forerunner
                exists = self.dice.chance("legacy job", n, 0.02)
            case "SubmitForm4142Job":
                exists = life.has("form4142", n)
            case "SubmitForm0781":
                exists = life.has("form0781", n)
            case "SubmitForm8940":
                exists = life.has("form8940", n)
            case "UploadBddInstructions":
                exists = life.has("bdd", n)
            case _:
                exists = np.ones(len(n), dtype=np.bool_)
        first = np.where(exists, life.done_from(n), NEVER)
        return first, first + self.dice.chance(f"{job} again", n, 0.2)

    def _spans(self, rows: Rows) -> tuple[Ints, Ints]:
        first, last = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=np.int64)
        for j, job in enumerate(JOB_CLASSES):
            index = np.flatnonzero(rows.j == j)
            first[index], last[index] = self._span(rows.n[index], job)
        return first, last

    def columns(self, rows: Rows, rule: Ints, older: Mask) -> Mapping[str, Typed]:
        """See the contract."""
        life, dice, n, k, entity = self.life, self.dice, rows.n, rows.k, rows.entity
        ended = k >= self._spans(rows)[1]
        lost = ended & (rows.j == JOB_CLASSES.index("SubmitForm526AllClaim")) & (k < life.done_from(n))
        polled = ended & (rows.j == JOB_CLASSES.index("PollForm526Pdf"))
        kinds = [_status_of(dice, rows, choices) for choices in (_LOST, _POLLED, _ENDED, _GOING)]
        status = np.select([lost, polled, ended], kinds[:3], kinds[3])
        faultless = ~np.isin(status, _WITH_ERROR)
        error = dice.below("error", rows.number, len(_ERROR_CLASSES))
        job_id = fields.fixed(
            fields.hexes(dice.bits("job high", entity)), fields.hexes(dice.bits("job low", entity))[:, :8]
        )
        return {
            "job_id": Plain(job_id),
            "form526_submission_id": Numbers(n + FIRST_ID),
            "job_class": Codes(rows.j, JOB_CLASSES),
            "status": Codes(status, JOB_STATUSES),
            "error_class": Codes(error, _ERROR_CLASSES, faultless),
            "error_message": Codes(error, _ERROR_MESSAGES, faultless),
            "bgjob_errors": Codes((~faultless).astype(np.int64), _BGJOB_ERRORS),
            "updated_at": Times(life.updated(n, k) - older * fields.SECOND),
        }


def _status_of(dice: Dice, rows: Rows, choices: tuple[str, ...]) -> Ints:
    index = fields.as_ints([JOB_STATUSES.index(name) for name in choices])
    picked: Ints = index[dice.below("status", rows.number, len(choices))]
    return picked


_FILE_ENDINGS = (b"_DD214.pdf", b" medical records (1).PDF", b'_"scan", page 2.jpg', b"-buddy statement.docx", b"")


class Uploads(Dataset):
    """form526_uploads: sent again, unchanged, with their submission; j is the document's place, from 1."""

    feed = feed_named("va_form526/form526_uploads")

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self._people = People(life.dice)

    def rows(self, n: Ints, k: Ints) -> Rows:
        """One row per document."""
        owner, place = expanded(self.life.uploads(n))
        return Rows(n[owner], place, k[owner])

    def columns(self, rows: Rows, rule: Ints, older: Mask) -> Mapping[str, Typed]:
        """See the contract."""
        dice, entity = self.dice, rows.entity
        family = self._people.family_name(self._people.person(rows.n))
        ending = fields.taken(_FILE_ENDINGS, dice.below("file", entity, len(_FILE_ENDINGS)))
        return {
            "submission_id": Numbers(rows.n + FIRST_ID),
            "confirmation_code": Plain(fields.uuids(dice.bits("upload high", entity), dice.bits("upload low", entity))),
            "attachment_id": Codes(dice.below("attachment", entity, len(ATTACHMENT_IDS)), ATTACHMENT_IDS),
            "file_name": Free(fields.joined(fields.taken([name.encode() for name in names()], family), ending)),
        }


_NOTES = ('"called, no answer"', "resubmitted", '"fixed \\"APO\\" by hand"')
_LIFECYCLES = tuple("{" + ",".join(_NOTES[: count + 1]) + "}" for count in range(len(_NOTES)))


class Remediations(Dataset):
    """form526_submission_remediations: after a failure, now and then a second with the next delivery; j is 0 or 1."""

    feed = feed_named("va_form526/form526_submission_remediations")

    def rows(self, n: Ints, k: Ints) -> Rows:
        """Every remediation so far."""
        first = self.life.remediation_from(n)
        second = self.dice.chance("remediated twice", n, 0.3) & (k > first)
        owner, place = expanded((k >= first).astype(np.int64) + second)
        return Rows(n[owner], place - 1, k[owner])

    def since(self, rows: Rows) -> Ints:
        """The second comes a delivery after the first."""
        return self.life.remediation_from(rows.n) + rows.j

    def columns(self, rows: Rows, rule: Ints, older: Mask) -> Mapping[str, Typed]:
        """See the contract."""
        life, n, k = self.life, rows.n, rows.k
        kind = np.where(rows.j == 0, life.remediation(n), REMEDIATION_NAMES.index("manual"))
        since = self.since(rows)
        return {
            "id": Numbers(2 * n + rows.j + 1),
            "form526_submission_id": Numbers(n + FIRST_ID),
            "remediation_type": Codes(kind, REMEDIATION_NAMES, enum=True),
            "success": Flags(k > since),
            "ignored_as_duplicate": Flags(kind == REMEDIATION_NAMES.index("ignored_as_duplicate")),
            "lifecycle": Codes(np.minimum(k - since, len(_LIFECYCLES) - 1), _LIFECYCLES),
            "created_at": Times(life.updated(n, since) - 2 * fields.SECOND),
            "updated_at": Times(life.updated(n, k) - older * fields.SECOND),
        }
