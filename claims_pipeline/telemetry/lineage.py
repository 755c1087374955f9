"""OpenLineage events: START and COMPLETE or FAIL for each step of a dump, with datasets and counts. Off by default.

Belongs here: events from plain facts. Does not belong here: which data a step reads and writes (flow), traces.
On where OPENLINEAGE_URL is set (OPENLINEAGE_API_KEY if it is asked for) and the extra `openlineage` is installed. One
failure to send turns it off for the rest of the process: a load does not wait for a service that is down.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import logging
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from claims_pipeline.errors import safe_text

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, OutputDataset

NAMESPACE = "claims_pipeline"
PRODUCER = "urn:claims_pipeline"
_TIMEOUT = 3.0  # seconds; a load waits for each event
_RETRY = {"total": 1, "respect_retry_after_header": False}  # an overloaded service may ask for an hour's pause
_logger = logging.getLogger(__name__)
_off: set[str] = set()


@dataclass(frozen=True)
class Data:
    """What a step reads or writes, by OpenLineage's naming.

    Attributes:
        namespace: "s3://bucket" or "postgres://host:port".
        name: an object's key, or "database.schema.table".
        columns: name and type of each, where they are known.
        rows: that the step wrote; None where that is not known.
        bytes: that the step wrote.
    """

    namespace: str
    name: str
    columns: tuple[tuple[str, str], ...] = ()
    rows: int | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class StepRun:
    """One step of one dump.

    Attributes:
        identity: of this step and dump; a retry is another one.
        run_id: Dagster's run, or "cli-...": the parent.
        job: such as "va_form526/form526_uploads.load".
        parent_job: such as "va_form526".
    """

    identity: str
    run_id: str
    job: str
    parent_job: str


def is_on() -> bool:
    """Whether events are sent."""
    url = os.environ.get("OPENLINEAGE_URL")
    return bool(url) and url not in _off and _client(str(url)) is not None


def new_step(*, run_id: str, feed: str, step: str) -> StepRun:
    """A step that begins."""
    return StepRun(str(uuid.uuid4()), run_id, f"{feed}.{step}", feed.partition("/")[0])


def tell(
    what: Literal["START", "COMPLETE", "FAIL"],
    step: StepRun,
    *,
    inputs: Sequence[Data] = (),
    outputs: Sequence[Data] = (),
    error: str = "",
) -> None:
    """Send an event; never raises.

    Args:
        what: happened.
        step: to which step.
        inputs: what it reads.
        outputs: what it writes.
        error: why it failed, free of values.
    """
    if not is_on():
        return
    url = os.environ["OPENLINEAGE_URL"]
    try:
        _emit(url, what, step, inputs, outputs, error)
    except Exception as failure:  # broad: the library lets through whatever requests and urllib3 raise
        _off.add(url)
        _logger.warning("OpenLineage is off for this process: an event was not taken: %s", safe_text(failure))


def reset() -> None:
    """Forget clients and failures: the next event asks the variables again."""
    _client.cache_clear()
    _off.clear()


@cache
def _client(url: str) -> OpenLineageClient | None:
    if importlib.util.find_spec("openlineage") is None:
        _logger.warning("OpenLineage is off: the extra is not installed (pip install 'claims_pipeline[openlineage]')")
        return None
    from openlineage.client import OpenLineageClient

    key = os.environ.get("OPENLINEAGE_API_KEY")
    transport: dict[str, object] = {"type": "http", "url": url, "timeout": _TIMEOUT, "retry": _RETRY}
    if key:
        transport["auth"] = {"type": "api_key", "apiKey": key}
    return OpenLineageClient(config={"transport": transport})


def _emit(url: str, what: str, step: StepRun, inputs: Sequence[Data], outputs: Sequence[Data], error: str) -> None:
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
    from openlineage.client.facet_v2 import error_message_run, parent_run

    client = _client(url)
    assert client is not None  # noqa: S101 - the caller looked
    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=_as_uuid(step.run_id)), job=parent_run.Job(NAMESPACE, step.parent_job)
    )
    facets: dict[str, object] = {"parent": parent}
    if error:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(message=error, programmingLanguage="python")
    client.emit(
        RunEvent(
            eventType=RunState[what],
            eventTime=dt.datetime.now(dt.UTC).isoformat(),
            run=Run(runId=step.identity, facets=facets),  # type: ignore[arg-type]  # invariant dict
            job=Job(namespace=NAMESPACE, name=step.job),
            inputs=[_input(data) for data in inputs],
            outputs=[_output(data) for data in outputs],
            producer=PRODUCER,
        )
    )


def _input(data: Data) -> InputDataset:
    from openlineage.client.event_v2 import InputDataset

    return InputDataset(namespace=data.namespace, name=data.name)


def _output(data: Data) -> OutputDataset:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset, schema_dataset

    fields = [schema_dataset.SchemaDatasetFacetFields(name=name, type=type_) for name, type_ in data.columns]
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=data.rows, size=data.bytes
    )
    known = data.rows is not None or data.bytes is not None
    return OutputDataset(
        namespace=data.namespace,
        name=data.name,
        facets={"schema": schema_dataset.SchemaDatasetFacet(fields=fields)} if fields else {},
        outputFacets={"outputStatistics": statistics} if known else {},
    )


def _as_uuid(run_id: str) -> str:
    """Dagster's run ids are UUIDs; of others one is made that stays the same."""
    try:
        return str(uuid.UUID(run_id))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PRODUCER}:{run_id}"))
