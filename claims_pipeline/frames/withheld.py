"""Recognising the rows of persons who were erased, wherever rows are: delivered, validated or sealed.

Belongs here: whose a row is by its values, compared with a register that is handed in. Does not belong here: where the
register is kept (warehouse), and what becomes of such rows.

A row that holds tokens is a person's if one of them is registered, or its key is: the same record. A row that names a
row of another dataset is a person's if that row's key is registered; if it names none, if its own key is.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from claims_pipeline.errors import ClaimsPipelineError, SettingsError
from claims_pipeline.feeds.contract import Column, Feed, Subject, TextFormat, Token
from claims_pipeline.frames.cast import ISO, cast_column
from claims_pipeline.frames.derive import derive
from claims_pipeline.frames.header import places_of
from claims_pipeline.frames.keys import KeyRing, unseal
from claims_pipeline.frames.masks import Mask, mask_of
from claims_pipeline.frames.physical import as_array, canonical_text
from claims_pipeline.frames.treat import treat

Values = tuple[str, ...]
"""Stored values as text, in the order of a key."""

_SEPARATOR = "\x1f"
_TOKEN = re.compile(r"(?P<version>[A-Za-z0-9]{1,16})_[A-Za-z0-9_-]{24}")


@dataclass(frozen=True)
class Withheld:
    """The register, as far as it concerns one feed.

    Attributes:
        tokens: registered tokens, each with the token under which the same identifier was registered first.
        keys: keys of this feed's rows.
        parents: keys of rows of the dataset that says whose this feed's rows are.
    """

    tokens: Mapping[str, str] = field(default_factory=dict)
    keys: frozenset[Values] = frozenset()
    parents: frozenset[Values] = frozenset()

    def __bool__(self) -> bool:
        """Whether there is anybody to look for."""
        return bool(self.tokens or self.keys or self.parents)


@dataclass(frozen=True)
class Recognised:
    """What was found in some rows.

    Attributes:
        rows: mask of the rows of registered persons.
        keys: keys of these rows that the register lacks.
        tokens: tokens under the current key that the register lacks, each with its registered one.
        unread: mask of rows that do not say whose they are: nothing that could be compared can be read.
    """

    rows: Mask
    keys: frozenset[Values]
    tokens: Mapping[str, str]
    unread: Mask


def token_version(token: str) -> str | None:
    """The key version of a token; None for what is no token."""
    found = _TOKEN.fullmatch(token)
    return found["version"] if found else None


class Recogniser:
    """Compares rows of one feed with a register. Several threads may use it at once."""

    def __init__(self, feed: Feed, ring: KeyRing, withheld: Withheld) -> None:
        """Prepare for a feed that has a subject.

        Raises:
            SettingsError: persons are registered by tokens of keys only that the ring lacks: their rows would come back
                unseen.
        """
        assert feed.subject is not None  # noqa: S101 - callers looked
        self._feed = feed
        self._subject: Subject = feed.subject
        self._ring = ring
        self._withheld = withheld
        self._source: dict[str, tuple[Column, int]] = {
            stored.name: (column, place) for column in feed.columns for place, stored in enumerate(column.stored)
        }
        versions = {token: token_version(token) for token in withheld.tokens}
        if self._subject.tokens:
            seen = {withheld.tokens[t] for t, made_by in versions.items() if made_by in (None, *ring.versions)}
            if lost := {version for t, version in versions.items() if withheld.tokens[t] not in seen and version}:
                raise SettingsError(
                    f"{feed.name}: persons were erased whose tokens were made with key {', '.join(sorted(lost))}, "
                    "which the token ring lacks: their rows could not be told from others'. Put that key back in front"
                )
        self._versions = sorted({version for version in versions.values() if version in ring.versions})
        self._registered = pa.array(list(withheld.tokens), pa.string())
        self._keys = _joined_set(withheld.keys)
        self._parents = _joined_set(withheld.parents)

    @property
    def stored(self) -> tuple[str, ...]:
        """The stored columns that are compared."""
        return tuple(dict.fromkeys((*self._subject.tokens, *self._subject.by, *self._feed.key)))

    @functools.cached_property
    def _columns(self) -> list[Column]:
        return list({id(column): column for column, _ in (self._source[name] for name in self.stored)}.values())

    def in_typed(self, typed: pa.Table) -> Recognised:
        """Look at rows as they come from the cast, before treatment, with tokens under every key that matters."""
        names = [name for name in self.stored if name not in self._subject.tokens]
        older = (
            [self._alone(version) for version in self._ring.versions[:-1]] if any(map(self._is_token, names)) else []
        )
        rows = [{name: self._as_stored(typed, name, ring) for name in names} for ring in (self._ring, *older)]
        tokens: dict[str, list[pa.Array]] = {}
        for name in self._subject.tokens:
            rings = [self._alone(version) for version in self._versions] if self._is_token(name) else []
            tokens[name] = [self._as_stored(typed, name, ring) for ring in (self._ring, *rings)]
        for variant in rows:
            variant |= {name: arrays[0] for name, arrays in tokens.items()}
        return self._judged(rows, tokens)

    def in_stored(self, batch: pa.RecordBatch) -> Recognised:
        """Look at rows as they are stored; columns that were not stored then are NULL."""
        rows = {
            name: pc.cast(batch.column(name), pa.string())
            if name in batch.schema.names
            else pa.nulls(batch.num_rows, pa.string())
            for name in self.stored
        }
        return self._judged([rows], {name: [rows[name]] for name in self._subject.tokens})

    def in_sealed(self, contents: Sequence[Mapping[str, str | None] | None]) -> Recognised:
        """Look at opened rows as delivered (see `validate_dump`); None for one that could not be opened."""
        rows, unread = np.zeros(len(contents), np.bool_), np.ones(len(contents), np.bool_)
        keys: set[Values] = set()
        tokens: dict[str, str] = {}
        alike: dict[tuple[str, ...], list[int]] = {}
        for place, content in enumerate(contents):
            if content is not None and "_line" not in content:
                alike.setdefault(tuple(content), []).append(place)
        for names, places in alike.items():
            found = self.in_typed(self._typed(names, [contents[place] or {} for place in places]))
            rows[places], unread[places] = found.rows, found.unread
            keys |= found.keys
            tokens |= found.tokens
        return Recognised(rows, frozenset(keys), tokens, unread)

    def _typed(self, names: tuple[str, ...], contents: Sequence[Mapping[str, str | None]]) -> pa.Table:
        feed, typed = self._feed, {}
        where, written = places_of(names, feed), feed.format if isinstance(feed.format, TextFormat) else ISO
        for column in self._columns:
            values = pa.nulls(len(contents), pa.string())
            if where[column.name]:
                values = as_array([content[names[where[column.name][0]]] for content in contents])
            elif feed.document and column.name in feed.document.holds and where[feed.document.column]:
                place = where[feed.document.column][0]
                text, _ = canonical_text(as_array([content[names[place]] for content in contents]))
                values = derive(text, feed.document, [column.name])[column.name]
            typed[column.name] = cast_column(values, column, timezone=feed.sender.timezone, written=written).values
        return pa.table(typed)

    def _is_token(self, name: str) -> bool:
        return isinstance(self._source[name][0].facts.treatment, Token)

    def _alone(self, version: str) -> KeyRing:
        return KeyRing(((version, self._ring.key(version)),))

    def _as_stored(self, typed: pa.Table, name: str, ring: KeyRing) -> pa.Array:
        column, place = self._source[name]
        values = typed[column.name].combine_chunks()
        treated = treat(
            values, column, sender=self._feed.sender.name, keys=ring, delivery_day=self._feed.sender.start
        )  # a reduction to an age is no key: the day does not matter
        return pc.cast(treated[place], pa.string())

    def _judged(
        self, variants: Sequence[Mapping[str, pa.Array]], tokens: Mapping[str, Sequence[pa.Array]]
    ) -> Recognised:
        """Compare; where tokens are part of a key there are `variants` of the rows, the first under the current key."""
        key = _joined([variants[0][name] for name in self._feed.key])
        by_key, theirs = np.zeros(len(key), np.bool_), np.zeros(len(key), np.bool_)
        for rows in variants:
            by_key |= mask_of(pc.is_in(_joined([rows[name] for name in self._feed.key]), value_set=self._keys))
        if self._subject.tokens:
            theirs |= by_key
            for arrays in tokens.values():
                for array in arrays:
                    theirs |= mask_of(pc.is_in(array, value_set=self._registered))
            named = np.zeros(len(key), np.bool_)
            for arrays in tokens.values():
                named |= mask_of(pc.is_valid(arrays[0]))
        else:
            by = [_joined([rows[name] for name in self._subject.by]) for rows in variants]
            named = mask_of(pc.is_valid(by[0]))
            for array in by:
                theirs |= mask_of(pc.is_in(array, value_set=self._parents))
            theirs |= by_key & ~named
        unread = ~theirs & ~named & mask_of(pc.is_null(key))
        if not theirs.any():
            return Recognised(theirs, frozenset(), {}, unread)
        found = {tuple(k.split(_SEPARATOR)) for k in key.filter(pa.array(theirs)).to_pylist() if k is not None}
        return Recognised(theirs, frozenset(found - self._withheld.keys), self._new_tokens(tokens), unread)

    def _new_tokens(self, tokens: Mapping[str, Sequence[pa.Array]]) -> dict[str, str]:
        """Registered tokens as the current key makes them."""
        new: dict[str, str] = {}
        for current, *others in tokens.values():
            for array in others:
                hit = pc.is_in(array, value_set=self._registered)
                pairs = zip(current.filter(hit).to_pylist(), array.filter(hit).to_pylist(), strict=True)
                new |= {now: self._withheld.tokens[then] for now, then in pairs if now not in self._withheld.tokens}
        return new


def opened(rows: Iterable[tuple[str, int, str, bytes]], *, ring: KeyRing) -> Iterator[dict[str, str | None] | None]:
    """Sealed rows, opened: (feed, row number, key version, sealed bytes); None for one that the ring does not open."""
    for feed, number, version, sealed in rows:
        try:
            content: dict[str, str | None] = json.loads(
                unseal(sealed, ring=ring, version=version, context=f"{feed}:{number}")
            )
        except (ClaimsPipelineError, ValueError):  # a retired key, or altered bytes
            yield None
        else:
            yield content


def _joined(arrays: Sequence[pa.Array]) -> pa.Array:
    """Values of several columns as one text; NULL where one of them is."""
    return arrays[0] if len(arrays) == 1 else pc.binary_join_element_wise(*arrays, _SEPARATOR)


def _joined_set(keys: Iterable[Values]) -> pa.Array:
    return pa.array([_SEPARATOR.join(key) for key in keys], pa.string())
