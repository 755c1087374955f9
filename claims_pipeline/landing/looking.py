"""Parts of an inbox as S3 shows them: a stretch of its keys, or single keys. Each knows what it covers.

Belongs here: paged calls of S3, and what may be concluded from a key's absence. Does not belong here: which parts are
looked at when (extent.py), what is new (the ledger).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from claims_pipeline.landing import s3
from claims_pipeline.landing.s3 import ListedObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_THREADS = 8  # of boto3's ten connections
_PAGE = 1000
_TOGETHER = 50  # keys asked for in one call; those that its page does not reach are asked for one by one
_BETWEEN = 10  # keys of a page for each that is asked for: a page of so many costs what a few single calls do


class Part(Protocol):
    """A part of an inbox: pages of objects, and afterwards which keys are not there if they were not shown."""

    def __iter__(self) -> Iterator[list[ListedObject]]:
        """Pages of objects; see `s3.list_objects` for what it raises."""

    def covers(self, key: str) -> bool:
        """Whether a key that no page held is not in the inbox. To be asked after the last page."""


class Stretch:
    """The keys of a prefix in their order, from one on, as far as time allows.

    Attributes:
        reached: the last key shown; where it begins, before the first page.
        complete: whether it has come to the prefix's end.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        prefix: str,
        *,
        after: str = "",
        to: str | None = None,
        until: float | None = None,
    ) -> None:
        """Shows nothing yet.

        Args:
            client: of S3.
            bucket: the inbox.
            prefix: of the keys.
            after: the key behind which it begins; "" for the prefix's beginning.
            to: the last key that it may show, which need not exist; None for the prefix's end.
            until: moment of the monotonic clock after which no further page is asked for; None for no limit. One
                page is always shown.
        """
        self._client, self._bucket, self._prefix = client, bucket, prefix
        self._after, self._to, self._until = after, to, until
        self._stopped = False
        self.reached = after
        self.complete = False

    def __iter__(self) -> Iterator[list[ListedObject]]:
        """Pages in the order of their keys; each time from the beginning."""
        self.reached, self.complete, self._stopped = self._after, False, False
        for page in s3.list_objects(self._client, self._bucket, self._prefix, after=self._after):
            yield page if self._to is None else [item for item in page if item.key <= self._to]
            if not page:  # behind the last key
                continue
            if self._to is not None and page[-1].key >= self._to:
                self.reached = self._to
                return
            self.reached = page[-1].key  # only now: what the page holds has been dealt with
            if self._stopped or (self._until is not None and time.monotonic() >= self._until):
                return
        self.complete = True

    def stop(self) -> None:
        """Show no further page."""
        self._stopped = True

    def again(self) -> Stretch:
        """The keys that were shown, and what has come between them since, however long it takes."""
        to = None if self.complete else self.reached
        return Stretch(self._client, self._bucket, self._prefix, after=self._after, to=to)

    def covers(self, key: str) -> bool:
        """Whether the key lies in what was shown. S3 sorts by UTF-8, whose order is that of Python's strings."""
        return key.startswith(self._prefix) and key > self._after and (self.complete or key <= self.reached)


class Singles:
    """Single keys, asked for by listings that show little else: keys that lie together are one call.

    Not by HEAD: there the time of writing is cut to seconds, which some S3s list with milliseconds. The same question
    as a listing's has the same answer, and an object is not taken for two. It needs s3:ListBucket alone.
    """

    def __init__(self, client: S3Client, bucket: str, keys: Iterable[str]) -> None:
        self._client, self._bucket, self._keys = client, bucket, frozenset(keys)

    def __iter__(self) -> Iterator[list[ListedObject]]:
        """Those that are there, a thousand keys at a time."""
        keys = iter(sorted(self._keys))
        with ThreadPoolExecutor(_THREADS) as threads:
            while some := list(islice(keys, _PAGE)):
                groups = [some[begin : begin + _TOGETHER] for begin in range(0, len(some), _TOGETHER)]
                yield [item for found in threads.map(self._find, groups) for item in found]

    def covers(self, key: str) -> bool:
        """Whether the key was asked for."""
        return key in self._keys

    def _find(self, keys: list[str]) -> list[ListedObject]:
        """Those of some neighbours that are there: on one page that begins with the first, or one by one behind it."""
        page, whole = s3.list_page(
            self._client,
            self._bucket,
            os.path.commonprefix(keys),  # noqa: RUF071 - of keys, which are text and no paths
            after=keys[0][:-1],
            most=min(len(keys) * _BETWEEN, _PAGE),
        )
        end = page[-1].key if page else ""
        asked = set(keys)
        found = [item for item in page if item.key in asked]
        behind = [] if whole else [key for key in keys if key > end]
        singly = (s3.find(self._client, bucket=self._bucket, key=key) for key in behind)
        return found + [item for item in singly if item is not None]
