"""Erasing a person: search, take out in one transaction, delete what is left of it in S3. And doing so again.

Belongs here: who is erased, the order of the steps, what is told of it. Does not belong here: where rows are
(searching.py), SQL (warehouse), the notes' form (notes.py).

The register is written in the transaction that deletes; from its commit on no validation lets the person in. Frames are
written again without the person before the commit, and the old ones deleted after it; whatever breaks off in between is
done by the next erasure or prune.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

import psycopg

from claims_pipeline import failpoints
from claims_pipeline.erasure import notes
from claims_pipeline.erasure.finishing import finish
from claims_pipeline.erasure.notes import Note
from claims_pipeline.erasure.searching import Each, Found, Frames, Search, followed
from claims_pipeline.erasure.telling import Erased, told_of
from claims_pipeline.errors import ClaimsPipelineError
from claims_pipeline.feeds import Feed, all_senders
from claims_pipeline.flow import Flow
from claims_pipeline.flow.validating import REJECTS, ROWS
from claims_pipeline.frames import without
from claims_pipeline.landing import layout, s3
from claims_pipeline.landing.s3_files import object_reader, object_writer
from claims_pipeline.warehouse import erasure as sql
from claims_pipeline.warehouse import withheld
from claims_pipeline.warehouse.load import lock_tables
from claims_pipeline.warehouse.withheld import Register

MAX_REASON = 500
"""Characters of a reason: a sentence, and no extract of a dump."""

_AGAIN = "what the register of erased persons names was there again"


@dataclass(frozen=True)
class Request:
    """What a person asks for, in the words of who carries it out.

    Attributes:
        sender: name of the sender.
        tokens: tokens of the person, as stored; those of one identifier under several keys joined by commas, as
            `claims-pipeline token` prints them.
        by: who carries it out.
        reason: why; no value of a record.
        follow: take further tokens in the person's rows for the person's too.
        search_raw: read raw dumps whose frames are gone.
    """

    sender: str
    tokens: tuple[str, ...]
    by: str
    reason: str
    follow: bool = False
    search_raw: bool = False

    @property
    def identifiers(self) -> dict[str, str]:
        """Every token that is given, each with the first one of the same identifier."""
        return {one: joined.split(",")[0] for joined in self.tokens for one in joined.split(",")}


def erase(flow: Flow, request: Request, *, dry_run: bool, each: Each | None = None) -> Erased:
    """Take a person's rows out of tables, history, quarantine and frames of one sender, for good.

    Args:
        flow: the steps, for one run.
        request: whom, who asks and why.
        dry_run: only tell what would be done.
        each: told what is being searched.

    Raises:
        ClaimsPipelineError: a token is none, stands for several persons, or who or why is missing; or a feed's rows
            cannot be followed.
        Transient: S3 or the database failed; nothing is done, or a repetition finishes it. What S3 does not let go once
            the erasure is committed is told in the answer instead (`Erased.undeleted`).
    """
    _check(request)
    feeds = followed(request.sender)
    if not feeds:
        raise ClaimsPipelineError(f"no sender with rows of persons is named {request.sender!r}")
    undeleted = () if dry_run else finish(flow.services).undeleted
    search = Search(flow, feeds, raw=request.search_raw, each=each)
    with flow.services.owner_database() as connection:
        tokens = _persons(connection, feeds, request)
        while True:
            with connection.transaction():
                found = search.run(connection, _register(connection, request, tokens))
            if not (request.follow and found.others):
                break
            tokens |= found.others
        if dry_run or not found.anything:
            return replace(told_of(flow, found, feeds, None), undeleted=undeleted)
        with connection.transaction():
            erasure_id, found = _carry_out(flow, connection, search, request, tokens)
            told = told_of(flow, found, feeds, erasure_id)
            _record(flow, connection, "erase", erasure_id, request, found, told)
    failpoints.reach("erase.committed")
    return replace(told, undeleted=finish(flow.services).undeleted)


def erase_again(
    flow: Flow, *, by: str, dry_run: bool = False, senders: Sequence[str] | None = None, each: Each | None = None
) -> list[Erased]:
    """Apply the register to what is there: rows of erased persons that came in another way leave again.

    Such ways are a database restored from a backup, whose register learns from the archive's notes what it lacks, and a
    row that came before the one that says whose it is.

    Args:
        flow: the steps, for one run.
        by: who asks.
        dry_run: only tell.
        senders: names; None for all.
        each: told what is being searched.

    Returns:
        For each sender of whom rows were there, what was done.

    Raises:
        ClaimsPipelineError, Transient: as `erase`.
    """
    services, done = flow.services, []
    if not dry_run:
        finish(services)
    with services.owner_database() as connection:
        if not dry_run:
            notes.take_notes(services, connection, senders=senders)
        for sender in [one.name for one in all_senders() if senders is None or one.name in senders]:
            register = withheld.read(connection, sender)
            if dry_run:  # what would be learned first
                register = notes.added_to(services, sender, register)
            if not register or not (feeds := followed(sender)):
                continue
            search = Search(flow, feeds, raw=False, each=each)
            with connection.transaction():
                found = search.run(connection, register)
            if not found.removable:
                continue
            told = told_of(flow, found, feeds, None)
            if not dry_run:
                request = Request(sender, (), by, _AGAIN)
                with connection.transaction():
                    erasure_id, found = _carry_out(flow, connection, search, request, set())
                    told = told_of(flow, found, feeds, erasure_id)
                    _record(flow, connection, "again", erasure_id, request, found, told)
            done.append(told)
    if dry_run or not done:
        return done
    undeleted = finish(services).undeleted
    return [replace(one, undeleted=undeleted) for one in done]


def erase_in_tables(flow: Flow, feeds: Sequence[Feed]) -> None:
    """Apply the register to tables and history alone, as a rebuild does at its end: frames were made by it already.

    Rows may have come before the one that says whose they are. Nothing is audited: the database is a copy.

    Args:
        flow: the steps; its database is the rebuilt one.
        feeds: those that the database holds.
    """
    with flow.services.owner_database() as connection:
        for sender in dict.fromkeys(feed.sender.name for feed in feeds):
            register = withheld.read(connection, sender)
            if not register:
                continue
            there = [feed for feed in followed(sender) if feed in feeds]
            names = {feed.dataset for feed in there}
            there = [feed for feed in there if feed.subject and (feed.subject.of is None or feed.subject.of in names)]
            with connection.transaction():
                for feed in there:
                    sql.mark(connection, feed, list(register.tokens), register.keys.get(feed.dataset, ()))
                for feed in there:
                    sql.delete(connection, feed, list(register.tokens))


# ---------------------------------------------------------------------------------------------- whom


def _check(request: Request) -> None:
    if not request.by.strip() or not request.reason.strip():
        raise ClaimsPipelineError("an erasure needs who decides and why (--reason)")
    if len(request.reason) > MAX_REASON:
        raise ClaimsPipelineError(f"the reason is longer than {MAX_REASON} characters; never paste parts of a dump")
    if not request.identifiers or not all(token.strip() == token != "" for token in request.identifiers):
        raise ClaimsPipelineError("say whose rows: a token as the tables hold it (`claims-pipeline token` makes it)")


def _persons(connection: psycopg.Connection, feeds: Sequence[Feed], request: Request) -> set[str]:
    """The tokens given, and the first token of each row that holds one: that is who the row's person is."""
    given, persons = set(request.identifiers), set(request.identifiers)
    while True:
        new: set[str] = set()
        for feed in feeds:
            if feed.subject is None or not feed.subject.tokens:
                continue
            for token, firsts in sql.first_tokens(connection, feed, persons).items():
                others = firsts - {token}
                if token in given and len(others) > 1 and not others <= given and not request.follow:
                    raise ClaimsPipelineError(
                        f"the token {token} is in rows of {len(others)} persons, as of a shared login: give "
                        "the tokens of the one who asks, or erase all of them with --follow"
                    )
                new |= firsts - persons
        if not new:
            return persons
        persons |= new


