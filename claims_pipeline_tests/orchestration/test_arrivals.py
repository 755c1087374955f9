"""Which runs are asked for, given what is open: pure."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from claims_pipeline.orchestration.arrivals import DAYS_PER_RUN, Decision, RunPlan, decide
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline.warehouse.ledger import Dump

MONDAY = dt.date(2026, 5, 4)
ATTEMPTS = 3
_NOON = dt.datetime(2026, 5, 4, 12, tzinfo=dt.UTC)
_numbers = itertools.count(1)


def dump(
    day: int = 0, dataset: str = "uploads", *, attempts: int = 0, request_id: str | None = None, number: int = 0
) -> Dump:
    """An open dump, so many days after Monday."""
    return Dump(
        dump_id=number or next(_numbers),
        sender="va",
        dataset=dataset,
        bucket="inbox",
        key=f"{dataset}/{day}",
        etag="e",
        size_bytes=1,
        last_modified=_NOON,
        version_id=None,
        delivery_day=MONDAY + dt.timedelta(days=day),
        stamp=_NOON,
        status=DumpStatus.ARRIVED,
        verdict=None,
        reason="",
        sha256=None,
        same_as=None,
        archive_key=None,
        validated_key=None,
        contract=None,
        validation=None,
        checks={},
        approved_by=None,
        attempts=attempts,
        request_id=request_id,
        requested_at=None,
        run_id=None,
        arrived_at=_NOON,
        settled_at=None,
        in_effect=False,
        loaded_key=None,
        superseded_by=None,
    )


def decided(dumps: Sequence[Dump], *, in_flight: Sequence[str] = (), today: int = 10_000) -> Decision:
    """The decision, long after all dumps were due."""
    return decide(dumps, in_flight=in_flight, max_attempts=ATTEMPTS, today=MONDAY + dt.timedelta(days=today))


def spans(dumps: Sequence[Dump]) -> list[tuple[int, int]]:
    """First and last day of each plan, counted from Monday."""
    return [((plan.first - MONDAY).days, (plan.last - MONDAY).days) for plan in decided(dumps).plans]


def test_nothing_open_asks_for_nothing() -> None:
    assert decided([]) == Decision((), (), ())


def test_all_datasets_of_a_day_share_a_run() -> None:
    (plan,) = decided([dump(dataset="uploads"), dump(dataset="jobs")]).plans
    assert plan.datasets == ("jobs", "uploads")


def test_days_that_follow_each_other_share_a_run() -> None:
    assert spans([dump(2), dump(0), dump(1)]) == [(0, 2)]


def test_a_day_without_a_dump_parts_runs() -> None:
    assert spans([dump(0), dump(2)]) == [(0, 0), (2, 2)]


def test_a_day_with_other_datasets_parts_runs() -> None:
    assert spans([dump(0), dump(0, "jobs"), dump(1), dump(2)]) == [(0, 0), (1, 2)]


def test_a_run_has_at_most_so_many_days() -> None:
    backlog = [dump(day) for day in range(DAYS_PER_RUN + 5)]
    assert spans(backlog) == [(0, DAYS_PER_RUN - 1), (DAYS_PER_RUN, DAYS_PER_RUN + 4)]


def test_two_dumps_of_one_dataset_and_day_share_a_run() -> None:
    (plan,) = decided([dump(number=8), dump(number=7)]).plans
    assert plan.dump_ids == (7, 8)


def test_a_dump_whose_run_has_not_ended_is_left_to_it() -> None:
    busy = dump(request_id="r1", attempts=1)
    assert decided([busy], in_flight=["r1"]) == Decision((), (busy,), ())


def test_a_dump_whose_run_has_ended_is_asked_for_again() -> None:
    assert len(decided([dump(request_id="r1", attempts=1)], in_flight=["r2"]).plans) == 1


def test_a_dump_whose_attempts_begin_anew_gets_another_request() -> None:
    before = dump()
    again = replace(before, requested_at=_NOON)  # as approve and retry leave it
    (first,), (second,) = decided([before]).plans, decided([again]).plans
    assert first.request_id != second.request_id


def test_a_dump_that_was_tried_often_is_given_up() -> None:
    lost = dump(attempts=ATTEMPTS, request_id="r1")
    assert decided([lost]) == Decision((), (), (lost,))


def test_a_dump_in_its_last_attempt_is_not_given_up_before_the_run_ends() -> None:
    busy = dump(attempts=ATTEMPTS, request_id="r1")
    assert decided([busy], in_flight=["r1"]).give_up == ()


def test_a_dump_of_a_day_to_come_waits() -> None:
    assert decided([dump(1)], today=0) == Decision((), (), ())


def test_a_retry_is_another_request() -> None:
    def asked(attempts: int) -> RunPlan:
        return decided([dump(number=7, attempts=attempts)]).plans[0]

    assert asked(0).request_id != asked(1).request_id


def test_the_same_dumps_in_the_same_attempt_are_the_same_request() -> None:
    one, two = dump(0, number=7), dump(1, number=8)
    assert decided([one, two]).plans == decided([two, one]).plans


OPEN = st.lists(
    st.builds(
        dump,
        st.integers(0, 45),
        st.sampled_from(["uploads", "jobs", "contentions"]),
        attempts=st.integers(0, ATTEMPTS),
        request_id=st.sampled_from([None, "r1", "r2"]),
    ),
    max_size=60,
)


@given(OPEN)
def test_every_open_dump_is_planned_in_flight_or_given_up_exactly_once(dumps: list[Dump]) -> None:
    found = decided(dumps, in_flight=["r1"])
    planned = [number for plan in found.plans for number in plan.dump_ids]
    others = [d.dump_id for d in (*found.in_flight, *found.give_up)]
    assert sorted(planned + others) == sorted(d.dump_id for d in dumps)


@given(OPEN)
def test_every_day_of_a_plan_has_a_dump_of_each_of_its_datasets(dumps: list[Dump]) -> None:
    for plan in decided(dumps).plans:
        of_plan = [d for d in dumps if d.dump_id in plan.dump_ids]
        days = {plan.first + dt.timedelta(days=n) for n in range((plan.last - plan.first).days + 1)}
        expected = {(day, dataset) for day in days for dataset in plan.datasets}
        assert {(d.delivery_day, d.dataset) for d in of_plan} == expected


@given(OPEN)
def test_no_two_plans_are_the_same_request(dumps: list[Dump]) -> None:
    plans = decided(dumps).plans
    assert len({plan.request_id for plan in plans}) == len(plans)
