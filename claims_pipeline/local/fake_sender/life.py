"""The life of invented claims: when each is made, when it is sent again, and what has become of it by then.

Belongs here: pure functions of a submission's number n (0 .. rows * days - 1) and of its delivery k (0 the first), over
whole arrays. A submission is sent again over three weeks: jobs are retried, the claim number arrives, the backup path
and engineers step in. Does not belong here: columns and their texts (`submissions` and its children), defects.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from claims_pipeline.feeds.va_form526 import AASM_STATES, BACKUP_STATUSES, FIRST_526, REMEDIATION_TYPES
from claims_pipeline.local.fake_sender import fields
from claims_pipeline.local.fake_sender.dialect import Dialect
from claims_pipeline.local.fake_sender.dice import SLOTS, Dice, Ints, Mask, table

DUMP_TIME = dt.time(5, 0, tzinfo=dt.UTC)  # a dump holds the changes of the 24 hours before it is made
FIRST_ID = 1_000_001  # of submissions: n counts from 0
NEVER = 9  # later than any delivery
MOST_DELIVERIES = 5
LONGEST_GAP = 5  # days between two deliveries
LONGEST_LIFE = LONGEST_GAP * (MOST_DELIVERIES - 1)  # days
MOST_SUBMISSIONS = 900_000_000  # as many 9-digit claim numbers exist

_CHUNK = 1 << 15  # rows rendered at once: small enough for the caches, large enough to hide the cost of a call
_SCAN = 1 << 18  # submissions looked at for one


@dataclass(frozen=True)
class Plan:
    """What to generate.

    Attributes:
        first: first delivery day (UTC).
        days: how many delivery days.
        rows: new submissions per day; children and re-sent rows come on top.
        seed: another seed is another world.
        dirt: share of the rows with a planted defect, 0..1.
        dialect: how every dump is written; None lets the seed choose for each.
    """

    first: dt.date
    days: int
    rows: int
    seed: int = 526
    dirt: float = 0.02
    dialect: Dialect | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a plan that cannot be carried out."""
        if self.days < 1 or self.rows < 1 or self.rows * self.days > MOST_SUBMISSIONS:
            raise ValueError(f"days and rows must be 1 or more, and rows * days at most {MOST_SUBMISSIONS:,}")
        if not 0 <= self.dirt <= 1:
            raise ValueError("dirt is a share: 0 .. 1")
        if self.first <= FIRST_526.date():
            raise ValueError(
                f"the first delivery day must be after {FIRST_526.date()}: the contract knows no earlier row"
            )


@dataclass(frozen=True)
class Path:
    """One course that a submission can take; tuples have an entry per delivery.

    Attributes:
        weight: slots of 1024 submissions.
        states: aasm_state.
        claim_from: first delivery with a claim number.
        done_from: first delivery with all jobs ended.
        backup: backup_submitted_claim_status.
        remediation_from: first delivery with a remediation.
        remediation: its type.
    """

    weight: int
    states: tuple[str, ...]
    claim_from: int = NEVER
    done_from: int = NEVER
    backup: tuple[str | None, ...] = ()
    remediation_from: int = NEVER
    remediation: str = "manual"


PATHS = (
    Path(330, ("delivered_to_primary",), 0, 0),
    Path(250, ("delivered_to_primary", "finalized_as_successful"), 0, 0),
    Path(200, ("unprocessed", "delivered_to_primary", "finalized_as_successful"), 1, 1),
    Path(
        60, ("unprocessed", "failed_primary_delivery", "delivered_to_backup", "finalized_as_successful"), 3, 2,
        (None, None, "accepted", "paranoid_success"),
    ),
    Path(40, ("unprocessed", "rejected_by_primary", "delivered_to_backup"), NEVER, 2, (None, None, "accepted")),
    Path(
        50, ("unprocessed", "failed_primary_delivery", "failed_backup_delivery", "in_remediation",
             "processed_in_batch_remediation"), 4, 4, remediation_from=3,
    ),
    Path(
        34, ("unprocessed", "rejected_by_primary", "rejected_by_backup", "in_remediation", "finalized_as_successful"),
        4, 4, (None, None, "rejected", "rejected", "rejected"), remediation_from=3, remediation="email_notified",
    ),
    Path(
        30, ("unprocessed", "failed_primary_delivery", "in_remediation", "ignorable_duplicate"),
        remediation_from=2, remediation="ignored_as_duplicate",
    ),
    Path(30, ("unprocessed", "unprocessable")),
)  # fmt: skip

