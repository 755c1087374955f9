"""Where a person's rows are: tables, history, quarantine, frames in S3, and on demand the raw archive. Changes nothing.

Belongs here: the order of the search, and what was found. Does not belong here: which row is whose (frames, warehouse),
and taking rows out (erasing.py).

Datasets are searched after those that say whose their rows are. What one place tells, another is searched for: a key
that only an old dump's frames know is looked for in the tables too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import psycopg
import pyarrow as pa

from claims_pipeline.errors import BadDump, ClaimsPipelineError
from claims_pipeline.feeds import Feed, feeds_of
from claims_pipeline.flow import Flow
from claims_pipeline.flow.validating import REJECTS, ROWS, read, withheld_from
from claims_pipeline.frames import Keys, Recogniser, ValidatedRows, rejects_in
from claims_pipeline.frames.batch import ROW_NUMBER
from claims_pipeline.frames.withheld import opened
from claims_pipeline.landing import s3
from claims_pipeline.landing.s3_files import object_reader
from claims_pipeline.warehouse import erasure, ledger
from claims_pipeline.warehouse.erasure import Places, Rows
from claims_pipeline.warehouse.ledger import Dump
from claims_pipeline.warehouse.withheld import Register, Values

_READERS = 8  # threads that read frames: each waits for S3, not for the processor

Each = Callable[[str], None]
"""Told what is searched."""


@dataclass(frozen=True)
class Frames:
    """Rows of persons in one folder of validated frames; `rows` and `rejects` are row numbers."""

    dump: Dump
    key: str
    rows: frozenset[int]
    rejects: frozenset[int]


@dataclass
class Found:
    """Where rows of the persons are.

    Attributes:
        tokens: of the persons, each with the one under which the same identifier was registered first.
        keys: keys of their rows by dataset, those included that the register had.
        rows: rows in table and history, by dataset.
        sealed: numbers of their rows in quarantine, by dataset.
        unread: rows in quarantine, or among the rejects, that do not say whose they are.
        frames: folders of validated frames with rows of theirs.
        places: row numbers by dump, wherever they were found.
        unsearched: dumps whose frames are gone, or never were, and whose raw bytes were not read.
        others: further tokens in their rows.
        dumps: all dumps of the sender, by number.
    """

    tokens: dict[str, str]
    keys: dict[str, set[Values]] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)
    sealed: dict[str, list[int]] = field(default_factory=dict)
    unread: int = 0
    frames: list[Frames] = field(default_factory=list)
    places: Places = field(default_factory=dict)
    unsearched: set[int] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    dumps: dict[int, Dump] = field(default_factory=dict)

    @property
    def anything(self) -> bool:
        """Whether there is a row of theirs anywhere that can be taken out, or a raw object known to hold one."""
        return bool(self.places or self.frames or any(self.sealed.values()))

    @property
    def removable(self) -> bool:
        """Whether there is a row of theirs anywhere but in the raw archive."""
        stored = any(rows.table or rows.history for rows in self.rows.values())
        return bool(stored or self.frames or any(self.sealed.values()))


def followed(sender: str) -> list[Feed]:
    """The feeds of a sender with rows of persons, each after the one that says whose its rows are.

    Raises:
        ClaimsPipelineError: a feed names rows by other columns than their key, so that they cannot be followed.
    """
    waiting = [feed for feed in feeds_of(sender) if feed.subject is not None]
    done: dict[str, Feed] = {}
    while waiting:
        ready = [feed for feed in waiting if feed.subject and (feed.subject.of is None or feed.subject.of in done)]
        if not ready:
            names = ", ".join(feed.name for feed in waiting)
            raise ClaimsPipelineError(f"nobody can tell whose the rows of {names} are: see their contracts' subjects")
        for feed in ready:
            subject = feed.subject
            if subject and subject.of and set(subject.key) != set(done[subject.of].key):
                raise ClaimsPipelineError(f"{feed.name} names rows of {subject.of} by other columns than their key")
            done[feed.dataset] = feed
            waiting.remove(feed)
    return list(done.values())


@dataclass(frozen=True)
class _Hits:
    """What a search of one object found: row numbers, and the keys of these rows."""

    numbers: frozenset[int] = frozenset()
    keys: frozenset[Values] = frozenset()


@dataclass
class _Sealed:
    """What a search of one feed's quarantine found."""

    ids: list[int] = field(default_factory=list)
    places: Places = field(default_factory=dict)
    keys: set[Values] = field(default_factory=set)
    unread: int = 0