def _register(connection: psycopg.Connection, request: Request, tokens: set[str]) -> Register:
    """The persons as the register would have them, with what it knows of their tokens; without other persons."""
    known, given = withheld.read(connection, request.sender).tokens, request.identifiers
    named = {first: known[token] for token, first in given.items() if token in known}  # registered before
    mine = {
        token: known.get(token) or named.get(given.get(token, token)) or given.get(token, token) for token in tokens
    }
    return Register(0, mine | {token: person for token, person in known.items() if person in mine.values()}, {})


# ---------------------------------------------------------------------------------------------- taking out


def _carry_out(
    flow: Flow, connection: psycopg.Connection, search: Search, request: Request, tokens: set[str]
) -> tuple[int, Found]:
    """Delete rows and write frames again, under the locks of the loads; the search is made once more under them."""
    sender = request.sender
    feeds = followed(sender)
    withheld.lock(connection, sender)
    lock_tables(connection, feeds)
    register = _register(connection, request, tokens) if tokens else withheld.read(connection, sender)
    found = search.run(connection, register)
    erasure_id = sql.next_number(connection)
    for feed in feeds:
        sql.delete(connection, feed, list(found.tokens))
        sql.delete_sealed(connection, found.sealed[feed.dataset])
    for frames in found.frames:
        new = layout.erased_key(frames.key, erasure_id)
        rows, rejects = _write_again(flow, frames, new)
        sql.frames_written_again(connection, frames.dump.dump_id, old=frames.key, new=new, rows=rows, rejects=rejects)
    failpoints.reach("erase.rewritten")
    return erasure_id, found


