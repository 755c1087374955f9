"""The sensor `heartbeat`: a sign of life, and how things stand, over real UDP, from a real database."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from claims_pipeline import pulse
from claims_pipeline.errors import Transient
from claims_pipeline.orchestration.heartbeat import heartbeat_sensor
from claims_pipeline.services import Services
from claims_pipeline.settings import get_settings
from claims_pipeline.warehouse import ledger
from claims_pipeline_tests.fix_dagster import (
    DAY,
    UPLOADS,
    CodeLocation,
    Configure,
    as_csv,
    upload_lines,
    upload_name,
)
from claims_pipeline_tests.fix_listeners import StatsdListener

FEED = f"va_form526/{UPLOADS}"


@pytest.fixture
def watched(kept_location: CodeLocation, configure: Configure, statsd: StatsdListener) -> CodeLocation:
    """A code location with a Datadog agent."""
    configure(datadog_statsd_host="127.0.0.1", datadog_statsd_port=statsd.port)
    return kept_location


def tick(location: CodeLocation) -> str:
    """One tick as the daemon makes it; what it says."""
    with dg.build_sensor_context(instance=location.instance, resources={"pipeline": location.pipeline}) as context:
        return heartbeat_sensor().evaluate_tick(context).skip_message or ""


def test_a_tick_is_a_sign_of_life(watched: CodeLocation, statsd: StatsdListener) -> None:
    tick(watched)
    assert [line.value for line in statsd.metrics() if line.name == "claims.heartbeat"] == [1.0]


def test_every_feed_has_figures_so_that_monitors_recover(watched: CodeLocation, statsd: StatsdListener) -> None:
    tick(watched)
    sent = {
        (line.tags["sender"], line.tags["dataset"]) for line in statsd.metrics() if line.name == "claims.dumps.held"
    }
    assert len(sent) == 18


def test_a_tick_without_datadog_asks_the_database_nothing(kept_location: CodeLocation) -> None:
    assert tick(kept_location) == "Datadog is off"


def test_the_sign_is_sent_though_the_database_is_down(
    watched: CodeLocation, statsd: StatsdListener, configure: Configure
) -> None:
    configure(
        datadog_statsd_host="127.0.0.1", datadog_statsd_port=statsd.port, database_url="postgresql://127.0.0.1:9/none"
    )
    with pytest.raises(Transient):
        tick(watched)
    assert [line.name for line in statsd.metrics()] == ["claims.heartbeat"]


def held_dump(location: CodeLocation) -> int:
    """A dump that the budget holds back: its number."""
    header, *lines = upload_lines(150)
    location.put(upload_name(), as_csv([header, *(f"x{line}" for line in lines)]))
    location.deliver()
    (dump,) = location.dumps()
    return dump.dump_id


def held(location: CodeLocation) -> int:
    """Dumps of the feed that wait for a person."""
    return pulse.take(location.pipeline.services, now=dt.datetime.now(dt.UTC)).held[FEED]


def test_a_held_dump_counts_until_it_is_rejected(watched: CodeLocation) -> None:
    dump_id = held_dump(watched)
    before = held(watched)
    with watched.database() as connection, connection.transaction():
        ledger.reject(connection, dump_id, "a person", "wrong")
        now = dt.datetime.now(dt.UTC)
        ledger.note_decision(connection, dump_id, what="reject", by="a person", reason="wrong", at=now)
    assert (before, held(watched)) == (1, 0)


def test_a_feed_is_behind_by_the_days_that_were_due(watched: CodeLocation) -> None:
    watched.put(upload_name(), as_csv(upload_lines()))
    watched.deliver()
    later = dt.datetime.combine(DAY + dt.timedelta(days=2), dt.time(23, 59), dt.UTC)
    behind = pulse.take(Services(get_settings()), now=later).days_behind
    assert (behind[FEED], behind["va_form526/form526_submissions"] > 2) == (2, True)
