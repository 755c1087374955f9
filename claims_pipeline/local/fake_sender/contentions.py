"""The contentions of invented claims: what submissions count and contentions tell.

Belongs here: what `form526_submissions` and `form526_contentions` must agree on, and the latter's columns.
Does not belong here: how many contentions there are (`life`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from claims_pipeline.feeds import feed_named
from claims_pipeline.feeds.va_form526 import ACTION_TYPES, CAUSES
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.dataset import Dataset, Rows, expanded
from claims_pipeline.local.fake_sender.defects import Defect, PlantedVerdict
from claims_pipeline.local.fake_sender.dialect import Codes, Numbers, Plain, Typed
from claims_pipeline.local.fake_sender.dice import SLOTS, Dice, Ints, Mask, table
from claims_pipeline.local.fake_sender.life import FIRST_ID

_ACTION_TABLE = table([31, 560, 154, 256, 23])  # NONE, NEW, SECONDARY, INCREASE, REOPEN
_INCREASE = ACTION_TYPES.index("INCREASE")
_SECONDARY = ACTION_TYPES.index("SECONDARY")

CONDITIONS = (
    "Tinnitus", "Left knee strain", "Migraine headaches", 'Back pain, "lower", since 2009', "Hearing loss\nboth ears",
    "Asthma, chronic", "=SUM(A1:A9)", "PTSD (post-traumatic stress disorder)", "Ménière's disease", "  Sleep apnea ",
    "Scars; burn, right arm\r\nand hand", "None", "NA", "'quoted'", "Hypertension", "Rhinitis\tallergic",
)  # fmt: skip
_CLASSIFICATIONS = ("8989", "3140", "249485", "0230", "", "string")
_CLASSIFICATION_TABLE = table([512, 256, 200, 40, 8, 8])
_ISSUES = ("{}", "{PTSD/1}", "{MST}", "{ALS,HEPC}", '{POW,"PTSD/4"}')
_ISSUE_TABLE = table([900, 62, 31, 21, 10])


def action_of(dice: Dice, n: Ints, ordinal: Ints) -> Ints:
    """Index of the action of the contention at that place (from 1) of submission n."""
    return dice.pick("action", (n << 8) | ordinal, _ACTION_TABLE)


def counts_of(dice: Dice, n: Ints, size: Ints) -> dict[str, Ints]:
    """For submissions with so many contentions: how many there are of each action."""
    owner, ordinal = expanded(size)
    action = action_of(dice, n[owner], ordinal)
    kinds = len(ACTION_TYPES)
    tally = np.bincount(owner * kinds + action, minlength=len(n) * kinds).reshape(len(n), kinds)
    return dict(zip(ACTION_TYPES, tally.T, strict=True))


def first_disabilities(count: int) -> bytes:
    """A form's "disabilities" (feeds.md 1.5) as JSON inside a quoted CSV field: the same words for every form."""
    listed = [{"name": name} for name in CONDITIONS[:count]]
    return json.dumps(listed, separators=(",", ":")).replace('"', '""').encode()


class Contentions(Dataset):
    """form526_contentions: the whole set of a submission, whenever that is sent; j is the place on the form, from 1."""

    feed = feed_named("va_form526/form526_contentions")
    special = (Defect("row.increase_has_diagnostic_code", PlantedVerdict.WARNING),)

    def rows(self, n: Ints, k: Ints) -> Rows:
        """One row per contention."""
        owner, ordinal = expanded(self.life.set_size(n, k))
        return Rows(n[owner], ordinal, k[owner])

    def spared(self, rows: Rows) -> Mask:
        """Each set keeps a loaded row, so that it replaces the one before."""
        first: Mask = rows.j == 1
        return first

    def applicable(self, rows: Rows, rule: Ints) -> Mask:
        """Only an increase can lack its code."""
        fits: Mask = rule != self.rule("row.increase_has_diagnostic_code")
        fits |= action_of(self.dice, rows.n, rows.j) == _INCREASE
        return fits

    def gained(self, n: Ints, k: Ints, rows: Rows, rule: Ints) -> int:
        """The loaded sets, less those of the deliveries before, which they replace."""
        again = k > 0
        before = self.rows(n[again], k[again] - 1)
        return int(self.loaded(rule).sum()) - int(self.loaded(self.planted(before)).sum())

    def columns(self, rows: Rows, rule: Ints, older: Mask) -> Mapping[str, Typed]:
        """See the contract."""
        dice, n, k, entity = self.dice, rows.n, rows.k, rows.entity
        action = action_of(dice, n, rows.j)
        increase = action == _INCREASE
        no_code = ~increase & ~dice.chance("code known", entity, 0.3)
        unclassified = (k == 0) & dice.chance("classified later", entity, 0.3)
        condition = dice.below("condition", entity, len(CONDITIONS))
        rated = fields.fixed(fields.digits(dice.below("rated", entity, 10**9), 10), null=~increase)
        return {
            "submission_id": Numbers(n + FIRST_ID),
            "ordinal": Numbers(rows.j),
            "contention_id": Numbers(entity, ~self.life.has_claim(n, k)),
            "name": Codes(condition, CONDITIONS),
            "action_type": Codes(action, ACTION_TYPES),
            "diagnostic_code": Numbers(
                5000 + dice.below("code", entity, 5000),
                no_code | (rule == self.rule("row.increase_has_diagnostic_code")),
            ),
            "classification_code": Codes(
                dice.pick("class", entity, _CLASSIFICATION_TABLE), _CLASSIFICATIONS, unclassified
            ),
            "rated_disability_id": Plain(rated),
            "approximate_date_raw": Plain(self._partial_date(entity)),
            "cause": Codes(dice.below("cause", entity, len(CAUSES)), CAUSES, increase),
            "special_issues": Codes(dice.pick("issues", entity, _ISSUE_TABLE), _ISSUES),
            "is_secondary_of": Codes((condition + 1) % len(CONDITIONS), CONDITIONS, action != _SECONDARY),
        }

    def _partial_date(self, entity: Ints) -> fields.Column:
        """YYYY-MM-DD with X for what is not known: days least often known, years nearly always."""
        draw = self.dice.bits("known parts", entity).astype(np.int64) & (SLOTS - 1)
        texts = []
        for part, width, first, span, unknown in (
            ("year", 4, 1960, 60, 31),
            ("month", 2, 1, 12, 255),
            ("day", 2, 1, 31, 511),
        ):
            known = fields.fixed(fields.digits(first + self.dice.below(part, entity, span), width))
            texts.append(fields.chosen(draw < unknown, b"X" * width, known))
        whole = fields.joined(texts[0], b"-", texts[1], b"-", texts[2])
        return fields.chosen(self.dice.chance("undated", entity, 0.1), fields.nothing(len(entity)), whole)
