"""Parts of an inbox as S3 shows them: a stretch of its keys, or single keys. Each knows what it covers.

Belongs here: paged calls of S3, and what may be concluded from a key's absence. Does not belong here: which parts are
looked at when (extent.py), what is new (the ledger).
"""

from __future__ import annotations

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
        self, client: S3Client, bucket: str, prefix: str, *, after: str = "", until: float | None = None
    ) -> None:
        """Shows nothing yet.

        Args:
            client: of S3.
            bucket: the inbox.
            prefix: of the keys.
            after: the key behind which it begins; "" for the prefix's beginning.
            until: moment of the monotonic clock after which no further page is asked for; None for no limit. One
                page is always shown.
        """
        self._client, self._bucket, self._prefix = client, bucket, prefix
        self._after, self._until = after, until
        self._stopped = False
        self.reached = after
        self.complete = False

    def __iter__(self) -> Iterator[list[ListedObject]]:
        """Pages in the order of their keys."""
        for page in s3.list_objects(self._client, self._bucket, self._prefix, after=self._after):
            yield page
            if not page:  # behind the last key
                continue
            self.reached = page[-1].key  # only now: what the page holds has been dealt with
            if self._stopped or (self._until is not None and time.monotonic() >= self._until):
                return
        self.complete = True

    def stop(self) -> None:
        """Show no further page."""
        self._stopped = True

    def covers(self, key: str) -> bool:
        """Whether the key lies in what was shown. S3 sorts by UTF-8, whose order is that of Python's strings."""
        return key.startswith(self._prefix) and key > self._after and (self.complete or key <= self.reached)


class Singles:
    """Single keys, each asked for by a listing of one.

    Not by HEAD: there the time of writing is cut to seconds, which some S3s list with milliseconds. The same question
    as a listing's has the same answer, and an object is not taken for two. It needs s3:ListBucket alone.
    """

    def __init__(self, client: S3Client, bucket: str, keys: Iterable[str]) -> None:
        self._client, self._bucket, self._keys = client, bucket, frozenset(keys)

    def __iter__(self) -> Iterator[list[ListedObject]]:
        """Those that are there, a thousand at a time."""
        keys = iter(sorted(self._keys))
        with ThreadPoolExecutor(_THREADS) as threads:
            while some := list(islice(keys, _PAGE)):
                yield [item for item in threads.map(self._find, some) if item is not None]

    def covers(self, key: str) -> bool:
        """Whether the key was asked for."""
        return key in self._keys

    def _find(self, key: str) -> ListedObject | None:
        return s3.find(self._client, bucket=self._bucket, key=key)
