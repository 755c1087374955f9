"""The steps of a dump's way, as one object for one run.

Belongs here: what a run does before and around the steps, and the steps' descriptions. Does not belong here: how a step
works (archiving.py, validating.py, loading.py).

Each step is idempotent and takes up where the ledger says that the dump is. A step that meets bad data settles the dump
(refused, skipped) and returns; it raises only for trouble that is not the dump's.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from claims_pipeline import arrival, frames
from claims_pipeline.arrival import Discovery
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.extent import Extent
from claims_pipeline.feeds import Feed, Sender, all_feeds
from claims_pipeline.flow import archiving, loading, validating
from claims_pipeline.flow.observed import observed, tell_found
from claims_pipeline.flow.step import Step
from claims_pipeline.landing import s3
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline.warehouse import ledger
from claims_pipeline.warehouse.apart import Seal
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.migrate import is_migrated, migrate, pending, record_if_it_fits

OUT_OF_EFFECT = (DumpStatus.SUPERSEDED, DumpStatus.UNDONE)


@dataclass(frozen=True)
class Flow(Step):
    """The steps, for one run; see `Step` for what it is made of."""

    def prepare(self, feeds: Sequence[Feed] | None = None) -> None:
        """Make sure that the database knows the contracts; embedded parts are set up on the way.

        A contract that the database has not recorded is loaded from the code, if the feed's table has its columns.

        Args:
            feeds: those that are needed, besides the ops schema; None for all.

        Raises:
            ClaimsPipelineError: a real database was not migrated to this version.
        """
        wanted = all_feeds() if feeds is None or self.services.embedded_database else feeds
        if self.services.embedded_s3:
            for bucket in (self.inbox, self.archive_bucket):
                s3.ensure_bucket(self.services.s3, bucket)
        with self.services.database() as connection:
            missing = pending(connection, wanted)
            if not missing and is_migrated(connection):
                return
            if self.services.embedded_database:
                with self.services.owner_database() as owner:
                    migrate(owner, wanted)
                return
            unmet = [feed.name for feed in missing if not record_if_it_fits(connection, feed)]
            if unmet or not is_migrated(connection):
                what = f"has no tables for the contracts of {', '.join(unmet)}" if unmet else "is of another version"
                raise ClaimsPipelineError(
                    f"the database {what}: run `claims-pipeline migrate` with CLAIMS_OWNER_DATABASE_URL"
                )

    def discover(self, sender: Sender, extent: Extent | None = None) -> Discovery:
        """Look into the sender's inbox and enter what is new into the ledger. Reads no dump.

        Args:
            sender: whose inbox.
            extent: how much of it is listed; None for all.

        Raises:
            Transient, ClaimsPipelineError: the listing or the database failed; nothing is concluded from that.
        """
        found = arrival.look(self.services, sender, extent)
        tell_found(self, sender, found)
        return found

    def discover_twice(self, sender: Sender, extent: Extent | None = None) -> Discovery:
        """Look, and where uploads may be going on, look once more after the time that they take to settle.

        For one-shot work; a sensor's next tick is its second look.

        Args:
            sender: whose inbox.
            extent: how much of it is listed; None for all.

        Raises:
            Transient, ClaimsPipelineError: see `discover`.
        """
        extent = extent or Extent.whole(self.services.s3, self.inbox, sender)
        first = self.discover(sender, extent)
        if not first.settling:
            return first
        time.sleep(self.services.settings.settle_seconds)
        extent.again()
        second = self.discover(sender, extent)
        return replace(second, new=first.new + second.new, strange=first.strange + second.strange)

    def dumps(self, feed: Feed, days: Sequence[dt.date], *, everything: bool) -> list[Dump]:
        """Dumps of a feed's days, oldest stamp first: those with work left, or all that may be in the table."""
        with self.services.database() as connection:
            found = ledger.dumps_of(connection, feed.sender.name, feed.dataset, days)
        found = [dump for dump in found if dump.ready]
        if everything:
            return [
                dump
                for dump in found
                if dump.is_open
                or (dump.archive_key and dump.verdict not in archiving.REPEATS and dump.status not in OUT_OF_EFFECT)
            ]
        return [dump for dump in found if dump.is_open]

    def keep_unknown(self, dumps: Sequence[Dump], *, most_bytes: int | None = None) -> None:
        """Archive dumps that no contract knows, so that they can be loaded once one does, whatever the sender deletes.

        Args:
            dumps: found by `discover`; others than unknown ones are passed over.
            most_bytes: leave larger ones in the inbox (a sensor's tick has a minute); None for no limit.
        """
        archiving.keep_unknown(self, dumps, most_bytes=most_bytes)

    def archive(self, dump: Dump, feed: Feed) -> Dump:
        """Copy the dump byte for byte into the raw archive and decide what it is by its content.

        A dump that was archived earlier is read again from the archive, and its SHA-256 compared. Until it was loaded,
        its bytes are compared with what the sidecars in the inbox promise; what they promise is noted in the archive.
        """
        return observed(self, "archive", dump, feed, archiving.archive)

    def judge(self, dump: Dump, *, archive_key: str, size: int, sha256: str, version_id: str | None) -> Dump:
        """Note that a dump's bytes are archived, and decide what it is by them and the dumps known so far.

        Args:
            dump: the ledger's row.
            archive_key: where its bytes are.
            size: bytes read from there, or written there.
            sha256: of these, hex.
            version_id: of the object in the inbox.
        """
        return archiving.judge(self, dump, archive_key=archive_key, size=size, sha256=sha256, version_id=version_id)

    def validate(self, dump: Dump, feed: Feed) -> Dump:
        """Read the archived dump as its contract says, and write validated rows and sealed rejects as Parquet."""
        return observed(self, "validate", dump, feed, validating.validate)

    def read(
        self, dump: Dump, feed: Feed, rows_file: Path | BinaryIO, rejects_file: Path | BinaryIO
    ) -> frames.Validation:
        """Read an archived dump as its contract says into two files; nothing is noted anywhere.

        Raises:
            BadDump: the contract refuses it.
            Transient, ClaimsPipelineError: the archive failed, or no longer has it.
        """
        return validating.read(self, dump, feed, rows_file, rejects_file)

    def load(self, dump: Dump, feed: Feed) -> Dump:
        """Load the validated dump into its table, in one transaction with history, quarantine, audit and ledger."""
        return observed(self, "load", dump, feed, loading.load)

    def sealer(self, feed: Feed) -> Seal:
        """Seals rows that turn out to belong into quarantine when they meet the table."""
        return loading.sealer(self, feed)

    def frames_in_effect(self, feed: Feed, dump: Dump) -> frames.ValidatedRows:
        """The validated rows of a dump that is in the table, as they were loaded.

        Where their columns are no longer the contract's, or retention has taken them, they are made from the raw
        archive again, and stored.

        Raises:
            ClaimsPipelineError: neither is there any more.
        """
        return loading.frames_in_effect(self, feed, dump)