REMEDIATION_NAMES = tuple(REMEDIATION_TYPES.values())
BACKUP_NAMES = tuple(BACKUP_STATUSES.values())


def _per_delivery(entries: list[list[int]]) -> Ints:
    return np.array([row + [row[-1]] * (MOST_DELIVERIES - len(row)) for row in entries], dtype=np.int64)


_PATH_TABLE = table([path.weight for path in PATHS])
_STATES = _per_delivery([[AASM_STATES.index(state) for state in path.states] for path in PATHS])
_BACKUPS = _per_delivery(
    [[-1 if s is None else BACKUP_NAMES.index(s) for s in path.backup or (None,)] for path in PATHS]
)
_DELIVERIES = fields.as_ints([len(path.states) for path in PATHS])
_CLAIM_FROM = fields.as_ints([path.claim_from for path in PATHS])
_DONE_FROM = fields.as_ints([path.done_from for path in PATHS])
_BACKUP_FROM = fields.as_ints([next((k for k, s in enumerate(p.backup) if s), NEVER) for p in PATHS])
_REMEDIATION_FROM = fields.as_ints([path.remediation_from for path in PATHS])
_REMEDIATION = fields.as_ints([REMEDIATION_NAMES.index(path.remediation) for path in PATHS])

_SET_SIZES = table([20, 190, 220, 180, 130, 90, 60, 45, 30, 20, 15, 12, 12])  # contentions; 2 % of the forms hold none
_SET_CHANGES = table([SLOTS // 8, SLOTS - SLOTS // 4, SLOTS // 8])  # one fewer, the same, one more
_PART_SHARES = {"form4142": 0.12, "form0781": 0.15, "form8940": 0.05, "bdd": 0.06}
_UPLOADS = table([420, 250, 150, 90, 60, 34, 20])


class Life:
    """What becomes of every submission of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.dice = Dice(plan.seed)
        self._start = round(dt.datetime.combine(plan.first, DUMP_TIME).timestamp()) * fields.SECOND - fields.DAY

    def stamp(self, day: int) -> int:
        """When the dump of the plan's day (0 the first) is made, in microseconds since 1970."""
        return self._start + (day + 1) * fields.DAY

    # ------------------------------------------------------------------------------------------ deliveries

    def path(self, n: Ints) -> Ints:
        """Index of the submission's path."""
        return self.dice.pick("path", n, _PATH_TABLE)

    def offset(self, n: Ints, k: Ints) -> Ints:
        """Days between the first delivery and delivery k."""
        bits = self.dice.bits("gaps", n)
        days = np.zeros(len(n), dtype=np.int64)
        for gap in range(MOST_DELIVERIES - 1):
            octet = ((bits >> np.uint64(8 * gap)) & np.uint64(255)).astype(np.int64)
            days += np.where(gap < k, 1 + (octet * LONGEST_GAP >> 8), 0)
        return days

    def delivered_on(self, n: Ints, day: Ints) -> Mask:
        """Whether any delivery of the submission falls on that day of the plan."""
        age, count = day - n // self.plan.rows, _DELIVERIES[self.path(n)]
        hit = np.zeros(len(n), dtype=np.bool_)
        for k in range(MOST_DELIVERIES):
            hit |= (self.offset(n, np.full_like(n, k)) == age) & (k < count)
        return hit

    def deliveries(self, day: int) -> Iterator[tuple[Ints, Ints]]:
        """All (n, k) that the dump of a day holds, ascending by n, in chunks."""
        held: list[tuple[Ints, Ints]] = []
        size = 0
        for n in self._living(day):
            of_today = n[0] >= day * self.plan.rows
            found = (n, np.zeros_like(n)) if of_today else self._sent_again(n, day)
            held.append(found)
            size += len(found[0])
            if size >= _CHUNK:
                whole = tuple(np.concatenate(parts) for parts in zip(*held, strict=True))
                for start in range(0, size - _CHUNK + 1, _CHUNK):
                    yield whole[0][start : start + _CHUNK], whole[1][start : start + _CHUNK]
                left = size - size % _CHUNK
                held, size = [(whole[0][left:], whole[1][left:])], size % _CHUNK
        if size:
            n, k = (np.concatenate(parts) for parts in zip(*held, strict=True))
            yield n, k

    def _living(self, day: int) -> Iterator[Ints]:
        """Submissions that may be in the dump of a day; a block never mixes the day's own with earlier ones."""
        rows = self.plan.rows
        for begin, end in ((max(0, day - LONGEST_LIFE) * rows, day * rows), (day * rows, (day + 1) * rows)):
            for start in range(begin, end, _SCAN):
                yield np.arange(start, min(start + _SCAN, end), dtype=np.int64)

    def _sent_again(self, n: Ints, day: int) -> tuple[Ints, Ints]:
        age, count = day - n // self.plan.rows, _DELIVERIES[self.path(n)]
        k = np.zeros(len(n), dtype=np.int64)
        for later in range(1, MOST_DELIVERIES):
            k[(later < count) & (self.offset(n, np.full_like(n, later)) == age)] = later
        hit = k > 0
        return n[hit], k[hit]

    # ------------------------------------------------------------------------------------------ times

    def created(self, n: Ints) -> Ints:
        """When it was submitted, in microseconds since 1970: ascending with n, within the first delivery's window."""
        day, place = np.divmod(n, self.plan.rows)
        span = 86_000 * fields.SECOND
        step = span // self.plan.rows
        moment: Ints = self._start + day * fields.DAY + place * step
        return moment + self.dice.below("created", n, min(step, 1 << 32))

    def updated(self, n: Ints, k: Ints) -> Ints:
        """When delivery k last changed, in microseconds since 1970: over 2 seconds later than delivery k - 1."""
        number = n * 8 + k
        lag = self.dice.below("lag", number, 50 * fields.SECOND) + 3 * fields.SECOND
        window = self._start + (n // self.plan.rows + self.offset(n, k)) * fields.DAY
        second = self.dice.below("second", number, 86_000) * fields.SECOND
        return np.where(k == 0, self.created(n) + lag, window + second + lag)

    # ------------------------------------------------------------------------------------------ facts

    def state(self, n: Ints, k: Ints) -> Ints:
        """Index into the contract's aasm states."""
        return _STATES[self.path(n), k]

    def has_claim(self, n: Ints, k: Ints) -> Mask:
        """Whether the claim number has arrived."""
        return k >= _CLAIM_FROM[self.path(n)]

    def done_from(self, n: Ints) -> Ints:
        """First delivery with all jobs ended; NEVER for lost ones."""
        return _DONE_FROM[self.path(n)]

    def backup(self, n: Ints, k: Ints) -> Ints:
        """Index of the backup status, -1 for none."""
        return _BACKUPS[self.path(n), k]

    def backup_from(self, n: Ints) -> Ints:
        """First delivery that went the backup path."""
        return _BACKUP_FROM[self.path(n)]

    def remediation_from(self, n: Ints) -> Ints:
        """First delivery with a remediation."""
        return np.where(self.other_form(n), NEVER, _REMEDIATION_FROM[self.path(n)])

    def remediation(self, n: Ints) -> Ints:
        """Index of the remediation's type."""
        return _REMEDIATION[self.path(n)]

    def other_form(self, n: Ints) -> Mask:
        """Whether it is a submission of another form, which the contract leaves out. It has no children."""
        return self.dice.chance("other form", n, self.plan.dirt / 8)

    def set_size(self, n: Ints, k: Ints) -> Ints:
        """Contentions at delivery k: now and then one fewer or more than before; some hold none, some more than 100."""
        first = self.dice.pick("set size", n, _SET_SIZES)
        huge = self.dice.chance("huge set", n, 1 / 4096)
        first = np.where(huge, 101 + self.dice.below("huge size", n, 40), first)
        size = first.copy()
        for step in range(1, MOST_DELIVERIES):
            change = self.dice.pick("set change", n * 8 + step, _SET_CHANGES) - 1
            size = np.where(step <= k, np.maximum(size + change, 0), size)
        return np.where((first == 0) | self.other_form(n), 0, size)

    def has(self, part: str, n: Ints) -> Mask:
        """Whether the submission has a part that is also a job: "form4142", "form0781", "form8940" or "bdd"."""
        return self.dice.chance(part, n, _PART_SHARES[part])

    def uploads(self, n: Ints) -> Ints:
        """Documents uploaded."""
        return np.where(self.other_form(n), 0, self.dice.pick("uploads", n, _UPLOADS))