class _Person:
    """Whom to look for in one feed."""

    def __init__(self, feed: Feed, register: Register, ring: Keys) -> None:
        self.feed = feed
        self.register = register
        withheld = withheld_from(register, feed)
        self.recogniser = Recogniser(feed, ring.token, withheld)
        self.mark = hash((frozenset(withheld.tokens), withheld.keys, withheld.parents))


class Search:
    """The search for some persons; a second one reads nothing again that the first has read for the same register."""

    def __init__(self, flow: Flow, feeds: Sequence[Feed], *, raw: bool, each: Each | None = None) -> None:
        """Prepare; `raw`: read raw dumps whose frames are gone."""
        self._flow = flow
        self._feeds = feeds
        self._raw = raw
        self._each = each or (lambda what: None)
        self._ring = flow.services.keys
        self._known: dict[tuple[str, int], _Hits | None] = {}  # by object and whom it was searched for

    def run(self, connection: psycopg.Connection, register: Register) -> Found:
        """Look for all registered persons.

        Args:
            connection: within a transaction, which keeps temporary tables named `gone_<dataset>`.
            register: whom to look for, and what is known of them.
        """
        found = Found(dict(register.tokens), {dataset: set(keys) for dataset, keys in register.keys.items()})
        sender = self._feeds[0].sender.name
        every = ledger.select(connection, "sender = %s", [sender])
        found.dumps = {dump.dump_id: dump for dump in every}
        for feed in self._feeds:
            self._each(feed.name)
            dumps = [dump for dump in every if dump.dataset == feed.dataset]
            self._feed(connection, feed, dumps, found)
        found.unsearched |= {d.dump_id for d in every if d.dataset is None and d.archive_key is not None}
        _same_bytes(found)
        return found

    def _feed(self, connection: psycopg.Connection, feed: Feed, dumps: Sequence[Dump], found: Found) -> None:
        keys = found.keys.setdefault(feed.dataset, set())
        while True:
            rows = erasure.mark(connection, feed, list(found.tokens), keys)
            keys |= rows.keys
            known = Register(0, found.tokens, {dataset: frozenset(of_it) for dataset, of_it in found.keys.items()})
            person = _Person(feed, known, self._ring)
            sealed = self._sealed(connection, person)
            with ThreadPoolExecutor(_READERS) as pool:
                scanned = list(pool.map(lambda dump, person=person: self._dump(dump, person), dumps))
            new = sealed.keys.union(*(hit.keys for _, hits in scanned for hit in hits.values()))
            if new <= keys:
                break
            keys |= new
        found.rows[feed.dataset], found.sealed[feed.dataset] = rows, sealed.ids
        found.others |= rows.tokens
        found.unread += sealed.unread
        for places in (rows.places, sealed.places):
            for dump_id, numbers in places.items():
                found.places.setdefault(dump_id, set()).update(numbers)
        for dump, (searched, hits) in zip(dumps, scanned, strict=True):
            self._note(dump, searched, hits, found)

    def _note(self, dump: Dump, searched: bool, hits: dict[str, _Hits], found: Found) -> None:
        if not searched and dump.archive_key is not None and dump.raw_pruned_at is None:
            found.unsearched.add(dump.dump_id)
        if numbers := {number for hit in hits.values() for number in hit.numbers}:
            found.places.setdefault(dump.dump_id, set()).update(numbers)
        for folder in sorted({key for key in (dump.validated_key, dump.loaded_key) if key is not None}):
            rows, rejects = (hits.get(f"{folder}/{name}", _Hits()).numbers for name in (ROWS, REJECTS))
            if rows or rejects:
                found.frames.append(Frames(dump, folder, rows, rejects))

    # ------------------------------------------------------------------------------------------ places

    def _sealed(self, connection: psycopg.Connection, person: _Person) -> _Sealed:
        feed, found = person.feed, _Sealed()
        for rows in erasure.sealed_rows(connection, feed):
            sealed = [(feed.name, row.row_number, row.key_version, row.sealed) for row in rows]
            contents = list(opened(sealed, ring=self._ring.quarantine))
            for by_load in (False, True):
                some = [place for place, row in enumerate(rows) if row.by_load is by_load]
                if not some:
                    continue
                chosen = [contents[place] for place in some]
                if by_load:
                    result = person.recogniser.in_stored(_as_stored(person.recogniser, chosen))
                else:
                    result = person.recogniser.in_sealed(chosen)
                for place in np.asarray(some)[result.rows]:
                    found.ids.append(rows[place].quarantine_id)
                    found.places.setdefault(rows[place].dump_id, set()).add(rows[place].row_number)
                found.keys |= result.keys
                found.unread += int(result.unread.sum())
        return found

    def _dump(self, dump: Dump, person: _Person) -> tuple[bool, dict[str, _Hits]]:
        """Whether a dump could be searched, and what was found by key of the object."""
        hits: dict[str, _Hits] = {}
        searched = False
        for folder in {key for key in (dump.validated_key, dump.loaded_key) if key is not None}:
            for name, scan in ((ROWS, self._in_rows), (REJECTS, self._in_rejects)):
                key = f"{folder}/{name}"
                if (key, person.mark) not in self._known:
                    self._known[key, person.mark] = scan(key, person) if self._exists(key) else None
                if (hit := self._known[key, person.mark]) is not None:
                    hits[key] = hit
                    searched = searched or name == ROWS
        raw = dump.archive_key
        if not searched and self._raw and raw is not None and dump.raw_pruned_at is None:
            if (raw, person.mark) not in self._known:
                self._known[raw, person.mark] = self._in_raw(dump, person)
            if (hit := self._known[raw, person.mark]) is not None:
                return True, {**hits, raw: hit}
        return searched, hits

    def _exists(self, key: str) -> bool:
        return s3.exists(self._flow.services.s3, bucket=self._flow.archive_bucket, key=key)

    def _open(self, key: str) -> BinaryIO:
        return object_reader(self._flow.services.s3, bucket=self._flow.archive_bucket, key=key)

    def _in_rows(self, key: str, person: _Person) -> _Hits:
        rows = ValidatedRows(self._open(key))
        columns = [name for name in person.recogniser.stored if name in rows.schema.names]
        numbers: set[int] = set()
        keys: set[Values] = set()
        for batch in rows.batches([*columns, ROW_NUMBER]):
            result = person.recogniser.in_stored(batch)
            numbers |= set(batch.column(ROW_NUMBER).filter(pa.array(result.rows)).to_pylist())
            keys |= result.keys
        return _Hits(frozenset(numbers), frozenset(keys))

    def _in_rejects(self, key: str, person: _Person) -> _Hits:
        numbers: set[int] = set()
        keys: set[Values] = set()
        for batch in rejects_in(self._open(key)):
            rows = batch.select(["row_number", "key_version", "sealed"]).to_pylist()
            sealed = ((person.feed.name, row["row_number"], row["key_version"], row["sealed"]) for row in rows)
            result = person.recogniser.in_sealed(list(opened(sealed, ring=self._ring.quarantine)))
            numbers |= {row["row_number"] for row, theirs in zip(rows, result.rows, strict=True) if theirs}
            keys |= result.keys
        return _Hits(frozenset(numbers), frozenset(keys))

    def _in_raw(self, dump: Dump, person: _Person) -> _Hits | None:
        self._each(f"raw dump {dump.dump_id} of {person.feed.name}")
        with tempfile.TemporaryDirectory(prefix="claims-") as folder:
            files = Path(folder) / ROWS, Path(folder) / REJECTS
            try:
                result = read(self._flow, dump, person.feed, *files, person.register)
            except BadDump:
                return None
        return _Hits(frozenset(result.erased), result.erased_keys)