def _write_again(flow: Flow, frames: Frames, new: str) -> tuple[int, int]:
    """Copy a folder of frames without the person's rows; returns how many rows and rejects were left out."""
    client, bucket = flow.services.s3, flow.archive_bucket
    left_out = []
    for name, column, numbers in ((ROWS, "_row_number", frames.rows), (REJECTS, "row_number", frames.rejects)):
        old = f"{frames.key}/{name}"
        if not s3.exists(client, bucket=bucket, key=old):
            left_out.append(0)
            continue
        with object_writer(client, bucket=bucket, key=f"{new}/{name}") as target:
            source = object_reader(client, bucket=bucket, key=old)
            left_out.append(without(source, cast("BinaryIO", target), column=column, numbers=numbers))
    return left_out[0], left_out[1]


def _stray(flow: Flow, feeds: Sequence[Feed], found: Found, new: set[str]) -> list[str]:
    """Folders of frames that no dump names, as killed runs and new keys leave them: they may hold anybody.

    A validation that is writing one now finds the register changed, has it deleted, and begins again under another key.
    """
    named = new | {key for dump in found.dumps.values() for key in (dump.validated_key, dump.loaded_key) if key}
    folders = {
        item.key.rpartition("/")[0]
        for feed in feeds
        for page in s3.list_objects(
            flow.services.s3, flow.archive_bucket, f"{flow.frames_prefix}validated/{feed.sender.name}/{feed.dataset}/"
        )
        for item in page
        if (of_dump := layout.dump_folder(item.key)) is not None and of_dump[0] in found.dumps
    }
    return sorted(folders - named)


def _record(
    flow: Flow,
    connection: psycopg.Connection,
    kind: str,
    erasure_id: int,
    request: Request,
    found: Found,
    told: Erased,
) -> None:
    """Write the audit, the register, what is to be deleted after the commit, and last the note in the archive."""
    sender, key = request.sender, notes.new_key(request.sender)
    sql.record(
        connection,
        erasure_id,
        kind=kind,
        sender=sender,
        persons=sorted(hashlib.sha256(token.encode()).hexdigest() for token in found.tokens),
        rows=told.rows,
        objects=[one.plain for one in told.objects],
        not_searched=len(told.not_searched),
        unread=told.unread,
        note=key,
        by=request.by,
        reason=request.reason,
        run_id=flow.run_id,
    )
    withheld.add(connection, sender, tokens=found.tokens, keys=found.keys, erasure_id=erasure_id)
    old = [frames.key for frames in found.frames]
    new = {layout.erased_key(key, erasure_id) for key in old}
    sql.to_be_deleted(connection, erasure_id, [*old, *_stray(flow, followed(sender), found, new)])
    note = Note(sender, found.tokens, {dataset: frozenset(keys) for dataset, keys in found.keys.items()})
    notes.write(flow.services, key, note, by=request.by, reason=request.reason)
