"""Steps whose connections break are tried again; steps that meet a defect are not, and tell no value."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from claims_pipeline.feeds.va_form526 import SENDER
from claims_pipeline.flow import Flow
from claims_pipeline.local import LocalServices
from claims_pipeline_tests.fix_dagster import (
    UPLOADS,
    CodeLocation,
    Configure,
    as_csv,
    upload_lines,
    upload_name,
)
from claims_pipeline_tests.fix_proxy import Proxy

CANARY = "Zqxcanary"
RAW, VALIDATED, TABLE = (f"{layer}{SENDER.name}__{UPLOADS}" for layer in ("raw__", "validated__", ""))

Event = dg.DagsterEventType


def run_with_a_break(location: CodeLocation, proxy: Proxy, *, step: str) -> dg.ExecuteInProcessResult:
    """A run of one dump, during which a server cannot be reached from a step's begin until its first retry."""
    location.put(upload_name(), as_csv(upload_lines(7)))
    (request,) = location.look()
    run_id = str(uuid.uuid4())
    begun = False

    def listen(entry: dg.EventLogEntry) -> None:
        nonlocal begun
        if entry.dagster_event is None or entry.step_key != step:
            return
        if entry.dagster_event.event_type is Event.STEP_START and not begun:
            begun = True
            proxy.refuse()
        elif entry.dagster_event.event_type is Event.STEP_UP_FOR_RETRY:
            proxy.heal()

    location.instance.add_event_listener(run_id, listen)
    return location.run(request, run_id=run_id, s3_attempts=1)  # without boto's own patience the step's is seen


def attempts(result: dg.ExecuteInProcessResult, step: str) -> int:
    """How often a step was begun."""
    begins = (Event.STEP_START, Event.STEP_RESTARTED)
    return sum(event.event_type in begins and event.step_key == step for event in result.all_events)


@pytest.mark.parametrize("step", [RAW, VALIDATED, TABLE])
def test_a_step_whose_s3_breaks_is_tried_again_and_ends_well(
    location: CodeLocation,
    configure: Configure,
    services: LocalServices,
    proxy_to: Callable[[str], Proxy],
    step: str,
) -> None:
    proxy = proxy_to(services.s3.url)
    configure(s3_endpoint_url=proxy.in_place_of(services.s3.url))
    result = run_with_a_break(location, proxy, step=step)
    assert (result.success, attempts(result, step), location.live()) == (True, 2, {UPLOADS: 7})


@pytest.mark.parametrize("step", [RAW, TABLE])
def test_a_step_whose_database_breaks_is_tried_again_and_loads_once(
    location: CodeLocation, configure: Configure, proxy_to: Callable[[str], Proxy], step: str
) -> None:
    proxy = proxy_to(location.database_url)
    configure(database_url=proxy.in_place_of(location.database_url))
    result = run_with_a_break(location, proxy, step=step)
    assert (result.success, attempts(result, step), location.live(), location.loads()) == (True, 2, {UPLOADS: 7}, 1)


# ---------------------------------------------------------------------------------------------- defects and data


def broken(self: Flow, *_: object) -> object:
    """A defect whose error quotes a record, as those of pandas, Arrow and Postgres do."""
    raise ValueError(f"invalid value {CANARY} in row 7") from KeyError(CANARY)


def whole_instance(folder: Path) -> bytes:
    """Everything that an instance has written: event log, runs, compute logs."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("method", ["archive", "validate", "load"])
def test_a_defect_is_tried_once(location: CodeLocation, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(Flow, method, broken)
    location.put(upload_name(), as_csv(upload_lines()))
    (result,) = location.deliver()
    assert (result.success, any(e.event_type is Event.STEP_UP_FOR_RETRY for e in result.all_events)) == (False, False)


def test_a_defect_names_its_class_and_place_and_no_value(
    kept_location: CodeLocation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Flow, "validate", broken)
    kept_location.put(upload_name(), as_csv(upload_lines()))
    kept_location.deliver()
    kept = whole_instance(tmp_path / "instance")
    assert (b"builtins.ValueError" in kept, b"assets.py" in kept, CANARY.encode() in kept) == (True, True, False)


def test_no_value_of_a_record_gets_into_the_instance(kept_location: CodeLocation, tmp_path: Path) -> None:
    spoilt = upload_lines(3, file_name=f"{CANARY}.pdf")
    spoilt += [f"{CANARY},{CANARY},{CANARY},{CANARY}", f'1000009,"{CANARY}', f"{CANARY},{CANARY}"]
    kept_location.put(upload_name(), as_csv(spoilt))
    kept_location.put(upload_name(hour=6), f"{UPLOADS},{CANARY}\n1,{CANARY}\n".encode())
    kept_location.deliver()
    assert CANARY.encode() not in whole_instance(tmp_path / "instance")


def test_no_value_of_a_record_gets_into_the_ledger_or_the_audit(location: CodeLocation) -> None:
    spoilt = [*upload_lines(3, file_name=f"{CANARY}.pdf"), f"{CANARY},{CANARY},{CANARY},{CANARY}"]
    location.put(upload_name(), as_csv(spoilt))
    location.deliver()
    with location.database() as connection:
        rows = connection.execute("select row_to_json(d)::text from ops.dump d").fetchall()
        rows += connection.execute("select row_to_json(l)::text from ops.load l").fetchall()
    assert (len(rows), CANARY in str(rows)) == (2, False)
