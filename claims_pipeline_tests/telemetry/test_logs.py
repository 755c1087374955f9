"""Structured logs of real runs: a line an event, with ids and counts, in UTC; and none in text mode."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from claims_pipeline import telemetry
from claims_pipeline.flow.observed import observed
from claims_pipeline.flow.step import Step
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline.telemetry.logs import as_json
from claims_pipeline.vocabulary import DumpStatus
from claims_pipeline_tests.fix_dagster import (
    DAY,
    UPLOADS,
    CodeLocation,
    Configure,
    as_csv,
    feed_of,
    upload_lines,
    upload_name,
)

FEED = f"va_form526/{UPLOADS}"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(location: CodeLocation, configure: Configure, capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """The JSON lines on standard error since the last call; other programs' lines are left out."""
    configure(log_format="json")

    def said() -> list[dict[str, Any]]:
        found = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
        return [line for line in found if line["logger"] == "claims_pipeline.events"]

    yield said
    telemetry.set_up("text")


def test_a_load_says_a_line_for_each_step(location: CodeLocation, lines: Lines) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    location.deliver()
    assert [line["event"] for line in lines()] == [
        "dumps_discovered", "dump_archived", "dump_validated", "dump_loaded",
    ]  # fmt: skip


def test_a_line_names_run_dump_feed_and_day(location: CodeLocation, lines: Lines) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    (result,) = location.deliver()
    (dump,) = location.dumps()
    loaded = lines()[-1]
    assert {key: loaded[key] for key in ("run_id", "dump_id", "feed", "delivery_day", "level")} == {
        "run_id": result.run_id, "dump_id": dump.dump_id, "feed": FEED, "delivery_day": DAY.isoformat(),
        "level": "info",
    }  # fmt: skip


def test_a_loaded_dump_has_its_rows_by_verdict(location: CodeLocation, lines: Lines) -> None:
    location.put(upload_name(), as_csv(upload_lines(3)))
    location.deliver()
    loaded = lines()[-1]
    assert (loaded["rows_read"], loaded["rows_inserted"], loaded["rows_quarantined"]) == (3, 3, 0)


def test_the_time_of_a_line_is_utc(location: CodeLocation, lines: Lines) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    location.look()
    at = dt.datetime.fromisoformat(lines()[0]["time"])
    assert (at.utcoffset(), abs(dt.datetime.now(dt.UTC) - at) < dt.timedelta(hours=1)) == (dt.timedelta(0), True)


def test_a_refused_dump_is_a_warning_with_its_reason(location: CodeLocation, lines: Lines) -> None:
    location.put(upload_name(), b"no,columns,of,ours\n1,2,3,4\n")
    location.deliver()
    (refused,) = [line for line in lines() if line["event"] == "dump_refused"]
    assert (refused["level"], "submission_id" in refused["reason"]) == ("warning", True)


def test_a_held_dump_has_its_rejects_by_rule(location: CodeLocation, lines: Lines) -> None:
    header, *sound = upload_lines(150)
    location.put(upload_name(), as_csv([header, *(f"x{line}" for line in sound)]))
    location.deliver()
    (held,) = [line for line in lines() if line["event"] == "dump_held"]
    assert (held["rows_quarantined"], sum(held["rejects"].values()) >= 150) == (150, True)


def test_a_database_that_is_gone_after_a_load_does_not_fail_it(
    location: CodeLocation, lines: Lines, configure: Configure
) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    location.look()
    (dump,) = location.dumps()
    configure(database_url="postgresql://nobody@127.0.0.1:9/none")
    step = Step(Services(get_settings()), run_id="cli-1")
    after = observed(step, "load", dump, feed_of(UPLOADS), lambda *_: replace(dump, status=DumpStatus.LOADED))
    assert (after.status, lines()[-1]["event"]) == (DumpStatus.LOADED, "dump_loaded")


def test_text_mode_writes_no_lines(location: CodeLocation, lines: Lines, configure: Configure) -> None:
    configure(log_format="text")
    location.put(upload_name(), as_csv(upload_lines()))
    location.deliver()
    assert lines() == []


def test_the_text_of_a_foreign_exception_is_not_written() -> None:
    try:
        raise ValueError("a value of a record")  # noqa: TRY301 - with a traceback of its own
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
        record = logging.LogRecord("claims_pipeline.x", logging.ERROR, __file__, 1, "it failed", (), info)
    line = json.loads(as_json(record))
    assert (line["error"], "a value of a record" in str(line)) == ("builtins.ValueError", False)
