"""Work that overlaps: stages that run ahead of each other in threads, with back-pressure.

Belongs here: threads and bounded queues. Does not belong here: what the stages do.

Threads are enough: reading from S3, Arrow's kernels, hashing of large blocks and Postgres all release the
interpreter's lock. Nothing runs ahead of its reader by more than it was allowed to, so memory stays bounded.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True)
class _End:
    """Nothing follows; `error` is what making the next item raised."""

    error: BaseException | None


class _Maker(Generic[T]):
    """The thread that makes items, and the queue that they wait in."""

    def __init__(self, items: Iterable[T], most: int) -> None:
        self._items = items
        self._waiting: queue.Queue[_Item[T] | _End] = queue.Queue()
        self._room = threading.Semaphore(most)
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        error: BaseException | None = None
        iterator = iter(self._items)
        try:
            self._make(iterator)
        except BaseException as raised:  # handed over: the reader raises it
            error = raised
        if isinstance(iterator, Generator):
            iterator.close()
        self._waiting.put(_End(error))

    def _make(self, iterator: Iterator[T]) -> None:
        while True:
            self._room.acquire()
            if self._given_up:
                return
            try:
                item = next(iterator)
            except StopIteration:
                return
            self._waiting.put(_Item(item))
            del item  # it is its reader's: held here it would outlive its use

    def received(self) -> Iterator[T]:
        while isinstance(item := self._waiting.get(), _Item):
            self._room.release()
            yield item.value
            del item
        self._waiting.put(item)  # whoever asks again gets the same answer
        if item.error is not None:
            raise item.error

    def end(self) -> None:
        self._given_up = True
        self._room.release()
        self._thread.join()


@contextmanager
def ahead(items: Iterable[T], *, most: int) -> Iterator[Iterator[T]]:
    """The same items, made in a thread of their own while earlier ones are used.

    What making them raises is raised where the next item is asked for, in its place. Leaving the block early ends the
    thread as soon as the item in the making is done, and closes a generator.

    Args:
        items: iterated over in the thread.
        most: how many may wait, or be in the making.
    """
    maker = _Maker(items, most)
    try:
        yield maker.received()
    finally:
        maker.end()


@contextmanager
def mapped(work: Callable[[T], R], items: Iterable[T], *, threads: int) -> Iterator[Iterator[R]]:
    """The results of work on each item, in their order, made by several threads at once.

    Items are made in a thread too. At most `threads` + 1 items are in the hands of workers or wait for the reader.

    Args:
        work: called in the threads; must not share what it changes.
        items: see `ahead`.
        threads: how many work.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="work") as pool, ahead(items, most=1) as made:

        def results() -> Iterator[R]:
            pending: deque[Future[R]] = deque()
            error: Exception | None = None
            while True:
                try:
                    pending.append(pool.submit(work, next(made)))
                except StopIteration:
                    break
                except Exception as raised:  # raised behind the results of the items before it
                    error = raised
                    break
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
            if error is not None:
                raise error

        try:
            yield results()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
