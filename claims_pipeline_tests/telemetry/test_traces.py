"""Traces of real loads, received as OTLP over HTTP; and none where they are off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from claims_pipeline.telemetry import traces
from claims_pipeline_tests.fix_dagster import UPLOADS, CodeLocation, as_csv, upload_lines, upload_name
from claims_pipeline_tests.telemetry.receiver import Receiver, attributes

SECRET = "a value of a record"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """An OpenTelemetry collector, to which the variable points."""
    receiver = Receiver()
    traces.stop()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    yield receiver
    traces.stop()
    receiver.stop()


def test_a_load_is_three_spans_of_one_trace(location: CodeLocation, collector: Receiver) -> None:
    location.put(upload_name(), as_csv(upload_lines()))
    location.deliver()
    traces.stop()
    spans = collector.spans()
    assert ([span.name for span in spans], len({span.trace_id for span in spans})) == (
        ["archive", "validate", "load"], 1,
    )  # fmt: skip


def test_a_span_of_a_load_names_run_dump_and_rows(location: CodeLocation, collector: Receiver) -> None:
    location.put(upload_name(), as_csv(upload_lines(3)))
    (result,) = location.deliver()
    (dump,) = location.dumps()
    traces.stop()
    load = attributes(collector.spans()[-1])
    assert {name: load[f"claims.{name}"] for name in ("run_id", "dump_id", "feed", "rows_inserted")} == {
        "run_id": result.run_id, "dump_id": dump.dump_id, "feed": f"va_form526/{UPLOADS}", "rows_inserted": 3,
    }  # fmt: skip


def test_two_dumps_are_two_traces(location: CodeLocation, collector: Receiver) -> None:
    location.put(upload_name(hour=4), as_csv(upload_lines(2)))
    location.put(upload_name(hour=5), as_csv(upload_lines(3)))
    location.deliver()
    traces.stop()
    assert len({span.trace_id for span in collector.spans()}) == 2


def test_a_failed_span_has_the_class_of_the_error_and_not_its_text(collector: Receiver) -> None:
    with pytest.raises(ValueError, match=SECRET), traces.span("load", trace="x", attributes={}):
        raise ValueError(SECRET)
    traces.stop()
    (span,) = collector.spans()
    assert (span.status.message, SECRET in str(span)) == ("builtins.ValueError", False)


def test_without_the_variable_no_span_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert not traces.is_on()


def test_a_collector_that_is_down_does_not_fail_a_load(
    location: CodeLocation, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    location.put(upload_name(), as_csv(upload_lines()))
    (result,) = location.deliver()
    assert result.success
