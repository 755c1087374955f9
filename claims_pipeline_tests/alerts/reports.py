"""Reports as a run hands them to the alerts: examples, and a hypothesis strategy for all the others."""

from __future__ import annotations

import datetime as dt

from hypothesis import strategies as st

from claims_pipeline.vocabulary import (
    CheckName,
    CheckOutcome,
    Delivery,
    DeliveryState,
    DumpReport,
    DumpStatus,
    DumpVerdict,
    RowCounts,
    RunReport,
)

DAY = dt.date(2026, 11, 21)

ABSENT = Delivery(
    feed="va_form526/submissions",
    day=DAY,
    state=DeliveryState.MISSING,
    due_at=dt.datetime(2026, 11, 21, 14, tzinfo=dt.UTC),
    dumps_due=1,
    dumps=0,
    completed_at=None,
)
TOO_LATE = Delivery(
    feed="va_form526/submissions",
    day=DAY,
    state=DeliveryState.LATE,
    due_at=dt.datetime(2026, 11, 21, 14, tzinfo=dt.UTC),
    dumps_due=1,
    dumps=1,
    completed_at=dt.datetime(2026, 11, 21, 17, 10, tzinfo=dt.UTC),
)

LOADED = DumpReport(
    feed="va_form526/submissions",
    file="va/form526/submissions_20261121.csv",
    delivery_day=DAY,
    verdict=DumpVerdict.NEW,
    status=DumpStatus.LOADED,
    rows=RowCounts(read=12345, inserted=12000, updated=342, quarantined=3),
    rejects={"ssn.format": 2, "created_at.range": 1},
    bytes=4_200_000,
    seconds=3.5,
)
REFUSED = DumpReport(
    feed="va_form526/claims",
    file="va/form526/claims_20261121.csv",
    delivery_day=DAY,
    verdict=DumpVerdict.NEW,
    status=DumpStatus.REFUSED,
    reason="required column claim_id is missing",
    bytes=100,
)
SUCCESS = RunReport(
    run_id="run-1",
    run_url="http://127.0.0.1:3000/runs/run-1",
    outcome="success",
    sender="va_form526",
    days=(DAY,),
    dumps=(LOADED,),
    seconds=102.0,
)
ATTENTION = RunReport(
    run_id="run-2",
    run_url="http://127.0.0.1:3000/runs/run-2",
    outcome="attention",
    sender="va_form526",
    days=(DAY - dt.timedelta(days=2), DAY),
    dumps=(LOADED, REFUSED),
    failed_checks=(
        (
            "va_form526/submissions",
            CheckOutcome(
                CheckName.VOLUME_IN_RANGE, False, "far fewer rows than usual", {"rows": 12345, "median": 99000}
            ),
        ),
    ),
    seconds=7,
)
FAILURE = RunReport(
    run_id="run-3",
    run_url=None,
    outcome="failure",
    sender="va_form526",
    days=(DAY,),
    error="psycopg.OperationalError in step warehouse",
)

# Every character there is, lone surrogates included, and texts far longer than any limit.
_any_text = st.text(st.characters(exclude_categories=()), max_size=20)
_texts = _any_text | st.builds(lambda text, times: text * times, _any_text, st.integers(0, 2000))
_numbers = st.integers(0, 10**12)
_seconds = st.floats(0, 1e9)
_figures = st.dictionaries(_texts, _numbers | st.floats() | _texts, max_size=5)
_days = st.dates()
_counts = st.dictionaries(_texts, _numbers, max_size=9)
_rows = st.builds(RowCounts, **dict.fromkeys(RowCounts().as_dict(), _numbers))

dump_reports = st.builds(
    DumpReport,
    feed=st.sampled_from(["va_form526/submissions", "indici/?"]) | _texts,
    file=_texts,
    delivery_day=_days,
    verdict=st.none() | st.sampled_from(DumpVerdict),
    status=st.sampled_from(DumpStatus),
    reason=_texts,
    rows=_rows,
    rejects=_counts,
    issues=_counts,
    drift=st.lists(_texts, max_size=3).map(tuple),
    bytes=_numbers,
    seconds=_seconds,
)
many_dump_reports = st.lists(dump_reports, max_size=4) | st.builds(
    lambda dump, times: [dump] * times, dump_reports, st.integers(1, 200)
)
_checks = st.builds(
    CheckOutcome, name=st.sampled_from(CheckName), passed=st.just(False), summary=_texts, figures=_figures
)
run_reports = st.builds(
    RunReport,
    run_id=_texts,
    run_url=st.none() | _texts.map("http://".__add__),
    outcome=st.sampled_from(["success", "attention", "failure", "unheard of"]),
    sender=_texts,
    days=st.lists(_days, max_size=4).map(tuple),
    dumps=many_dump_reports.map(tuple),
    failed_checks=st.lists(st.tuples(_texts, _checks), max_size=30).map(tuple),
    error=_texts,
    next_step=_texts,
    seconds=_seconds,
)
texts = _texts
