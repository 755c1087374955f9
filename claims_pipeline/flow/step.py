"""What the steps have in common: the services, the run, and how a dump is settled.

Belongs here: what more than one step needs. Does not belong here: a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed
from claims_pipeline.services import Services
from claims_pipeline.vocabulary import NO_ROWS, NO_ROWS_AS_USUAL, CheckOutcome, DumpStatus, DumpVerdict
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.ledger import Dump

Progress = Callable[[int], None]
"""Told how many rows of the dump the step at hand has done."""


@dataclass(frozen=True)
class Step:
    """One run's way to the services.

    Attributes:
        services: the database, S3 and keys.
        run_id: noted in ledger and audit with all that is done.
        progress: told of rows done by long steps.
        frames_prefix: put before the keys of validated frames, by those who must not touch the archive's own.
    """

    services: Services
    run_id: str
    progress: Progress | None = None
    frames_prefix: str = ""

    @property
    def inbox(self) -> str:
        """Bucket that senders write to."""
        return self.services.settings.inbox_bucket

    @property
    def archive_bucket(self) -> str:
        """Bucket of the raw archive and the validated frames."""
        return self.services.settings.archive_bucket

    def settle(
        self,
        dump: Dump,
        status: DumpStatus,
        verdict: DumpVerdict | None,
        reason: str,
        outcome: CheckOutcome | None = None,
    ) -> Dump:
        """Note what became of a dump, unless another process has gone on with it; the dump as it is now."""
        with self.services.database() as connection, connection.transaction():
            if not ledger.is_still(connection, dump):
                return ledger.get(connection, dump.dump_id)
            ledger.touch(connection, dump.dump_id, self.run_id)
            ledger.settle(connection, dump.dump_id, status, verdict=verdict, reason=reason)
            if outcome is not None:
                ledger.record_check(connection, dump.dump_id, outcome)
            return ledger.get(connection, dump.dump_id)

    def hold(self, dump: Dump, outcome: CheckOutcome) -> Dump:
        """Let a dump wait for a person."""
        return self.settle(dump, DumpStatus.REFUSED, DumpVerdict.HELD, waits(dump, outcome.summary), outcome)


def waits(dump: Dump, doubt: str) -> str:
    """The reason of a dump that is held."""
    return f"{doubt}; waits for `claims-pipeline approve {dump.dump_id}` or `reject`"


def no_rows(feed: Feed | None) -> str:
    """The reason of a dump without a row, which says whether a person is to know of it."""
    return NO_ROWS_AS_USUAL if feed is not None and feed.empty_is_usual else NO_ROWS


def refuse_pruned(dump: Dump) -> None:
    """Raise ClaimsPipelineError where retention has taken a dump's raw bytes."""
    if dump.raw_pruned_at is not None:
        raise ClaimsPipelineError(f"dump {dump.dump_id} of {dump.feed}: {dump.pruned}")