def _as_stored(recogniser: Recogniser, contents: Iterable[dict[str, str | None] | None]) -> pa.RecordBatch:
    """Rows that a load set apart, which are sealed as they would have been stored."""
    rows = [content or {} for content in contents]
    columns = {
        name: pa.array([None if row.get(name) is None else str(row[name]) for row in rows], pa.string())
        for name in recogniser.stored
    }
    return pa.record_batch(columns)


def _same_bytes(found: Found) -> None:
    """Dumps that repeat others byte for byte hold what those hold, and were not read."""
    by_bytes: dict[tuple[str | None, str], list[Dump]] = {}
    for dump in found.dumps.values():
        if dump.sha256 is not None:
            by_bytes.setdefault((dump.dataset, dump.sha256), []).append(dump)
    for dumps in by_bytes.values():
        read = [dump for dump in dumps if dump.dump_id not in found.unsearched]
        numbers = {number for dump in dumps for number in found.places.get(dump.dump_id, ())}
        for dump in dumps:
            if read and len(dumps) > 1:
                found.unsearched.discard(dump.dump_id)
            if numbers and dump.archive_key is not None:
                found.places[dump.dump_id] = set(numbers)


def in_order(places: Places) -> Iterator[tuple[int, list[int]]]:
    """Dumps with their row numbers, both in order."""
    for dump_id in sorted(places):
        yield dump_id, sorted(places[dump_id])
