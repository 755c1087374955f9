"""The submissions of invented claims, as the fake sender writes them: every column of `form526_submissions`.

Belongs here: what each column holds, given a claim's life and its person. Does not belong here: CSV, files.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from claims_pipeline.feeds import feed_named
from claims_pipeline.feeds.va_form526 import AASM_STATES, PROCESS_TYPES, STATES, SUBMIT_ENDPOINTS
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.contentions import counts_of, first_disabilities
from claims_pipeline.local.fake_sender.dataset import CLEAN, Dataset, Rows
from claims_pipeline.local.fake_sender.defects import Defect, PlantedVerdict
from claims_pipeline.local.fake_sender.dialect import Codes, Escaped, Flags, Numbers, Plain, Times, Typed
from claims_pipeline.local.fake_sender.dice import Ints, Mask, table
from claims_pipeline.local.fake_sender.life import BACKUP_NAMES, FIRST_ID, Life
from claims_pipeline.local.fake_sender.people import People

_FIRST_SAVED_CLAIM = 3_000_001
_FIRST_CLAIM = 600_000_000  # claim numbers are met as 6xxxxxxxx; after 999,999,999 they go on at 100,000,000
_LOWEST_CLAIM, _CLAIMS = 100_000_000, 900_000_000

_FORMS = ("21-526EZ", "21-526EZ-ALLCLAIMS")
_OTHER_FORMS = ("21-4142", "21-0781", "28-1900")
_ENDPOINTS = tuple(SUBMIT_ENDPOINTS.values())
_SOURCES = ("VA.gov", "Form526BackupSubmission", "", "=HYPERLINK(A1)")
_SOURCE_TABLE = table([1000, 16, 4, 4])
_BRANCHES = (
    "{Army}", "{Navy}", '{"Air Force"}', '{"Marine Corps"}', '{Army,"Air Force"}', '{"Coast Guard",Navy}', "{}",
    '{"Army Reserve","Space Force"}',
)  # fmt: skip
_COUNTRIES = ("USA", "Canada", "NA", "Côte d'Ivoire", "Congo, Democratic Republic of", "Philippines", "Null Island")
_COUNTRY_TABLE = table([984, 10, 6, 6, 6, 6, 6])
_HOUSING = ("no", "homeless", "atRisk")
_HOUSING_TABLE = table([944, 40, 40])


class Submissions(Dataset):
    """form526_submissions: one row per delivery of a submission; j is 0."""

    feed = feed_named("va_form526/form526_submissions")
    unplanted = frozenset({"created_at.max_ahead"})  # it would also lie after updated_at
    above = frozenset({"disability_count"})  # below, it would also be less than its parts
    special = (
        Defect("form_id.only", PlantedVerdict.FILTERED, "form_id"),
        Defect("row.updated_not_before_created"),
        Defect("row.counts_within_disability_count"),
        Defect("unique.saved_claim_id", column="saved_claim_id"),
        Defect("unique.submitted_claim_id", column="submitted_claim_id"),
    )

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self._people = People(life.dice)

    def rows(self, n: Ints, k: Ints) -> Rows:
        """One row per delivery."""
        return Rows(n, np.zeros(len(n), dtype=np.int64), k)

    def planted(self, rows: Rows) -> Ints:
        """Another form is not a matter of one delivery, but of the submission."""
        rule = super().planted(rows)
        rule[self.life.other_form(rows.n)] = self.rule("form_id.only")
        return rule

    def spared(self, rows: Rows) -> Mask:
        """A submission without contentions removes its set when it is loaded."""
        none: Mask = self.life.set_size(rows.n, rows.k) == 0
        return none

    def applicable(self, rows: Rows, rule: Ints) -> Mask:
        """A number is taken from a submission of the day before, if that was surely loaded and is not sent today."""
        fits: Mask = rule != self.rule("form_id.only")
        sharing = np.flatnonzero(np.isin(rule, [self.rule(f"unique.{name}") for name in self.feed.unique]))
        own = rows.take(sharing)
        rows_per_day = self.life.plan.rows
        other = np.maximum(own.n - rows_per_day, 0)
        first = np.zeros(len(own), dtype=np.int64)
        today = own.n // rows_per_day + self.life.offset(own.n, own.k)
        fits[sharing] = (
            (own.n >= rows_per_day)
            & (self.drawn(self.rows(other, first)) == CLEAN)
            & ~self.life.other_form(other)
            & (self.life.has_claim(other, first) | (rule[sharing] == self.rule("unique.saved_claim_id")))
            & ~self.life.delivered_on(other, today)
        )
        return fits

    def columns(self, rows: Rows, rule: Ints, older: Mask) -> Mapping[str, Typed]:
        """See the contract."""
        dice, n = self.dice, rows.n
        person = self._people.person(n)
        created = self.life.created(n)
        email = self._people.email(person)
        return {
            **self._claim(rows, rule),
            **self._times(rows, rule, older, created),
            **self._contents(rows, rule),
            **self._people.identity(person),
            **self._people.personal(person),
            **self._service(n, person, created),
            **self._address(person),
            "email": Plain(email),
            "form_json": self._form(email, self.life.set_size(n, rows.k)),
            "is_va_employee": Flags(dice.chance("employee", person, 0.04)),
            "multiple_birls": Flags(dice.chance("birls", person, 0.02), dice.chance("birls unknown", n, 0.3)),
            "homeless_or_at_risk": Codes(dice.pick("housing", n, _HOUSING_TABLE), _HOUSING),
            "terminally_ill": Flags(dice.chance("terminal", n, 0.01)),
        }

    def _claim(self, rows: Rows, rule: Ints) -> dict[str, Typed]:
        life, dice, n, k = self.life, self.dice, rows.n, rows.k
        saved_from = n - np.where(rule == self.rule("unique.saved_claim_id"), life.plan.rows, 0)
        claim_from = n - np.where(rule == self.rule("unique.submitted_claim_id"), life.plan.rows, 0)
        has_claim = life.has_claim(n, k) | (claim_from != n)
        state, backup = life.state(n, k), life.backup(n, k)
        form = np.where(life.other_form(n), len(_FORMS) + n % len(_OTHER_FORMS), dice.chance("all claims", n, 0.1))
        endpoint = np.where(backup >= 0, _ENDPOINTS.index("benefits_intake_api"), dice.chance("claims api", n, 0.6))
        return {
            "id": Numbers(n + FIRST_ID),
            "saved_claim_id": Numbers(saved_from + _FIRST_SAVED_CLAIM),
            "saved_claim_guid": Plain(fields.uuids(dice.bits("guid high", n), dice.bits("guid low", n))),
            "submitted_claim_id": Plain(self._claim_number(claim_from, null=~has_claim)),
            "form_id": Codes(form, _FORMS + _OTHER_FORMS),
            "submit_endpoint": Codes(endpoint, _ENDPOINTS, state == AASM_STATES.index("unprocessed"), enum=True),
            "aasm_state": Codes(state, AASM_STATES),
            "workflow_complete": Flags(k >= life.done_from(n)),
            "backup_submitted_claim_id": Plain(
                fields.uuids(dice.bits("backup high", n), dice.bits("backup low", n), backup < 0)
            ),
            "backup_submitted_claim_status": Codes(np.maximum(backup, 0), BACKUP_NAMES, backup < 0, enum=True),
        }

    def _claim_number(self, n: Ints, *, null: Mask) -> fields.Column:
        number = fields.digits((_FIRST_CLAIM - _LOWEST_CLAIM + n) % _CLAIMS + _LOWEST_CLAIM, 9)
        padded = self.dice.chance("padded claim", n, 1 / 512)
        return fields.chosen(padded, fields.fixed(b" ", number, b" ", null=null), fields.fixed(number, null=null))

    def _times(self, rows: Rows, rule: Ints, older: Mask, created: Ints) -> dict[str, Typed]:
        updated = self.life.updated(rows.n, rows.k) - older * fields.SECOND
        backwards = rule == self.rule("row.updated_not_before_created")
        return {
            "created_at": Times(created),
            "updated_at": Times(np.where(backwards, created - fields.DAY, updated)),
            "application_expiration_date": Times(
                created // fields.DAY * fields.DAY + 365 * fields.DAY, self.dice.chance("no draft", rows.n, 0.1)
            ),
        }

    def _contents(self, rows: Rows, rule: Ints) -> dict[str, Typed]:
        dice, n = self.dice, rows.n
        size = self.life.set_size(n, rows.k)
        parts = counts_of(dice, n, size)
        too_many = rule == self.rule("row.counts_within_disability_count")
        return {
            "disability_count": Numbers(size),
            "new_count": Numbers(np.where(too_many, size + 1, parts["NEW"])),
            "increase_count": Numbers(parts["INCREASE"]),
            "secondary_count": Numbers(parts["SECONDARY"]),
            "upload_count": Numbers(self.life.uploads(n)),
            "has_form4142": Flags(self.life.has("form4142", n)),
            "has_form0781": Flags(self.life.has("form0781", n)),
            "has_form8940": Flags(self.life.has("form8940", n)),
            "has_toxic_exposure": Flags(dice.chance("toxic exposure", n, 0.2)),
            "started_form_version": Codes(dice.chance("2022", n, 0.9).astype(np.int64), ("2019", "2022")),
            "standard_claim": Flags(dice.chance("standard", n, 0.2)),
            "claim_submission_source": Codes(dice.pick("source", n, _SOURCE_TABLE), _SOURCES),
        }

    def _service(self, n: Ints, person: Ints, created: Ints) -> dict[str, Typed]:
        dice, bdd = self.dice, self.life.has("bdd", n)
        leaves = created // fields.DAY + 90 + dice.below("separation", n, 90)  # BDD: 90 - 180 days before
        process = np.where(
            bdd, PROCESS_TYPES.index("BDD_PROGRAM"), 1 + dice.below("process", n, len(PROCESS_TYPES) - 1)
        )
        return {
            "service_branches": Codes(dice.below("branch", person, len(_BRANCHES)), _BRANCHES),
            "bdd_qualified": Flags(bdd),
            "claim_process_type": Codes(process, PROCESS_TYPES, dice.chance("no process", n, 0.1)),
            "anticipated_separation_date": Plain(fields.fixed(fields.dates(leaves), null=~bdd)),
        }

    def _address(self, person: Ints) -> dict[str, Typed]:
        dice = self.dice
        country = dice.pick("country", person, _COUNTRY_TABLE)
        abroad = country != _COUNTRIES.index("USA")
        five = fields.digits(dice.below("zip", person, 10**5), 5)  # one in ten begins with 0
        nine = fields.fixed(five, b"-", fields.digits(dice.below("zip4", person, 10**4), 4), null=abroad)
        return {
            "mailing_state": Codes(dice.below("state", person, len(STATES)), STATES, abroad),
            "mailing_zip": Plain(
                fields.chosen(dice.chance("zip long", person, 0.2), nine, fields.fixed(five, null=abroad))
            ),
            "country": Codes(country, _COUNTRIES),
        }

    def _form(self, email: fields.Column, size: Ints) -> Escaped:
        """A small form in the layout of feeds.md 1.5."""
        text = fields.joined(
            b'{""form526"":{""form526"":{""veteran"":{""emailAddress"":""', email, b'""},""disabilities"":',
            fields.taken([first_disabilities(count) for count in range(3)], np.minimum(size, 2)),
            b'}},""form526_uploads"":[],""form4142"":null}',
        )  # fmt: skip
        return Escaped(text)
