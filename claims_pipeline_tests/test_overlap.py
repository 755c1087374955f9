"""Overlapping work: order, back-pressure, errors in their place, and threads that end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from claims_pipeline.overlap import ahead, mapped


class Made:
    """Items that remember how many were asked for, and whether their making was ended."""

    def __init__(self, count: int, *, fails_at: int | None = None) -> None:
        self.asked = 0
        self.closed = False
        self._count = count
        self._fails_at = fails_at

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self._count):
                self.asked += 1
                if number == self._fails_at:
                    raise LookupError("no such item")
                yield number
        finally:
            self.closed = True


def threads_of_ours() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(("ahead", "work"))]


def test_items_come_in_their_order() -> None:
    with ahead(range(100), most=3) as items:
        assert list(items) == list(range(100))


def test_nothing_is_made_further_ahead_than_allowed() -> None:
    made = Made(100)
    with ahead(made, most=3) as items:
        for number in items:
            assert made.asked <= number + 1 + 3


def test_an_error_is_raised_behind_the_items_before_it() -> None:
    seen: list[int] = []
    with ahead(Made(9, fails_at=5), most=2) as items, pytest.raises(LookupError):
        seen.extend(items)
    assert seen == [0, 1, 2, 3, 4]


def test_leaving_early_ends_the_thread_and_closes_what_makes_the_items() -> None:
    made = Made(1_000_000)
    with ahead(iter(made), most=2) as items:
        next(items)
    assert made.closed
    assert made.asked <= 4
    assert threads_of_ours() == []


def test_an_end_that_was_reached_stays_the_end() -> None:
    with ahead([1], most=1) as items:
        assert list(items) == [1]
        assert next(items, None) is None


def test_results_come_in_the_order_of_their_items_whoever_is_first() -> None:
    late = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert late.wait(30)
        if item == 1:
            late.set()
        return item * item

    with mapped(work, range(50), threads=2) as results:
        assert list(results) == [number * number for number in range(50)]


def test_work_waits_for_its_reader() -> None:
    made = Made(1_000)
    with mapped(lambda item: item, made, threads=2) as results:
        for number in results:
            assert made.asked <= number + 1 + 2 + 2  # in the hands of workers, and made ahead
    assert made.asked == 1_000


def test_an_error_of_the_work_is_raised_in_its_place_and_ends_all_threads() -> None:
    made = Made(1_000)

    def work(item: int) -> int:
        return 3 // (item - 3)

    with mapped(work, made, threads=2) as results:
        assert next(results) == -1
        with pytest.raises(ZeroDivisionError):
            list(results)
    assert made.asked < 20
    assert threads_of_ours() == []


def test_an_error_of_the_items_is_raised_behind_the_results_of_those_before_it() -> None:
    seen: list[int] = []
    with mapped(seen.append, Made(9, fails_at=5), threads=1) as results, pytest.raises(LookupError):
        sum(1 for _ in results)
    assert seen == [0, 1, 2, 3, 4]
