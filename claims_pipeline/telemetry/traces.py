"""OpenTelemetry traces: a span for each step of a dump, all of one run and dump in one trace. Off by default.

Belongs here: the tracer, and spans with names and counts. Does not belong here: which steps there are (flow), lineage.
On where OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) is set and the extra `otel` is installed; everything else
is OpenTelemetry's own variables (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS ...).
Spans are sent by a thread of the SDK, and at the end of the process, which waits for it: some seconds, where the
collector is down or does not answer (OTEL_EXPORTER_OTLP_TIMEOUT). No load waits.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING

from claims_pipeline.errors import safe_text

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
_TIMEOUT = 3.0
"""Seconds for a batch with its retries, where no variable says otherwise: each run would end the SDK's 10 later."""
_trace = ContextVar[str]("claims_pipeline_trace", default="")
_logger = logging.getLogger(__name__)

Value = str | int | float | bool
Tell = Callable[[Mapping[str, Value]], None]


def is_on() -> bool:
    """Whether spans are sent."""
    return any(os.environ.get(name) for name in _ENDPOINTS) and _provider() is not None


@contextmanager
def span(name: str, *, trace: str, attributes: Mapping[str, Value]) -> Iterator[Tell]:
    """A span around some work; nothing where traces are off.

    Args:
        name: such as "load".
        trace: spans of the same words are in one trace.
        attributes: ids, names and counts; never a value of a record.

    Yields:
        Takes further attributes, once they are known.
    """
    if not is_on() or (provider := _provider()) is None:
        yield lambda _: None
        return
    from opentelemetry.trace import Status, StatusCode

    token = _trace.set(trace)
    try:
        # Not recorded by the library: it would write the exception's text, which may quote a record.
        with provider.get_tracer("claims_pipeline").start_as_current_span(
            name, attributes=dict(attributes), record_exception=False, set_status_on_exception=False
        ) as one:
            try:
                yield lambda more: one.set_attributes(dict(more))
            except Exception as error:
                one.set_status(Status(StatusCode.ERROR, safe_text(error)))
                raise
    finally:
        _trace.reset(token)


def stop() -> None:
    """Send what is left, and forget the tracer: the next span asks the variables again."""
    if _provider.cache_info().currsize and (provider := _provider()) is not None:
        provider.shutdown()
    _provider.cache_clear()


@cache
def _provider() -> TracerProvider | None:
    if importlib.util.find_spec("opentelemetry") is None or importlib.util.find_spec("opentelemetry.sdk") is None:
        _logger.warning("traces are off: the extra is not installed (pip install 'claims_pipeline[otel]')")
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class OfLoad(RandomIdGenerator):
        """Steps of a load run one after another in a process or in several: what they share is the words."""

        def generate_trace_id(self) -> int:
            words = _trace.get()
            if not words:
                return super().generate_trace_id()
            return int.from_bytes(hashlib.sha256(words.encode()).digest()[:16], "big")

    resource = Resource.create({} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "claims_pipeline"})
    provider = TracerProvider(resource=resource, id_generator=OfLoad())
    timeout = None if any(os.environ.get(name) for name in _TIMEOUTS) else _TIMEOUT
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
    return provider
